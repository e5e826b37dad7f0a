"""What a token says, in words."""

from collections.abc import Iterator
from datetime import UTC, datetime

from deputize.core.values import Instant
from deputize.core.wire import JsonObject, Malformed, json_object
from deputize.jose import jws
from deputize.oauth.delegation import from_claim
from deputize.oauth.details import details, says

_KINDS = {
    "at+jwt": "an access token (RFC 9068)",
    "dpop+jwt": "a DPoP proof (RFC 9449)",
    "client-authentication+jwt": "a client's authentication assertion (RFC 7523)",
    "txn-authz-challenge+jwt": "a transaction challenge: a resource asks for approval of one call",
    "jwt": "a JWT of no declared kind, such as an ID token",
}


def explain(compact: str, now: Instant) -> Iterator[str]:
    """Lines that say what is in a token. Nothing is verified: that needs the issuer's keys. Raises Malformed."""
    token = jws.parse(compact.strip())
    claims = json_object(token.payload)
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
    cnf = claims.get("cnf")
    if isinstance(cnf, dict):
        yield f"Worth something only with the key {cnf.get('jkt', '?')}: a thief of the token alone gains nothing."
    elif typ == "at+jwt":
        yield "Not bound to a key: whoever holds it can use it."
    if "txn" in claims:
        yield f"Part of transaction {claims['txn']}."
    for name, words in (("iat", "Issued"), ("exp", "Ends"), ("auth_time", "The person was last seen")):
        if isinstance(claims.get(name), int):
            yield f"{words} {_when(claims[name], now)}."


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
