"""SD-JWT VC with ten Disclosures against the raw signatures and two libraries: `python -m benchmarks.sdjwt`.

A round measures each in turn, so that all see the same weather. Process CPU time, for the machine may be shared: of
ours, of PyPI `sd-jwt` in this process, and of npm `@sd-jwt/sd-jwt-vc` in its own. Ours is all of it: from claims to a
credential, and from a presentation with key binding to claims that met a policy. The presentations are of 64 holders,
whose keys ours and npm's keep loaded; `cold` is ours with a holder each time whom it has not seen.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from itertools import cycle
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from jwcrypto.jwk import JWK  # type: ignore[import-untyped]
from sd_jwt.common import SDObj  # type: ignore[import-untyped]
from sd_jwt.issuer import SDJWTIssuer  # type: ignore[import-untyped]
from sd_jwt.verifier import SDJWTVerifier  # type: ignore[import-untyped]

from benchmarks.rows import Plan, Row
from deputize import vc
from deputize.adapters.system import SystemRandom
from deputize.core.values import Instant
from deputize.jose.keys import PrivateKey
from tools import node

NOW: Final = Instant(int(time.time()))
ISSUER, TYPE = "https://uni.example/registrar", "https://uni.example/types/diploma/2"
ASKED: Final = vc.Asked(audience="https://verifier.example", nonce="n-0S6_WzA2Mj")
NAMES: Final = tuple(f"claim_{number}" for number in range(10))
FRAME: Final = vc.Frame.of(*NAMES)
SCRIPT: Final = Path(__file__).with_name("sdjwt.mjs")
HOLDERS: Final = 64
STRANGERS: Final = 1100  # more than are kept
CALLS: Final = 40
ROWS: Final = ("sdjwt_issue", "sdjwt_verify")
Acts = dict[str, Callable[[], object]]


def bare(key: PrivateKey) -> dict[str, Any]:
    return {name: value for name, value in key.public_jwk().items() if name in {"kty", "crv", "x", "y"}}


def claims(holder: PrivateKey) -> dict[str, Any]:
    always = {"iss": ISSUER, "vct": TYPE, "iat": NOW, "exp": NOW + 86400, "cnf": {"jwk": bare(holder)}}
    return always | {name: f"value of {name}" for name in NAMES}


def presented(issuer: PrivateKey, holder: PrivateKey) -> str:
    text = vc.issue(claims(holder), FRAME, key=issuer, random=SystemRandom())
    return vc.present(text, NAMES, asked=ASKED, key=holder, now=NOW)


@dataclass(frozen=True)
class Subjects:
    """What is measured: by row, raw, ours, PyPI's, npm's; each call of one in microseconds of CPU time."""

    by_row: dict[str, dict[str, Callable[[int], float]]]


def timed(act: Callable[[], object]) -> Callable[[int], float]:
    def run(calls: int) -> float:
        begun = time.process_time_ns()
        for _ in range(calls):
            act()
        return (time.process_time_ns() - begun) / calls / 1000

    return run


@contextmanager
def subjects() -> Iterator[Subjects]:
    issuer, holders = PrivateKey.generate(), [PrivateKey.generate() for _ in range(HOLDERS)]
    texts = [presented(issuer, holder) for holder in holders]
    strangers = cycle([presented(issuer, PrivateKey.generate()) for _ in range(STRANGERS)])
    random, scheme, mine = SystemRandom(), ec.ECDSA(hashes.SHA256()), claims(holders[0])
    raw_key: Any = issuer._object  # noqa: SLF001 (the raw key is what is compared with)
    raw_holder: Any = holders[0]._object  # noqa: SLF001 (the same)
    issued, binding = texts[0].partition("~")[0].rpartition(".")[0].encode(), texts[0].rpartition("~")[2].encode()
    raw_public, holder_public = raw_key.public_key(), raw_holder.public_key()
    by_issuer, by_holder = raw_key.sign(issued, scheme), raw_holder.sign(binding, scheme)
    trusted = vc.TrustedIssuer(issuer=ISSUER, keys=vc.pinned({"keys": [issuer.public_jwk()]}), types=frozenset({TYPE}))
    policy, turn, their_turn = vc.Policy(issuers=(trusted,)), cycle(texts), cycle(texts)
    their_key, their_public = (JWK(**_plain(jwk)) for jwk in (issuer.to_jwk(), issuer.public_jwk()))
    their_claims = {SDObj(name) if name in NAMES else name: value for name, value in mine.items()}

    def two() -> None:
        raw_public.verify(by_issuer, issued, scheme)
        holder_public.verify(by_holder, binding, scheme)

    def theirs() -> object:
        read = SDJWTVerifier(next(their_turn), lambda *_: their_public, ASKED.audience, ASKED.nonce)
        return read.get_verified_payload()

    issues: Acts = {
        "raw": lambda: raw_key.sign(issued, scheme),
        "ours": lambda: vc.issue(mine, FRAME, key=issuer, random=random),
        "sd-jwt": lambda: SDJWTIssuer(their_claims, their_key, extra_header_parameters={"typ": "dc+sd-jwt"}),
    }
    verifies: Acts = {
        "raw": two,
        "ours": lambda: vc.verify(next(turn), policy, asked=ASKED, now=NOW),
        "cold": lambda: vc.verify(next(strangers), policy, asked=ASKED, now=NOW),
        "sd-jwt": theirs,
    }
    found = {
        row: {name: timed(act) for name, act in acts.items()}
        for row, acts in zip(ROWS, (issues, verifies), strict=True)
    }
    process = _npm(issuer, mine, texts)
    if process is not None:
        for row, act in zip(ROWS, ("issue", "verify"), strict=True):
            found[row]["@sd-jwt"] = _asked(process, act)
            found[row]["@sd-jwt"](2000)  # until a just-in-time compiler has seen enough
    try:
        yield Subjects(found)
    finally:
        if process is not None and process.stdin is not None:
            process.stdin.close()
            process.wait(15)


def _plain(jwk: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in jwk.items() if name not in {"alg", "use"}}


def _npm(issuer: PrivateKey, mine: dict[str, Any], texts: list[str]) -> "subprocess.Popen[str] | None":
    try:
        here = node.ready()
    except node.NotHere as why:
        print(f"no npm peer: {why}", file=sys.stderr)
        return None
    told = {
        "issuer": issuer.to_jwk(),
        "issuer_public": issuer.public_jwk(),
        "kid": issuer.kid,
        "claims": mine,
        "frame": {"_sd": list(NAMES)},
        "presented": texts,
        "now": NOW,
        "nonce": ASKED.nonce,
    }
    command = [here.program, here.script(SCRIPT)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    print(json.dumps(told), file=process.stdin, flush=True)
    return process


def _asked(process: "subprocess.Popen[str]", act: str) -> Callable[[int], float]:
    def run(calls: int) -> float:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError
        print(act, calls, file=process.stdin, flush=True)
        return float(process.stdout.readline())

    return run


def measured(rounds: int) -> dict[str, dict[str, list[float]]]:
    """By row and by who: the microseconds of each round."""
    with subjects() as found:
        told: dict[str, dict[str, list[float]]] = {row: {who: [] for who in acts} for row, acts in found.by_row.items()}
        for _ in range(rounds):
            for row, acts in found.by_row.items():
                for who, run in acts.items():
                    told[row][who].append(run(CALLS))
    return told


def ratio(raw: list[float], other: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(raw, other, strict=True))


def rows(plan: Plan, rounds: int) -> list[Row]:
    """The rows of the record, with the better of the two peers."""
    with plan.cores.on_server_core():
        told = measured(rounds)
    return [_row(name, each, rounds) for name, each in told.items()]


def _row(name: str, told: dict[str, list[float]], rounds: int) -> Row:
    at = {who: statistics.median(times) for who, times in told.items()}
    peer = min((who for who in at if who in {"sd-jwt", "@sd-jwt"}), key=lambda who: at[who])
    return Row(
        id=name,
        ours_per_s=1e6 / at["ours"],
        peer=f"PyPI sd-jwt {version('sd-jwt')}" if peer == "sd-jwt" else f"npm {_npm_name()}",
        peer_per_s=1e6 / at[peer],
        limit_per_s=1e6 / at["raw"],
        ratio_to_peer=ratio(told[peer], told["ours"]),
        ratio_to_limit=ratio(told["raw"], told["ours"]),
        rounds=rounds,
    )


def _npm_name() -> str:
    return f"@sd-jwt/sd-jwt-vc {node.ready().package_version('@sd-jwt/sd-jwt-vc')}"


def main(rounds: int = 60) -> None:
    """Print a table, and the same as JSON in its last line."""
    told = measured(rounds)
    for row, each in told.items():
        print(row)
        for who, times in each.items():
            best = min(each["raw"]) / min(times)
            print(
                f"  {who:10} {statistics.median(times):9.1f} µs   {ratio(each['raw'], times):6.3f} of raw"
                f" ({best:.3f} at best)   {ratio(times, each['ours']):5.2f} × ours"
            )
    medians = {row: {who: statistics.median(times) for who, times in each.items()} for row, each in told.items()}
    print(json.dumps({"rounds": rounds, "us": medians}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
