"""The tokens that one program holds, in memory: each under all that it is for, so that none serves anything else."""

from dataclasses import dataclass, field, replace
from typing import Final

from deputize.core.values import Instant, Seconds
from deputize.sdk.answers import TokenSet

EARLY: Final = Seconds(30)  # a token is renewed this long before it ends: clocks differ, and requests take time
KEPT_MAX: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Purpose:
    """What a token is for: which server gave it to which client, for which resource, scope and key."""

    issuer: str
    client_id: str
    resource: str
    tenant: str
    scope: frozenset[str]
    key: str | None


@dataclass(slots=True)
class TokenCache:
    """What is held; the oldest goes first. It shows no token, and writes none down."""

    _held: dict[Purpose, TokenSet] = field(default_factory=dict, repr=False)

    def held(self, purpose: Purpose) -> TokenSet | None:
        """The token, ended or not."""
        return self._held.get(purpose)

    def live(self, purpose: Purpose, now: Instant) -> TokenSet | None:
        """The token, if it has a while to go."""
        token = self._held.get(purpose)
        return token if token is not None and now + EARLY < token.expires_at else None

    def keep(self, purpose: Purpose, token: TokenSet) -> None:
        """Hold a token in place of what was held; its refresh token stays where no new one came."""
        before = self._held.pop(purpose, None)
        if token.refresh_token is None and before is not None:
            token = replace(token, refresh_token=before.refresh_token)
        while len(self._held) >= KEPT_MAX:
            del self._held[next(iter(self._held))]
        self._held[purpose] = token

    def drop(self, purpose: Purpose) -> None:
        self._held.pop(purpose, None)
