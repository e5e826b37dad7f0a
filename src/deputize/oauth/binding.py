"""The key that a token is bound to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from deputize.core.wire import JsonObject

OF_CERTIFICATE: Final = "x5t:"  # no thumbprint of a key has a colon


@dataclass(frozen=True, slots=True)
class BoundKey:
    """A proof: the sender holds this key, and showed it in this very request.

    `jkt` is the thumbprint of a DPoP key (RFC 9449), `x5t` that of a TLS certificate (RFC 8705): one of them. `jwk` is
    the DPoP key as it was shown.
    """

    jkt: str | None = None
    x5t: str | None = None
    jwk: JsonObject | None = field(default=None, compare=False, repr=False)

    def claim(self) -> JsonObject:
        """As a `cnf` claim."""
        return {"jkt": self.jkt} if self.jkt is not None else {"x5t#S256": self.x5t}

    @property
    def name(self) -> str:
        """The key as a text: to be kept, and to be compared with what was kept."""
        return self.jkt if self.jkt is not None else f"{OF_CERTIFICATE}{self.x5t}"


def thumbprint_in(claims: Mapping[str, object]) -> str | None:
    """The name of the key in a token's `cnf` (as `BoundKey.name` has it), or None where the token is not bound."""
    cnf = claims.get("cnf")
    if not isinstance(cnf, Mapping):
        return None
    jkt, x5t = cnf.get("jkt"), cnf.get("x5t#S256")
    if isinstance(jkt, str):
        return jkt
    return f"{OF_CERTIFICATE}{x5t}" if isinstance(x5t, str) else None


def of_certificate(name: str | None) -> bool:
    """Whether the key of this name is a certificate's: its tokens are Bearer tokens (RFC 8705, 3)."""
    return name is not None and name.startswith(OF_CERTIFICATE)
