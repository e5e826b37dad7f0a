"""npm @sd-jwt/* and PyPI sd-jwt: each reads what we issued and presented, and we read theirs, with key binding."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from jwcrypto.jwk import JWK  # type: ignore[import-untyped]
from sd_jwt.common import SDObj  # type: ignore[import-untyped]
from sd_jwt.holder import SDJWTHolder  # type: ignore[import-untyped]
from sd_jwt.issuer import SDJWTIssuer  # type: ignore[import-untyped]
from sd_jwt.verifier import SDJWTVerifier  # type: ignore[import-untyped]

from deputize import vc
from deputize.adapters.system import SystemRandom
from deputize.core.values import Instant
from tests.vc.made import ASKED, FRAME, ISSUER, NOW, VCT, VERIFIER, claims, holder_key, issuer_key
from tools.node import Node

SHOW: list[tuple[str | int | None, ...] | str] = ["given_name", ("nationalities", 1)]
BARE = {name: value for name, value in holder_key().public_jwk().items() if name in {"kty", "crv", "x", "y"}}
LATE = 4_000_000_000
CLAIMS = claims(cnf={"jwk": BARE})
SEEN = claims(cnf={"jwk": BARE}, address={"country": "ES"}, nationalities=["PT"])
POLICY = vc.Policy(
    issuers=(
        vc.TrustedIssuer(issuer=ISSUER, keys=vc.pinned({"keys": [issuer_key().public_jwk()]}), types=frozenset({VCT})),
    )
)


def ours() -> str:
    return vc.issue(CLAIMS, FRAME, key=issuer_key(), random=SystemRandom())


def ours_presented(text: str, now: Instant = NOW) -> str:
    return vc.present(text, SHOW, asked=ASKED, key=holder_key(), now=now)


# --- npm ----------------------------------------------------------------------------------------------------------

SCRIPT = Path(__file__).with_name("sd_jwt.mjs")


@pytest.fixture(scope="module")
def npm(foreign: Node) -> dict[str, Any]:
    """What npm's library makes, and what it sees in ours."""
    issued = ours()
    presented = ours_presented(issued)
    told = {
        "issuer": issuer_key().to_jwk(),
        "issuer_public": issuer_key().public_jwk(),
        "holder": holder_key().to_jwk(),
        "kid": issuer_key().kid,
        "now": NOW,
        "audience": VERIFIER,
        "nonce": ASKED.nonce,
        "claims": CLAIMS,
        "frame": {
            "_sd": ["given_name"],
            "_sd_decoy": 2,
            "address": {"_sd": ["locality"]},
            "nationalities": {"_sd": [0, 1]},
        },
        "show": {"given_name": True, "nationalities": {"1": True}},
        "ours": issued,
        "ours_presented": presented,
        "ours_json": vc.to_json(presented),
    }
    done = subprocess.run(
        [foreign.program, foreign.script(SCRIPT), json.dumps(told)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.timeout(400)  # the first run installs the packages
@pytest.mark.peer("@sd-jwt/sd-jwt-vc (npm)", "SD-JWT VC: reads ours, with key binding, and we read its")
def test_npm_reads_ours(npm: dict[str, Any]) -> None:
    assert npm["ours"] == CLAIMS
    assert npm["ours_presented"] == SEEN
    assert npm["ours_from_json"] == SEEN
    assert npm["other_nonce_fails"] is True


@pytest.mark.timeout(400)  # the same
@pytest.mark.peer("@sd-jwt/sd-jwt-vc (npm)", "SD-JWT VC: reads ours, with key binding, and we read its")
def test_we_read_npms(npm: dict[str, Any]) -> None:
    assert vc.verify(npm["issued"], POLICY, asked=None, now=NOW).claims == CLAIMS
    seen = vc.verify(npm["presented"], POLICY, asked=ASKED, now=NOW)
    assert seen.claims == SEEN
    assert seen.holder
    assert vc.verify(vc.from_json(npm["json"], "x"), POLICY, asked=ASKED, now=NOW).claims == SEEN
    again = ours_presented(npm["issued"])
    assert vc.verify(again, POLICY, asked=ASKED, now=NOW).claims == SEEN


# --- PyPI ---------------------------------------------------------------------------------------------------------


def jwk(key: dict[str, Any]) -> JWK:
    return JWK(**{name: value for name, value in key.items() if name not in {"alg", "use"}})


@pytest.mark.peer("sd-jwt (PyPI)", "SD-JWT VC: reads ours, with key binding, and we read its")
def test_pypi_reads_ours() -> None:
    def verified(text: str, *bound: str) -> dict[str, Any]:
        read: dict[str, Any] = SDJWTVerifier(
            text, lambda *_: jwk(issuer_key().public_jwk()), *bound
        ).get_verified_payload()
        return read

    issued = ours()
    assert verified(issued) == CLAIMS
    assert verified(ours_presented(issued), VERIFIER, ASKED.nonce) == SEEN


@pytest.mark.peer("sd-jwt (PyPI)", "SD-JWT VC: reads ours, with key binding, and we read its")
def test_we_read_pypis() -> None:
    marked: dict[Any, Any] = {name: value for name, value in CLAIMS.items() if name not in {"given_name", "cnf"}}
    marked["exp"] = LATE
    marked[SDObj("given_name")] = "Alice"
    marked["address"] = {SDObj("locality"): "Madrid", "country": "ES"}
    marked["nationalities"] = [SDObj("ES"), SDObj("PT")]
    issued = SDJWTIssuer(
        marked,
        jwk(issuer_key().to_jwk()),
        holder_key=jwk(BARE),
        add_decoy_claims=True,
        extra_header_parameters={"typ": "dc+sd-jwt"},
    ).sd_jwt_issuance
    assert vc.verify(issued, POLICY, asked=None, now=NOW).claims == CLAIMS | {"exp": LATE}
    holder = SDJWTHolder(issued)
    holder.create_presentation(
        {"given_name": True, "nationalities": [False, True]},
        ASKED.nonce,
        VERIFIER,
        jwk(holder_key().to_jwk()),
    )
    signed_at = Instant(holder.key_binding_jwt_payload["iat"])  # its library has a clock of its own
    seen = vc.verify(holder.sd_jwt_presentation, POLICY, asked=ASKED, now=signed_at)
    assert seen.claims == SEEN | {"exp": LATE}
    assert seen.holder
