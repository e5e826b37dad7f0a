"""Status List Tokens, both ends and both forms: a list that its issuer signed, as JWT or as CWT."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from deputize.core.ports import Env
from deputize.core.rules import Rule
from deputize.core.values import Instant, Seconds
from deputize.core.wire import JsonObject, Malformed, b64u, b64u_bytes
from deputize.jose import jws, jwt
from deputize.jose.jws import Jws
from deputize.jose.keys import KeySet, PrivateKey, PublicKey
from deputize.vc.status_list import INFLATED_MAX, MECHANISM, SPEC, WHOLE, StatusList, inflated

TOKEN_MAX: Final = 8 * 1024 * 1024
# The numbers of the CWT claims; the last two are those that the draft requests.
_CWT_CLAIMS: Final[Mapping[int, str]] = {
    1: "iss",
    2: "sub",
    4: "exp",
    5: "nbf",
    6: "iat",
    65534: "ttl",
    65533: MECHANISM,
}
_NUMBERS: Final[Mapping[str, int]] = {name: number for number, name in _CWT_CLAIMS.items()}

TOLD = Rule(
    SPEC, "Status List Token", "A Status List Token has sub, iat and status_list, and is a JWT or a tagged CWT."
)
ITS_NAME = Rule(SPEC, "Validation Rules", "The sub of the list is the uri that the token refers to, letter for letter.")
LASTS = Rule(SPEC, "Status List Token", "The ttl is a positive number of seconds.")
AT_THAT_TIME = Rule(
    SPEC, "Historical Resolution", "The time that was asked for lies between iat and exp of the list that came."
)


class Form(Enum):
    """How a list is signed and sent."""

    JWT = "statuslist+jwt"
    CWT = "statuslist+cwt"

    @property
    def media_type(self) -> str:
        return f"application/{self.value}"

    @classmethod
    def of(cls, token: bytes) -> "Form":
        """The form of a list that came without its media type: a JWT is text."""
        return cls.JWT if token[:1].isalnum() else cls.CWT


# --- the issuer's end -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a Status List Token says. `lst` is the deflated list; `until` and `ttl` are always told."""

    uri: str
    issued_at: Instant
    until: Instant
    ttl: Seconds
    bits: int
    lst: bytes
    aggregation_uri: str | None = None

    @classmethod
    def of(
        cls,
        statuses: StatusList,
        *,
        uri: str,
        issued_at: Instant,
        until: Instant,
        ttl: Seconds,
        level: int = 6,
        aggregation_uri: str | None = None,
    ) -> "Content":
        """What is said of these statuses; `level` is zlib's."""
        return cls(
            uri=uri,
            issued_at=issued_at,
            until=until,
            ttl=ttl,
            bits=statuses.bits,
            lst=statuses.deflated(level),
            aggregation_uri=aggregation_uri,
        )

    def __post_init__(self) -> None:
        if self.ttl <= 0 or self.until <= self.issued_at:
            raise ValueError("a list lasts for a while")

    def _claims(self, lst: str | bytes) -> JsonObject:
        told: JsonObject = {"bits": self.bits, "lst": lst}
        if self.aggregation_uri is not None:
            told["aggregation_uri"] = self.aggregation_uri
        return {"sub": self.uri, "iat": self.issued_at, "exp": self.until, "ttl": self.ttl, MECHANISM: told}

    def prepared(self, form: Form, *, alg: str, kid: str) -> tuple[bytes, Callable[[bytes], bytes]]:
        """What is to be signed, and what makes the token of the signature (as JWS has it)."""
        if form is Form.JWT:
            data = jws.signing_input(self._claims(b64u(self.lst)), alg=alg, typ=form.value, kid=kid)
            return data, lambda signature: jws.compact(data, signature).encode("ascii")
        from deputize.vc import cose  # noqa: PLC0415 (whoever uses JWTs alone loads no CBOR)

        payload = cose.encoded({_NUMBERS[name]: value for name, value in self._claims(self.lst).items()})
        protected = cose.header(alg=alg, typ=form.media_type)
        return cose.to_be_signed(protected, payload), lambda signature: cose.sign1(
            protected, payload, signature, kid=kid
        )


def signed(content: Content, form: Form, key: PrivateKey) -> bytes:
    """A Status List Token by a key in hand."""
    data, finish = content.prepared(form, alg=key.alg.name, kid=key.kid)
    return finish(key.sign(data))


async def mint(content: Content, form: Form, env: Env) -> bytes:
    """A Status List Token by the server's active key."""
    kid, alg = env.signer.active()
    data, finish = content.prepared(form, alg=alg, kid=kid)
    return finish(await env.signer.sign(kid, data))


# --- the reader's end -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Unverified:
    """A Status List Token that was taken apart, to find out whose keys are needed. Believe nothing in it."""

    form: Form
    signed: Jws
    claims: JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """All that is expected of a list. No field has a default, so that nothing is left out by silence.

    `uri` is where the token said that its status stands; `algs` the algorithms that its issuer may sign with;
    `at` the time that was asked for where it is not now; `bytes_max` what may be unpacked; `error` a refusal's code.
    """

    uri: str
    algs: frozenset[str]
    at: Instant | None
    bytes_max: int
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedStatusList:
    """A proof: only `verify` makes one. The list was signed by `key` and met the expectation."""

    uri: str
    statuses: StatusList
    issued_at: Instant
    until: Instant | None
    ttl: Seconds | None
    key: PublicKey
    aggregation_uri: str | None


def parse(data: bytes, form: Form, *, error: str, bytes_max: int = TOKEN_MAX) -> Unverified:
    """Take a Status List Token apart."""
    if form is Form.JWT:
        return Unverified(form, *jwt.peek(data.decode("ascii", "replace"), error, bytes_max))
    from deputize.vc import cose  # noqa: PLC0415 (the same)

    try:
        parsed = cose.parse(data, bytes_max)
        told = cose.members(cose.decoded(parsed.payload))
    except Malformed as problem:
        TOLD.refuse(error, problem=str(problem))
    # By their numbers alone: a claim that is written as a text is another claim (RFC 8392, 4).
    return Unverified(form, parsed, {name: told[number] for number, name in _CWT_CLAIMS.items() if number in told})


def verify(token: Unverified, keys: KeySet, expected: Expected, now: Instant) -> VerifiedStatusList:
    """Hold a list against everything that is expected of it; refuse it, or give the proof. `keys` are its issuer's."""
    error, claims = expected.error, token.claims
    proven = jwt.verify_peeked(
        token.signed,
        claims,
        keys,
        jwt.Expectation(
            typ=frozenset({token.form.value}),
            algs=expected.algs,
            issuer=None,  # told by the keys: a list need not name its issuer
            audience=None,  # it is for everybody
            lifetime_max=None,
            age_max=None,
            needs=frozenset({"sub", "iat", MECHANISM}),
            error=error,
        ),
        now if expected.at is None else expected.at,
    )
    if claims["sub"] != expected.uri:
        ITS_NAME.refuse(error, sub=claims["sub"])
    issued_at = proven.instant("iat")
    until = proven.instant("exp") if claims.get("exp") is not None else None
    if expected.at is not None and not (until is not None and issued_at <= expected.at <= until):
        AT_THAT_TIME.refuse(error, iat=issued_at, exp=until)
    return VerifiedStatusList(
        uri=expected.uri,
        statuses=_statuses(token, expected),
        issued_at=issued_at,
        until=until,
        ttl=_ttl(claims, error),
        key=proven.key,
        aggregation_uri=_aggregation(claims[MECHANISM]),
    )


def _ttl(claims: JsonObject, error: str) -> Seconds | None:
    if "ttl" not in claims:
        return None
    ttl = claims["ttl"]
    if type(ttl) not in {int, float} or not ttl > 0:
        LASTS.refuse(error, ttl=str(ttl)[:40])
    return Seconds(max(1, int(min(ttl, 2**53))))


def _statuses(token: Unverified, expected: Expected) -> StatusList:
    told: Any = token.claims[MECHANISM]
    if not isinstance(told, dict):
        TOLD.refuse(expected.error)
    lst = told.get("lst")
    if not isinstance(lst, str if token.form is Form.JWT else bytes):
        WHOLE.refuse(expected.error)
    try:
        data = b64u_bytes(lst) if isinstance(lst, str) else lst
    except Malformed:
        WHOLE.refuse(expected.error)
    return inflated(told.get("bits"), data, bytes_max=expected.bytes_max, error=expected.error)


def _aggregation(told: JsonObject) -> str | None:
    uri = told.get("aggregation_uri")
    return uri if isinstance(uri, str) else None


def read_token(
    data: bytes, form: Form, keys: KeySet, *, uri: str, algs: frozenset[str], now: Instant
) -> VerifiedStatusList:
    """Take apart and verify at once, for one who has the keys in hand."""
    expected = Expected(uri=uri, algs=algs, at=None, bytes_max=INFLATED_MAX, error="invalid_token")
    return verify(parse(data, form, error=expected.error), keys, expected, now)
