"""How a credential enters a call: after everything of the agent's that could be taken for one has left it."""

from dataclasses import dataclass

from deputize.core.values import Instant
from deputize.jose.keys import PrivateKey
from deputize.oauth import challenge, dpop
from deputize.sdk.answers import TokenSet


@dataclass(frozen=True, slots=True)
class Credential:
    """What makes one call the gateway's own: a token, and a proof that is good for this call alone."""

    headers: tuple[tuple[str, str], ...]
    token: str
    proof: str

    def __repr__(self) -> str:
        return "Credential(…)"


def credential(
    token: TokenSet, key: PrivateKey, *, method: str, url: str, jti: str, now: Instant, asks: bool
) -> Credential:
    """A bound token with a fresh proof (RFC 9449, 7.1). `asks` says that a challenge would reach a person."""
    text = token.access_token.reveal()
    proof = dpop.prove(key, method=method, url=url, jti=jti, now=now, access_token=text)
    headers = (("authorization", f"{token.token_type} {text}"), ("dpop", proof))
    return Credential((*headers, (challenge.ACCEPTS, "?1")) if asks else headers, text, proof)
