"""What a token says, in words."""

from collections.abc import Iterator
from datetime import UTC, datetime

from deputize.core.rules import Refusal
from deputize.core.values import Instant
from deputize.core.wire import JsonObject, Malformed, json_object
from deputize.jose import jws
from deputize.jose.keys import thumbprint
from deputize.oauth.delegation import from_claim
from deputize.oauth.details import details, says
from deputize.vc import sdjwt
from deputize.vc.presented import HEADER_MAX

_KINDS = {
    "at+jwt": "an access token (RFC 9068)",
    "dpop+jwt": "a DPoP proof (RFC 9449)",
    "client-authentication+jwt": "a client's authentication assertion (RFC 7523)",
    "txn-authz-challenge+jwt": "a transaction challenge: a resource asks for approval of one call",
    "dc+sd-jwt": "a credential (SD-JWT VC)",
    "statuslist+jwt": "a list of statuses (Token Status List)",
    "jwt": "a JWT of no declared kind, such as an ID token",
}


def explain(compact: str, now: Instant) -> Iterator[str]:
    """Lines that say what is in a token, or in a credential as far as it is shown.

    Nothing is verified: that needs the issuer's keys. Raises Malformed.
    """
    text = compact.strip()
    if "~" not in text:
        token = jws.parse(text)
        yield from _told(token, json_object(token.payload), now)
        return
    try:
        opened = sdjwt.parse(text, "")
        token = jws.parse(opened.jwt, sdjwt.BYTES_MAX, HEADER_MAX)
        issued = json_object(token.payload, sdjwt.BYTES_MAX)
        claims = sdjwt.reveal(issued, opened.disclosures, "")
    except Refusal as refusal:
        raise Malformed(refusal.rule.says) from None
    yield from _told(token, claims, now)
    yield f"Parts of it that can be hidden, and are shown here: {len(opened.disclosures)}."
    yield (
        "Its holder signed it for one verifier."
        if opened.binding
        else "No holder has signed it: anybody can show it so."
    )


def _told(token: jws.Jws, claims: JsonObject, now: Instant) -> Iterator[str]:
    typ = str(token.header.get("typ", "jwt")).lower().removeprefix("application/")
    kind, kid = _KINDS.get(typ, f"a JWT of the kind {typ}"), token.kid or "(in its header)"
    yield f"This is {kind}, signed with {token.alg} by key {kid}."
    yield "Its signature was not checked here."
    if "iss" in claims:
        yield f"Issued by {claims['iss']}."
    yield from _who(claims)
    if "aud" in claims:
        names = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        yield f"For {' and '.join(map(str, names))}, and nobody else."
    if "scope" in claims:
        yield f"Scope: {claims['scope']}."
    yield from _details(claims)
    yield from _mandate(claims)
    cnf = claims.get("cnf")
    if isinstance(cnf, dict):
        yield f"Worth something only with the key {_key(cnf)}: a thief of the token alone gains nothing."
    elif typ == "at+jwt":
        yield "Not bound to a key: whoever holds it can use it."
    if "txn" in claims:
        yield f"Part of transaction {claims['txn']}."
    for name, words in (("iat", "Issued"), ("exp", "Ends"), ("auth_time", "The person was last seen")):
        if isinstance(claims.get(name), int):
            yield f"{words} {_when(claims[name], now)}."


def _key(cnf: JsonObject) -> str:
    try:
        return thumbprint(cnf["jwk"]) if isinstance(cnf.get("jwk"), dict) else str(cnf.get("jkt", "?"))
    except Malformed:
        return "?"


def _mandate(claims: JsonObject) -> Iterator[str]:
    """What a credential says of its type, of what an agent may do, and of where its status stands."""
    if "vct" in claims:
        yield f"Of the type {claims['vct']}."
    may = claims.get("may")
    for one in may if isinstance(may, list) else ():
        if isinstance(one, dict):
            yield f"Allows {one.get('scope')} at {one.get('resource')}."
    status = claims.get("status")
    told = status.get("status_list") if isinstance(status, dict) else None
    if isinstance(told, dict):
        yield f"Whether it still stands is told by entry {told.get('idx')} of {told.get('uri')}."


def _who(claims: JsonObject) -> Iterator[str]:
    if "sub" in claims:
        yield f"About {claims['sub']}."
    try:
        actor = from_claim(claims.get("act"), error="invalid_token")
    except Exception:  # noqa: BLE001 (a token in hand may say anything: it is told, not judged)
        yield "Its chain of actors cannot be read."
        return
    if actor is not None:
        yield f"{actor.subject} acts on that person's behalf."
        while (actor := actor.before) is not None:
            yield f"Before that, {actor.subject} acted."
    if "client_id" in claims:
        yield f"Given to the client {claims['client_id']}."


def _details(claims: JsonObject) -> Iterator[str]:
    if "authorization_details" not in claims:
        return
    try:
        found = details(claims["authorization_details"], error="invalid_token")
    except Exception:  # noqa: BLE001 (as above)
        yield "It carries authorization details of a kind that is not known here."
        return
    for detail in found:
        said = says(detail)
        yield f"Allows to {said.wants}{f', {said.often}' if said.often else ''}."
        yield from (f"  {line}" for line in said.small)


def _when(at: int, now: Instant) -> str:
    told = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    distance = at - now
    return f"{told} ({f'in {distance} s' if distance >= 0 else f'{-distance} s ago'})"


__all__ = ["Malformed", "explain"]
