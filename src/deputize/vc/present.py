"""The holder's choice: which Disclosures go along, and the signature that binds them to one verifier."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from deputize.core.values import Instant
from deputize.core.wire import JsonObject
from deputize.jose import jws, jwt
from deputize.jose.keys import PrivateKey
from deputize.vc.paths import Node, Path, path, select, showing
from deputize.vc.presented import HEADER_MAX, Asked, Opened, holder_key, open_sd_jwt
from deputize.vc.sdjwt import BYTES_MAX, SdJwt, digest, hash_of, outline, reveal

_ERROR = "invalid_request"
NOTHING: Final[Mapping[str, object]] = MappingProxyType({})


def tree(text: str) -> Node:
    """What an SD-JWT that was issued says, and which Disclosure shows what: for the holder to choose from.

    Its signature is not looked at: whoever was given it has verified it. Refuses what is malformed.
    """
    return _taken(text)[1]


def _taken(text: str) -> tuple[Opened, Node]:
    opened = open_sd_jwt(text, None, _ERROR)
    reveal(opened.payload, opened.parts.disclosures, _ERROR)
    return opened, outline(opened.payload, opened.parts.disclosures)


def choose(text: str, show: Iterable[Path | str]) -> str:
    """The SD-JWT with what the holder wants shown: what a path selects with all that lies in it, and nothing else.

    A Disclosure that lies in another brings that one along. Raises ValueError for a path that selects nothing.
    """
    opened, root = _taken(text)
    nodes: list[Node] = []
    for each in show:
        found = select(root, path(each))
        if not found:
            raise ValueError(f"nothing in the credential lies at {each}")
        nodes += [node for node in found if node is not None]
    wanted = showing(root, nodes)
    chosen = tuple(each for each in opened.parts.disclosures if each in wanted)
    return SdJwt(opened.parts.jwt, chosen, "").text


def binding_input(text: str, asked: Asked, *, alg: str, now: Instant, also: Mapping[str, object] = NOTHING) -> bytes:
    """What a holder's key, wherever it is, signs to bind what is presented to a verifier (RFC 9901, 4.3).

    `also` are further claims of the Key Binding JWT (the hashes of transaction data).
    """
    payload = _claims(text)
    said = {
        **also,
        "iat": now,
        "aud": asked.audience,
        "nonce": asked.nonce,
        "sd_hash": digest(text, hash_of(payload, _ERROR)),
    }
    return jws.signing_input(said, alg=alg, typ="kb+jwt", kid=None)


def present(
    text: str,
    show: Iterable[Path | str],
    *,
    asked: Asked | None = None,
    key: PrivateKey | None = None,
    now: Instant | None = None,
    also: Mapping[str, object] = NOTHING,
) -> str:
    """What the holder of an SD-JWT sends to a verifier: what it chose, bound to what the verifier asked for.

    Without `asked`, nothing binds it: whoever sees it can show it again. Raises ValueError where the key is not the
    one that the credential names.
    """
    chosen = choose(text, show)
    if asked is None:
        return chosen
    if key is None or now is None:
        raise ValueError("to bind a presentation, the holder's key and the time are needed")
    if holder_key(_claims(chosen), key.alg.name, _ERROR).thumbprint != key.public().thumbprint:
        raise ValueError("the credential is bound to another key")
    data = binding_input(chosen, asked, alg=key.alg.name, now=now, also=also)
    return chosen + jws.compact(data, key.sign(data))


def _claims(text: str) -> JsonObject:
    """The payload, as it was signed: a `cnf` is never hidden."""
    issued = text.partition("~")[0]
    return jwt.peek(issued, _ERROR, bytes_max=BYTES_MAX, header_max=HEADER_MAX)[1]
