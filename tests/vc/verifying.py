"""What the tests of requests and presentations share: a verifier with a certificate, a wallet, and their ports."""

import base64
import dataclasses
from collections.abc import Sequence
from functools import cache
from typing import Any

from cryptography import x509 as certificates

from deputize.adapters.memory import MemoryStore
from deputize.core.ports import Add, Env
from deputize.core.values import Secret
from deputize.core.wire import Form, JsonObject, form_bytes
from deputize.jose.keys import PrivateKey
from deputize.jose.x509 import Roots
from deputize.vc import presentations, requests
from deputize.vc.answers import Held, answer, choice, held
from deputize.vc.client_ids import Trust, certificate_hash
from deputize.vc.credential import issue as issue_credential
from deputize.vc.issue import Frame
from deputize.vc.issuer_keys import pinned
from deputize.vc.presentations import Verifier, Wanted
from deputize.vc.requests import PresentationRequest
from deputize.vc.verify import Policy, TrustedIssuer
from tests.jose.making import a_key
from tests.jose.test_x509 import Extension, Made, between, issue, root
from tests.support.cast import ClosedFetch, KeySigner, OpenPolicy, QuietNotify
from tests.support.ports import CountingRandom, FixedClock
from tests.vc.made import ISSUER, NOW, VCT, holder_key, issuer_key
from tests.vc.made import claims as good_claims

HOST = "verifier.example"
RESPONSE_URI = f"https://{HOST}/vp/answer"
SESSION = Secret("what-the-browser-keeps")
HIDDEN = Frame.of("given_name", ("address", "locality"), ("nationalities", None))
QUERY: JsonObject = {
    "credentials": [
        {
            "id": "dip",
            "format": "dc+sd-jwt",
            "meta": {"vct_values": [VCT]},
            "claims": [{"path": ["given_name"]}, {"path": ["nationalities", None], "values": ["PT"]}],
        }
    ]
}


def dns(*names: str) -> Extension:
    return certificates.SubjectAlternativeName([certificates.DNSName(name) for name in names]), False


@cache
def leaf(name: str = HOST) -> Made:
    return issue("verifier", between(), extra=(dns(name),))


def chain(one: Made) -> list[str]:
    return [base64.b64encode(each.der).decode() for each in (one, between())]


def signing(one: Made) -> PrivateKey:
    """The key of a certificate, as one that signs."""
    numbers = one.key.private_numbers()
    point = numbers.public_numbers
    parts = {"x": point.x, "y": point.y, "d": numbers.private_value}
    letters = {name: base64.urlsafe_b64encode(n.to_bytes(32, "big")).rstrip(b"=").decode() for name, n in parts.items()}
    return PrivateKey.from_jwk({"kty": "EC", "crv": "P-256", "alg": "ES256", **letters})


def roots() -> Roots:
    return Roots([root().der])


BY_HASH = f"x509_hash:{certificate_hash(leaf().der)}"
BY_NAME = f"x509_san_dns:{HOST}"
TRUST = Trust(roots=roots(), unsigned=True)
TRUSTED = TrustedIssuer(
    issuer=ISSUER, keys=pinned({"keys": [issuer_key().public_jwk()]}), types=frozenset({VCT}), needs=frozenset({"exp"})
)
POLICY = Policy(issuers=(TRUSTED,))


def env(clock: FixedClock | None = None) -> Env:
    return Env(
        clock=clock or FixedClock(NOW),
        random=CountingRandom(),
        store=MemoryStore(),
        fetch=ClosedFetch(),
        signer=KeySigner(),
        notify=QuietNotify(),
        policy=OpenPolicy(),
    )


def a_verifier(client_id: str = BY_HASH, *, encrypted: bool = True) -> Verifier:
    return Verifier(client_id=client_id, response_uri=RESPONSE_URI + "/{}", policy=POLICY, encrypted=encrypted)


async def begun(verifier: Verifier, ports: Env, query: JsonObject = QUERY, **told: Any) -> Wanted:
    wanted = presentations.begin(verifier, query, SESSION, ports, **told)
    assert await ports.store.commit(Add(wanted))
    return wanted


def sealed(wanted: Wanted, made: Made | None = None, wallet_nonce: str | None = None, **changes: Any) -> str:
    """The request object of a request, as `changes` alter it; `...` leaves a parameter out."""
    params = {name: value for name, value in (wanted.params() | changes).items() if value is not ...}
    one = made or leaf()
    return requests.sealed(
        params, signing(one), now=NOW, life=presentations.LIFE, chain=chain(one), wallet_nonce=wallet_nonce
    )


def read(compact: str, client_id: str = BY_HASH, trust: Trust = TRUST, **told: Any) -> PresentationRequest:
    return requests.opened(compact, client_id=client_id, trust=trust, now=NOW, **told)


def a_card(frame: Frame = HIDDEN, *, key: PrivateKey | None = None, **changes: Any) -> Held:
    text = issue_credential(good_claims(**changes), frame, key=issuer_key(), random=CountingRandom())
    return held(text, key or holder_key())


def form(fields: Sequence[tuple[str, str]]) -> Form:
    return Form.parse(form_bytes(fields))


def answering(request: PresentationRequest, *cards: Held, optional: bool = False) -> Form:
    wallet = cards or (a_card(),)
    return form(answer(request, wallet, choice(request, wallet, optional=optional), NOW))


def altered(request: PresentationRequest, **changes: Any) -> PresentationRequest:
    return dataclasses.replace(request, **changes)


def another_key() -> PrivateKey:
    return a_key("ES256", 77)
