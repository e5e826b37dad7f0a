"""What the tests of credentials share: an issuer's key, a holder's key, and a credential of ten claims."""

from collections.abc import Iterable
from typing import Any

from deputize.core.rules import Refusal, Rule
from deputize.core.values import Instant
from deputize.core.wire import JsonObject, b64u, json_bytes
from deputize.jose.algorithms import ALL
from deputize.jose.jwt import Expectation
from deputize.jose.keys import PrivateKey
from deputize.vc.issue import Frame, issue
from deputize.vc.presented import Asked, VerifiedSdJwt, verify_sd_jwt
from tests.jose.making import a_key
from tests.support.ports import CountingRandom

NOW = Instant(1_764_000_000)
ISSUER = "https://uni.example/registrar"
VCT = "https://uni.example/types/diploma/2"
VERIFIER = "https://verifier.example"
ERROR = "invalid_credential"
TYP = "example+sd-jwt"
ASKED = Asked(audience=VERIFIER, nonce="n-0S6_WzA2Mj")


def issuer_key() -> PrivateKey:
    return a_key("ES256", 50)


def holder_key() -> PrivateKey:
    return a_key("ES256", 51)


def claims(**changes: Any) -> dict[str, Any]:
    """The claims of a credential; `claim=...` (the dots) leaves one out."""
    good: dict[str, object] = {
        "iss": ISSUER,
        "vct": VCT,
        "iat": NOW - 60,
        "exp": NOW + 3600,
        "cnf": {"jwk": holder_key().public_jwk()},
        "given_name": "Alice",
        "address": {"locality": "Madrid", "country": "ES"},
        "nationalities": ["ES", "PT"],
    }
    return {name: value for name, value in (good | changes).items() if value is not ...}


FRAME = Frame.of("given_name", ("address", "locality"), ("nationalities", None))


def expected(**changes: Any) -> Expectation:
    good: dict[str, object] = {
        "typ": frozenset({TYP}),
        "algs": ALL,
        "issuer": ISSUER,
        "audience": None,
        "lifetime_max": None,
        "age_max": None,
        "needs": frozenset({"exp"}),
        "error": ERROR,
    }
    return Expectation(**(good | changes))  # type: ignore[arg-type]  # the fields of an Expectation


def an_sd_jwt(frame: Frame = FRAME, *, key: PrivateKey | None = None, typ: str = TYP, **changes: Any) -> str:
    return issue(claims(**changes), frame, key=key or issuer_key(), typ=typ, random=CountingRandom())


def crafted(payload: JsonObject, *disclosures: str, key: PrivateKey | None = None, **header: Any) -> str:
    """An SD-JWT with a good signature over whatever the issuer would never say."""
    key = key or issuer_key()
    full = {"alg": key.alg.name, "typ": TYP, "kid": key.kid} | header
    head = {name: value for name, value in full.items() if value is not ...}
    data = f"{b64u(json_bytes(head))}.{b64u(json_bytes(payload))}"
    return "~".join((f"{data}.{b64u(key.sign(data.encode()))}", *disclosures, ""))


def a_disclosure(*parts: object) -> str:
    return b64u(json_bytes(list(parts)))


def read(text: str, asked: Asked | None = None, *, now: Instant = NOW, **changes: Any) -> VerifiedSdJwt:
    return verify_sd_jwt(text, (issuer_key().public(),), expected(**changes), asked, now)


def why_not(text: str, asked: Asked | None = None, *, now: Instant = NOW, **changes: Any) -> Rule | None:
    """The rule that refuses it; None where it passes. Anything but a Refusal is a bug, and gets out."""
    try:
        read(text, asked, now=now, **changes)
    except Refusal as refusal:
        if refusal.error != ERROR:
            raise
        return refusal.rule
    return None


def without(text: str, *gone: int) -> str:
    """A presentation without some of its Disclosures."""
    jwt, *disclosures, last = text.split("~")
    kept: Iterable[str] = (each for index, each in enumerate(disclosures) if index not in gone)
    return "~".join((jwt, *kept, last))
