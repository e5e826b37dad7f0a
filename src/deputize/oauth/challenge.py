"""What a protected resource answers when it says no: which metadata, which scope, or one signed transaction."""

import re
from dataclasses import dataclass
from typing import Final

from deputize.core.rules import Rule
from deputize.core.values import Instant, Seconds, Subject
from deputize.core.wire import Headers, JsonObject, Malformed
from deputize.jose import jwt
from deputize.jose.algorithms import ALL
from deputize.jose.keys import KeySet, PrivateKey
from deputize.oauth.authority import Authority
from deputize.oauth.delegation import Actor, from_claim
from deputize.oauth.details import Detail, details, shown_text

TYP: Final = "txn-authz-challenge+jwt"
ACCEPTS: Final = "accept-txn-challenge"
ERROR: Final = "transaction_authorization_required"
LIFE: Final = Seconds(300)
CHALLENGE_MAX: Final = 8 * 1024
TXN_MAX: Final = 256

_ACCEPTED: Final = re.compile(r" *\?1 *(;[^,]*)?")
# RFC 9110, 11.2: one parameter, with the comma before it. What a quoted string hides is the second group.
_PARAM: Final = re.compile(
    r"[ \t,]*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]*=[ \t]*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s\",]+))[ \t,]*"
)
_ESCAPED: Final = re.compile(r"\\(.)")

_DRAFT: Final = "draft-rosomakho-oauth-txn-challenge"
APPROVAL_WANTED = Rule(
    _DRAFT, "Challenge", "A call that needs a person's approval carries a token for exactly this call."
)
DESCRIBED = Rule(
    _DRAFT, "Challenge Validation", "The challenge describes its operation, with a reason and a transaction identifier."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """One operation as the resource describes it: the agent can carry it, and cannot alter it.

    `subject` is the person for whom the call was made (the draft leaves open who is asked; we say it, and sign it).
    """

    resource: str
    subject: Subject
    jti: str
    txn: str
    details: tuple[Detail, ...]
    reason: str
    actor: Actor | None
    until: Instant


def accepts_challenge(headers: Headers) -> bool:
    """Whether the requester has a way to answer a transaction challenge (RFC 9651 boolean; parameters ignored)."""
    values = headers.all(ACCEPTS)
    return len(values) == 1 and _ACCEPTED.fullmatch(values[0]) is not None


def make(challenge: Challenge, *, authorization_server: str, key: PrivateKey, now: Instant) -> str:
    """Sign a challenge for the authorization server that the resource trusts."""
    claims: JsonObject = {
        "iss": challenge.resource,
        "sub": challenge.subject,
        "aud": authorization_server,
        "iat": now,
        "exp": challenge.until,
        "jti": challenge.jti,
        "txn": challenge.txn,
        "authorization_details": [detail.members for detail in challenge.details],
        "reason": challenge.reason,
    }
    if challenge.actor is not None:
        claims["act"] = challenge.actor.claim()
    return jwt.sign(claims, key, typ=TYP)


def issuer_of(compact: str, *, error: str) -> str | None:
    """Who claims to have made the challenge: to find its keys, and for nothing else."""
    _, claims = jwt.peek(compact, error, bytes_max=CHALLENGE_MAX)
    issuer = claims.get("iss")
    return issuer if isinstance(issuer, str) else None


def read(compact: str, keys: KeySet, *, resource: str, authorization_server: str, now: Instant) -> Challenge:
    """Verify a challenge made by `resource` for `authorization_server`."""
    expected = jwt.Expectation(
        typ=frozenset({TYP}),
        algs=ALL,
        issuer=resource,
        audience=jwt.Sole(authorization_server),
        lifetime_max=LIFE,
        age_max=Seconds(LIFE + jwt.SKEW),
        needs=frozenset({"sub", "iat", "exp", "jti", "txn", "authorization_details", "reason"}),
        error="invalid_grant",
    )
    verified = jwt.verify(compact, keys, expected, now)
    found = details(verified.claims["authorization_details"], error="invalid_grant")
    txn = verified.claims["txn"]
    try:
        reason = shown_text(verified.claims["reason"], length_max=280)
    except Malformed:
        DESCRIBED.refuse("invalid_grant", member="reason")
    if not found or not isinstance(txn, str) or not 0 < len(txn) <= TXN_MAX or not txn.isprintable():
        DESCRIBED.refuse("invalid_grant", details=len(found))
    return Challenge(
        resource=resource,
        subject=Subject(verified.text("sub")),
        jti=verified.text("jti"),
        txn=txn,
        details=found,
        reason=reason,
        actor=from_claim(verified.claims.get("act"), error="invalid_grant"),
        until=verified.instant("exp"),
    )


def authority_of(challenge: Challenge, scope: frozenset[str] = frozenset()) -> Authority:
    """What the challenge asks for: this one operation at the resource that made it."""
    return Authority(
        audience=frozenset({challenge.resource}), scope=scope, details=challenge.details, until=challenge.until
    )


def www_authenticate(scheme: str, params: tuple[tuple[str, str], ...]) -> str:
    """One challenge of a `WWW-Authenticate` field (RFC 9110, 11.6.1), every value quoted."""
    quoted = (f'{name}="{_quotable(value)}"' for name, value in params)
    return f"{scheme} {', '.join(quoted)}" if params else scheme


def _quotable(value: str) -> str:
    plain = "".join(mark if " " <= mark <= "~" else "?" for mark in value)
    return plain.replace("\\", "\\\\").replace('"', '\\"')


def challenge_params(value: str) -> tuple[str, dict[str, str]]:
    """Read one challenge of a `WWW-Authenticate` field: its scheme, and its parameters. Raises Malformed."""
    scheme, _, rest = value.strip().partition(" ")
    params: dict[str, str] = {}
    at = 0
    while at < len(rest):
        found = _PARAM.match(rest, at)
        if found is None:
            raise Malformed("a challenge has parameters of the form name=value")
        name, quoted, token = found.groups()
        if name.lower() in params:
            raise Malformed("a challenge parameter is there twice")
        params[name.lower()] = token if quoted is None else _ESCAPED.sub(r"\1", quoted)
        at = found.end()
    return scheme, params
