"""Mutated tokens and messages, through our verifier and through joserfc: no crash, nothing that ours alone accepts.

    python -m fuzz.jose [OBJECTS] [SEED]

Ours may be stricter. Where it is looser on purpose, `_is_looser_on_purpose` says so.
"""

import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from joserfc import jwe as their_jwe
from joserfc import jws as their_jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, import_key
from joserfc.jwt import JWTClaimsRegistry

from deputize.core.rules import Refusal
from deputize.core.values import Instant
from deputize.core.wire import b64u, b64u_bytes
from deputize.jose import jwe, jwt
from deputize.jose.algorithms import ALL
from deputize.jose.keys import KeySet as OurKeySet
from deputize.jose.keys import PrivateKey

NOW = Instant(1_764_000_000)
ISSUER, AUDIENCE = "https://as.example", "https://api.example"
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "sub": "alice",
    "client_id": "bot",
    "jti": "1",
    "iat": NOW - 5,
    "exp": NOW + 300,
}
EXPECTED = jwt.Expectation(
    typ=frozenset({"at+jwt"}),
    algs=ALL,
    issuer=ISSUER,
    audience=jwt.Among(AUDIENCE),
    lifetime_max=None,
    age_max=None,
    needs=frozenset({"exp", "sub"}),
    error="invalid_token",
)
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_NAMES = sorted(
    {"alg", "b64", "crit", "cty", "enc", "epk", "exp", "jku", "jwk", "kid", "nonce", "typ", "url", "x5c", "x5t", "x5u"}
    | {"zip"}
)
_CLAIMS = sorted(
    {"act", "aud", "client_id", "cnf", "events", "exp", "iat", "iss", "jti", "nbf", "nonce", "scope", "sub", "vct"}
)
_ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 1.5, 2**31, 2**53, NOW, NOW + 5, NOW - 11, NOW + 11, float(NOW + 60), 1e18, 10**15),
    *("", "none", "None", "HS256", "es256", "ES256", "ES384", "Ed25519", "EdDSA", "RS256", "PS256", "ES256 ", "DEF"),
    *(
        "JWT",
        "at+jwt",
        "AT+JWT",
        "application/at+jwt",
        "dpop+jwt",
        "\N{KELVIN SIGN}b+jwt",
        "x" * 300,
        "a\x00",
        "ä",
        "😀",
    ),
    *(ISSUER, AUDIENCE, ISSUER + "/", [ISSUER], [AUDIENCE], [AUDIENCE, ISSUER], [AUDIENCE, 7], "alice", str(NOW + 60)),
    *([], {}, [[]], {"a": {}}, ["exp"], ["b64"], [None]),
)
_LETTERS = 'ABCXYZabcxyz0189-_+/=. \n\x00é{}":'


Maker = tuple[float, Callable[[], str]]
Verdict = Callable[[str], bool]


@dataclass(slots=True)
class Fuzzer:
    """Everything that a run needs: keys, good objects, dice, and what came of it so far."""

    dice: random.Random
    keys: dict[str, PrivateKey] = field(default_factory=lambda: {alg: PrivateKey.generate(alg) for alg in sorted(ALL)})
    opener: jwe.DecryptionKey = field(default_factory=jwe.DecryptionKey.generate)
    tally: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    ours: OurKeySet = field(init=False)
    theirs: dict[str, Any] = field(init=False)
    good: list[str] = field(init=False)
    sealed: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.ours = OurKeySet.of(*(key.public() for key in self.keys.values()))
        self.theirs = {alg: import_key(key.public_jwk()) for alg, key in self.keys.items()}
        self.good = [jwt.sign(CLAIMS, key, typ="at+jwt") for key in self.keys.values() for _ in range(8)]
        public = self.opener.public_jwk()
        self.sealed = [
            jwe.encrypt(self.good[0].encode(), public, enc=enc) for enc in sorted(jwe.ENCS) for _ in range(8)
        ]

    # --- making --------------------------------------------------------------------------------------------------

    def letters(self, text: str) -> str:
        """A few letters changed, put in, left out, doubled; or parts moved about."""
        for _ in range(self.dice.choice((1, 1, 1, 2, 5))):
            at, letter = self.dice.randrange(len(text) + 1), self.dice.choice(_LETTERS)
            to = min(len(text), at + self.dice.choice((1, 1, 2, 4, 40)))
            text = (
                self.dice.choice(
                    (
                        text[:at] + letter + text[at + 1 :],
                        text[:at] + letter + text[at:],
                        text[:at] + text[to:],
                        text[:to] + text[at:],
                        text[at:] + text[:at],
                        text.replace(".", self.dice.choice(("..", "", " ", ".."))),
                    )
                )
                or "."
            )
        return text

    def spliced(self, pool: list[str]) -> str:
        """Parts of several good objects under one another's signatures."""
        parts = [self.dice.choice(pool).split(".") for _ in range(3)]
        return ".".join(self.dice.choice(parts)[at] for at in range(len(parts[0])))

    def object_bytes(self, good: Mapping[str, Any], names: list[str]) -> bytes:
        """A header or claims: changed, spelled oddly, or broken."""
        told = dict(good)
        for _ in range(self.dice.choice((0, 1, 1, 2))):
            name = self.dice.choice(names)
            told[name] = self.dice.choice(_ODD)
            if self.dice.random() < 0.2:
                del told[name]
        data = json.dumps(
            told,
            ensure_ascii=self.dice.random() < 0.5,
            separators=self.dice.choice(((",", ":"), (" , ", " : "), (",\n", ":\t"))),
        ).encode()
        return self.dice.choice((self.as_is, self.as_is, self.as_is, self.doubled, self.broken))(data)

    def as_is(self, data: bytes) -> bytes:
        return data

    def doubled(self, data: bytes) -> bytes:
        name = self.dice.choice(_CLAIMS + _NAMES)
        spelled = name if self.dice.random() < 0.5 else f"\\u{ord(name[0]):04x}{name[1:]}"
        more = f'"{spelled}":{json.dumps(self.dice.choice(_ODD))}'.encode()
        return data[:1] + more + b"," + data[1:] if self.dice.random() < 0.5 else data[:-1] + b"," + more + b"}"

    def broken(self, data: bytes) -> bytes:
        at = self.dice.randrange(len(data))
        piece = self.dice.choice(
            (
                b"\xef\xbb\xbf",
                b"\xff",
                b"NaN",
                b"\\ud800",
                b"\x00",
                b"1" * 400,
                b"1e400",
                b"[" * 99,
                b"{}",
                b",",
                b'"',
                b"",
            )
        )
        how = self.dice.randrange(4)
        if how == 0:
            return data.decode().encode(self.dice.choice(("utf-16", "utf-16-le", "utf-32", "utf-8-sig")))
        return (piece + data, data + piece, data[:at] + piece + data[at + self.dice.randrange(3) :])[how - 1]

    def signature(self, key: PrivateKey, data: bytes) -> bytes:
        good = key.sign(data)
        half = len(good) // 2
        return self.dice.choice(
            (
                *[good] * 12,
                good[:-1],
                good + b"\0",
                bytes(len(good)),
                good[half:] + good[:half],
                good[:half] + (_ORDER - int.from_bytes(good[half : half + 32], "big") % _ORDER).to_bytes(32, "big"),
                _ORDER.to_bytes(32, "big") * 2,
                bytes(byte ^ (1 << self.dice.randrange(8)) if self.dice.random() < 0.02 else byte for byte in good),
            )
        )

    def signed(self) -> str:
        """A token that is odd, and whose signature is mostly good."""
        key = self.keys[self.dice.choice(("ES256", "ES256", "ES256", "Ed25519", "ES384"))]
        header = {"typ": "at+jwt", "alg": key.alg.name, "kid": key.kid}
        head, body = self.object_bytes(header, _NAMES), self.object_bytes(CLAIMS, _CLAIMS)
        data = f"{b64u(head)}.{b64u(body)}".encode()
        return f"{data.decode()}.{b64u(self.signature(key, data))}"

    def resealed(self) -> str:
        """A message under another header, or with parts of another length."""
        head, *parts = self.dice.choice(self.sealed).split(".")
        header = json.loads(b64u_bytes(head))
        if self.dice.random() < 0.7:
            epk = header["epk"]
            header["epk"] = {
                **epk,
                self.dice.choice(("x", "y", "crv", "kty", "d")): self.dice.choice((*_ODD, epk["y"])),
            }
        told = self.object_bytes(header, _NAMES)
        if self.dice.random() < 0.2:
            at = self.dice.randrange(len(parts))
            parts[at] = b64u(self.dice.randbytes(self.dice.choice((0, 8, 12, 16, 24))))
        return ".".join((b64u(told), *parts))

    # --- judging -------------------------------------------------------------------------------------------------

    def token_is_ours(self, token: str) -> bool:
        try:
            return bool(jwt.verify(token, self.ours, EXPECTED, NOW))
        except Refusal:
            return False

    def token_is_theirs(self, token: str) -> bool:
        registry = their_jws.JWSRegistry(algorithms=sorted(ALL), strict_check_header=False)
        registry.max_header_length = 4096  # a bound of ours, too
        wanted: Any = {"iss": {"essential": True, "value": ISSUER}, "aud": {"essential": True, "value": AUDIENCE}}
        try:
            alg = json.loads(b64u_bytes(token.partition(".")[0]))["alg"]
            read = their_jws.deserialize_compact(token, self.theirs[alg], registry=registry)
            claims = json.loads(read.payload)
            JWTClaimsRegistry(now=NOW, leeway=10, exp={"essential": True}, **wanted).validate(claims)
        except (JoseError, ValueError, TypeError, AttributeError, KeyError, RecursionError, OverflowError):
            return False
        return True

    def message_is_ours(self, message: str) -> bool:
        try:
            return bool(jwe.decrypt(message, [self.opener], encs=jwe.ENCS, error="x"))
        except Refusal:
            return False

    def message_is_theirs(self, message: str) -> bool:
        registry = their_jwe.JWERegistry(algorithms=["ECDH-ES", *jwe.ENCS], strict_check_header=False)
        registry.max_protected_header_length = 4096
        try:
            their_jwe.decrypt_compact(message, ECKey.import_key(self.opener.to_jwk()), registry=registry)
        except Exception:  # noqa: BLE001 (whatever a library raises over broken input, it does not accept it)
            return False
        return True

    def judge(self, text: str, ours: Verdict, theirs: Verdict) -> None:
        """Hold one object against both; theirs is asked of all that ours accepts, and of some that it refuses."""
        try:
            accepted = ours(text)
        except Exception as bug:  # noqa: BLE001 (any other exception is what is looked for)
            self.findings.append(f"{type(bug).__name__}: {bug}: {text!r}")
            return
        if accepted:
            self.tally["accepted"] += 1
            if not theirs(text):
                known = _is_looser_on_purpose(text)
                self.tally["looser on purpose"] += known
                if not known:
                    self.findings.append(f"accepted by ours alone: {text!r}")
        elif self.dice.random() < 0.05:
            self.tally["refused, and asked of theirs"] += 1
            self.tally["refused by ours alone"] += theirs(text)

    def run(self, objects: int) -> None:
        tokens: tuple[Maker, ...] = (
            (0.45, self.signed),
            (0.35, lambda: self.letters(self.dice.choice(self.good))),
            (0.10, lambda: self.spliced(self.good)),
        )
        messages: tuple[Maker, ...] = (
            (0.05, self.resealed),
            (0.05, lambda: self.letters(self.dice.choice(self.sealed))),
        )
        makers: list[tuple[float, Callable[[], str], Verdict, Verdict]] = [
            *((*each, self.token_is_ours, self.token_is_theirs) for each in tokens)
        ]
        makers += [*((*each, self.message_is_ours, self.message_is_theirs) for each in messages)]
        for _, make, ours, theirs in self.dice.choices(makers, [weight for weight, *_ in makers], k=objects):
            self.tally["objects"] += 1
            self.judge(make(), ours, theirs)


def _is_looser_on_purpose(text: str) -> bool:
    """A header may bear members that we never look at, whatever their values: theirs wants a `jku` to be a URL."""
    header = json.loads(b64u_bytes(text.partition(".")[0]))
    return not {"jwk", "jku", "x5u", "x5c", "x5t", "cty", "enc"}.isdisjoint(header)


def main(objects: int = 1_000_000, seed: int | None = None) -> int:
    """Run, tell what came of it, and end with 1 if anything was found."""
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    fuzzer, begun = Fuzzer(random.Random(seed)), time.monotonic()  # noqa: S311 (dice to be thrown again, no secret)
    fuzzer.run(objects)
    told = ", ".join(f"{number} {name}" for name, number in fuzzer.tally.items())
    sys.stdout.write(f"seed {seed}: {told}; {len(fuzzer.findings)} findings, {time.monotonic() - begun:.0f} s\n")
    for finding in fuzzer.findings[:5]:
        sys.stdout.write(f"  {finding[:2000]}\n")
    return 1 if fuzzer.findings else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:3])))
