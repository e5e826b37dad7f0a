"""A wallet's answer to a request (OpenID4VP 1.0, 8): what it holds, what of it goes out, signed for this verifier."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from cryptography import x509

from deputize.core.rules import Rule
from deputize.core.values import Instant
from deputize.core.wire import JsonObject, Malformed, b64u, json_bytes
from deputize.jose import jwe, jwt
from deputize.jose.keys import PrivateKey
from deputize.jose.x509 import certificate, x5c
from deputize.vc.credential import held_types
from deputize.vc.matching import ASKED_FOR, Choice, Pick, choose
from deputize.vc.paths import Node
from deputize.vc.present import present, tree
from deputize.vc.presented import HEADER_MAX, Asked
from deputize.vc.requests import PresentationRequest, Transaction
from deputize.vc.sdjwt import BYTES_MAX, DEFAULT_HASH

_SPEC: Final = "OpenID4VP 1.0"
CAN_ANSWER = Rule(_SPEC, "6.4", "The wallet has credentials that answer all of what the query requires.")
ITS_TRANSACTION = Rule(
    _SPEC, "8.4", "Transaction data are authorized with a credential that they name and that is presented."
)
FIELDS_MAX: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A credential in a wallet, and the key that it is bound to. `types` are those that it says it is of."""

    text: str = field(repr=False)
    key: PrivateKey | None
    types: frozenset[str]
    root: Node = field(repr=False)
    authorities: frozenset[str]
    alg: str

    @property
    def bound(self) -> bool:
        return self.key is not None


def held(text: str, key: PrivateKey | None) -> Held:
    """A credential that was verified when it was received, as a wallet keeps it."""
    token, _ = jwt.peek(text.partition("~")[0], "invalid_request", bytes_max=BYTES_MAX, header_max=HEADER_MAX)
    root = tree(text)
    claims = {name: node.value for name, node in (root.members or {}).items()}
    return Held(
        text=text,
        key=key,
        types=held_types(claims, "invalid_request"),
        root=root,
        authorities=authorities(token.header),
        alg=token.alg,
    )


def authorities(header: Mapping[str, object]) -> frozenset[str]:
    """The key identifiers of those who issued the certificates in a header, as `aki` names them (6.1.1.1)."""
    found = set[str]()
    try:
        for der in x5c(header["x5c"]) if "x5c" in header else ():
            named = certificate(der).extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
            if named.key_identifier is not None:
                found.add(b64u(named.key_identifier))
    except (Malformed, x509.ExtensionNotFound):
        pass  # who issued one that does not say so is not told
    return frozenset(found)


def choice(request: PresentationRequest, wallet: Sequence[Held], *, optional: bool = False) -> Choice:
    """What of the wallet answers a request; see `matching.choose`. The places are those in the wallet."""
    fits = [
        one
        if one.alg in request.issuer_algs and (one.key is None or one.key.alg.name in request.holder_algs)
        else replace(one, types=frozenset())
        for one in wallet
    ]
    return choose(request.query, fits, optional=optional)


def answer(
    request: PresentationRequest, wallet: Sequence[Held], chosen: Choice, now: Instant
) -> tuple[tuple[str, str], ...]:
    """The fields that are posted to the verifier: nothing goes out that was not chosen.

    Raises Refusal, with the code that the verifier is told (`refusal`), where the choice is none.
    """
    if not chosen.picks:
        CAN_ANSWER.refuse("access_denied", missing=sorted(chosen.missing))
    tied = _tied(request, chosen)
    token: dict[str, list[str]] = {}
    for pick in chosen.picks:
        said = _hashes(tied.get(pick.query, ()))
        token.setdefault(pick.query, []).append(_presented(request, wallet[pick.place], pick, said, now))
    if request.encryption is None:
        return _fields(("vp_token", json_bytes(token).decode()), request)
    payload: JsonObject = {"vp_token": token} | ({} if request.state is None else {"state": request.state})
    made = jwe.encrypt(json_bytes(payload), request.encryption.jwk, enc=request.encryption.enc)
    return (("response", made),)


def refusal(request: PresentationRequest, error: str) -> tuple[tuple[str, str], ...]:
    """The fields that tell the verifier that it gets nothing, and by no more than a code why."""
    return _fields(("error", error), request)


def _fields(first: tuple[str, str], request: PresentationRequest) -> tuple[tuple[str, str], ...]:
    return (first,) if request.state is None else (first, ("state", request.state))


def _presented(request: PresentationRequest, one: Held, pick: Pick, said: JsonObject, now: Instant) -> str:
    asked = request.query.of(pick.query)
    if asked is None:
        ASKED_FOR.refuse("invalid_request")
    show = [node.path for node in pick.show]
    if not asked.bound:
        return present(one.text, show)
    to_sign = Asked(audience=request.client_id, nonce=request.nonce)
    return present(one.text, show, asked=to_sign, key=one.key, now=now, also=said)


def _tied(request: PresentationRequest, chosen: Choice) -> dict[str, tuple[Transaction, ...]]:
    """Which presentation authorizes which transaction data: the first that they name."""
    tied: dict[str, tuple[Transaction, ...]] = {}
    presented = {pick.query for pick in chosen.picks}
    for one in request.transactions:
        name = next((name for name in one.credential_ids if name in presented), None)
        if name is None:
            ITS_TRANSACTION.refuse("invalid_transaction_data")
        tied[name] = (*tied.get(name, ()), one)
    return tied


def _hashes(told: Sequence[Transaction]) -> JsonObject:
    """The claims of the Key Binding JWT that authorize transaction data (OpenID4VP 1.0, B.3.3.1)."""
    if not told:
        return {}
    common = [name for name in told[0].hashes if all(name in one.hashes for one in told)]
    name = common[0] if common else DEFAULT_HASH
    said: JsonObject = {"transaction_data_hashes": [one.hashed(name) for one in told]}
    if any(one.hashes for one in told):
        said["transaction_data_hashes_alg"] = name
    return said
