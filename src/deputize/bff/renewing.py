"""The token of a session, renewed before it ends: by one at a time, whichever process serves the browser."""

from dataclasses import dataclass, field, replace
from typing import Final
from weakref import WeakValueDictionary

import anyio

from deputize.bff import sessions
from deputize.bff.sessions import BffSession, Held
from deputize.core.ports import Env, Replace
from deputize.core.rules import Fault, Rule
from deputize.core.values import Instant, Seconds
from deputize.sdk.answers import Refused
from deputize.sdk.authorize import refresh
from deputize.sdk.discover import Discovery
from deputize.sdk.flow import arun
from deputize.sdk.login import ClientLogin
from deputize.sdk.obtain import revoke

EARLY: Final = Seconds(30)
RENEWING_MAX: Final = Seconds(20)
PAUSE_SECONDS: Final = 0.1
TRIES: Final = 200  # of pauses: as long as another process may be at it

SIGNED_IN = Rule(
    "RFC 10017", "6.1.2.2", "Who calls is signed in; a session ends with its time, and with its refresh token."
)


@dataclass(slots=True)
class Renewing:
    """Hands out the tokens of sessions."""

    login: ClientLogin
    resource: str
    env: Env
    discovery: Discovery
    _turns: "WeakValueDictionary[str, anyio.Lock]" = field(default_factory=WeakValueDictionary, repr=False)

    async def token(self, name: str, *, dead: str = "") -> Held:
        """What this session holds now, with an access token that has a while to go, and is not the `dead` one."""
        turn = self._turns.setdefault(sessions.key_of(name), anyio.Lock())
        async with turn:
            for _ in range(TRIES):
                there = await sessions.found(name, self.env)
                if there is None:
                    SIGNED_IN.refuse("signed_out")
                session, held = there
                now = self.env.clock()
                if now + EARLY < held.expires_at and held.access_token.reveal() != dead:
                    return held
                if now < session.renewing_until:  # another process is at it
                    await anyio.sleep(PAUSE_SECONDS)
                    continue
                claimed = replace(session, renewing_until=Instant(now + RENEWING_MAX))
                if await self.env.store.commit(Replace(session, claimed)):
                    with anyio.CancelScope(shield=True):  # a browser that goes away must not take the new token along
                        return await self._renewed(name, held)
        raise Fault("a session is being renewed all the time", retry=True)

    async def _renewed(self, name: str, held: Held) -> Held:
        env = self.env
        claimed = await env.store.read(BffSession, sessions.key_of(name))
        if claimed is None or held.refresh_token is None:
            await sessions.end(claimed, env)
            SIGNED_IN.refuse("signed_out")
        try:
            server = await self.discovery.server(self.login.issuer, env)
            flow = refresh(server, self.login, held.refresh_token, resource=self.resource)
            told = await arun(flow, env)
        except Refused:
            await sessions.end(claimed, env)
            SIGNED_IN.refuse("signed_out")
        except Fault:
            await env.store.commit(Replace(claimed, replace(claimed, renewing_until=Instant(0))))
            raise
        fresh = Held.of(told, held.person, held)
        if not await sessions.renewed(name, claimed, fresh, env):  # signed out meanwhile
            await self.give_up(fresh)
            SIGNED_IN.refuse("signed_out")
        return fresh

    async def give_up(self, held: Held) -> None:
        """Have the server end what a session held. Raises Fault where it is out of reach."""
        server = await self.discovery.server(self.login.issuer, self.env)
        for token in (held.refresh_token, held.access_token):
            if token is None or server.revocation_endpoint is None:
                continue
            try:
                await arun(revoke(server, self.login, token), self.env)
            except Refused as refused:
                raise Fault(f"a token could not be given up: {refused.error}") from None
