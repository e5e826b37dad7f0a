"""The key that a token is bound to."""

from collections.abc import Mapping
from dataclasses import dataclass

from deputize.core.wire import JsonObject


@dataclass(frozen=True, slots=True)
class BoundKey:
    """A proof: the sender holds the key with this thumbprint, and showed it in this very request (RFC 9449)."""

    jkt: str

    def claim(self) -> JsonObject:
        """As a `cnf` claim."""
        return {"jkt": self.jkt}


def thumbprint_in(claims: Mapping[str, object]) -> str | None:
    """The `jkt` of a token's `cnf`, or None where the token is not bound."""
    cnf = claims.get("cnf")
    jkt = cnf.get("jkt") if isinstance(cnf, Mapping) else None
    return jkt if isinstance(jkt, str) else None
