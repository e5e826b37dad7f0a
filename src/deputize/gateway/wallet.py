"""Tokens, held for agents who never see one: in memory, each for one agent, person, resource and scope."""

from collections.abc import Callable
from dataclasses import dataclass, field

from deputize.core.ports import Env
from deputize.core.rules import Fault, Refusal
from deputize.core.values import ClientId, Instant, Seconds
from deputize.gateway.routes import Route, Table
from deputize.gateway.settings import GatewayIdentity, Settings
from deputize.gateway.waiting import ALLOWED, IN_TIME, Flights, Patience
from deputize.jose.keys import PrivateKey
from deputize.sdk.answers import Pending, Refused, TokenSet
from deputize.sdk.discover import Discovery
from deputize.sdk.flow import arun
from deputize.sdk.login import ClientLogin, PrivateKeyJwt
from deputize.sdk.obtain import (
    CALLED_OFF,
    ciba_begin,
    ciba_collect,
    client_credentials,
    exchange,
    transaction_begin,
    transaction_collect,
)

FRESH = Seconds(15)  # a token that ends within this is not begun with
_NO = "access_denied"
_STALE = frozenset({"invalid_request", "invalid_grant", "invalid_token", _NO})  # what the mandate's end looks like


@dataclass(frozen=True, slots=True, kw_only=True)
class Pocket:
    """Where a token lies. All that it depends on is in the key, so that no token comes out of another's pocket."""

    agent: str
    person: str | None
    resource: str
    scope: frozenset[str]
    mandate: bool = False


@dataclass(slots=True, repr=False)
class Wallet:
    """What the gateway holds for its agents. The keys that tokens are bound to are made here, and are never stored."""

    table: Table
    identity: GatewayIdentity
    settings: Settings
    env: Env
    discovery: Discovery = field(default_factory=Discovery)
    _keys: dict[str, PrivateKey] = field(default_factory=dict)
    _kept: dict[Pocket, TokenSet] = field(default_factory=dict)
    _until: dict[Pocket, Instant] = field(default_factory=dict)
    _quiet: dict[Pocket, Instant] = field(default_factory=dict)
    _flights: Flights[TokenSet] = field(default_factory=Flights)

    # --- what a call needs ------------------------------------------------------------------------------------------

    async def token(self, route: Route, scope: frozenset[str], patience: Patience) -> TokenSet:
        """The token with just this scope. Refuses where the person does; StillAsking where they have not answered."""
        pocket = Pocket(agent=route.agent, person=route.person, resource=route.resource, scope=scope)
        if (kept := self._live(pocket)) is not None:
            return kept
        if route.person is None:
            return await patience.over(self._flights.join(pocket, lambda _: self._for_itself(pocket)))
        mandate = await self._mandate(route, patience)
        try:
            return await self._narrowed(pocket, mandate, patience)
        except Refused as no:
            if no.error not in _STALE:
                raise _meaning(no) from None
        self._forget(self._mandate_pocket(route), mandate)
        mandate = await self._mandate(route, patience)
        try:
            return await self._narrowed(pocket, mandate, patience)
        except Refused as no:
            raise _meaning(no) from None

    def dead(self, route: Route, scope: frozenset[str], token: TokenSet) -> None:
        """The API no longer takes this token: neither it nor what it was derived from is used again."""
        pocket = Pocket(agent=route.agent, person=route.person, resource=route.resource, scope=scope)
        if self._forget(pocket, token) and route.person is not None:
            self._kept.pop(self._mandate_pocket(route), None)

    def asking_until(self, route: Route) -> Instant:
        """Until when the person may answer what they are being asked for this route."""
        now = self.env.clock()
        return max(now, self._until.get(self._mandate_pocket(route), now))

    def key(self, agent: str) -> PrivateKey:
        """The key that this agent's tokens are bound to."""
        if agent not in self._keys:
            self._keys[agent] = PrivateKey.generate()
        return self._keys[agent]

    # --- a single call, approved by a person ------------------------------------------------------------------------

    async def present(self, agent: str, challenge: str) -> Pending | TokenSet:
        """Present an API's challenge for a call of this agent's."""
        server = await self.discovery.server(self.identity.issuer, self.env)
        try:
            return await arun(transaction_begin(server, self._login(agent), challenge), self.env)
        except Refused as no:
            raise _meaning(no) from None

    async def approved(self, agent: str, pending: Pending, waiting: Callable[[], None]) -> TokenSet:
        """The token for the call that was presented, once the person has allowed it."""
        server = await self.discovery.server(self.identity.issuer, self.env)
        try:
            return await arun(transaction_collect(server, self._login(agent), pending), self.env, waiting=waiting)
        except Refused as no:
            raise _meaning(no) from None

    async def stop(self) -> None:
        """Ask nobody any more, and forget everything."""
        await self._flights.stop()
        self._kept.clear()

    # --- how tokens come about --------------------------------------------------------------------------------------

    async def _mandate(self, route: Route, patience: Patience) -> TokenSet:
        pocket = self._mandate_pocket(route)
        if (kept := self._live(pocket)) is not None:
            return kept
        if self.env.clock() < self._quiet.get(pocket, 0):
            ALLOWED.refuse(_NO, earlier=True)
        return await patience.over(self._flights.join(pocket, lambda waiting: self._asked(pocket, waiting)))

    async def _asked(self, pocket: Pocket, waiting: Callable[[], None]) -> TokenSet:
        """Have the person asked for all that the agent's routes may need; an earlier yes answers at once."""
        server = await self.discovery.server(self.identity.issuer, self.env)
        login = self._login(pocket.agent)
        person = pocket.person or ""
        begin = ciba_begin(server, login, login_hint=person, scope=pocket.scope, resource=pocket.resource)
        try:
            pending = await arun(begin, self.env)
            self._until[pocket] = pending.until
            collect = ciba_collect(server, login, pending, scope=pocket.scope)
            return self._keep(pocket, await arun(collect, self.env, waiting=waiting))
        except Refused as no:
            if no.error == _NO and pocket in self._until:  # said by the person, who is now left alone for a while
                self._quiet[pocket] = Instant(self.env.clock() + self.settings.quiet_seconds)
            raise _meaning(no) from None
        finally:
            self._until.pop(pocket, None)

    async def _narrowed(self, pocket: Pocket, mandate: TokenSet, patience: Patience) -> TokenSet:
        async def work(_: Callable[[], None]) -> TokenSet:
            server = await self.discovery.server(self.identity.issuer, self.env)
            flow = exchange(
                server, self._login(pocket.agent), mandate.access_token, scope=pocket.scope, resource=pocket.resource
            )
            return self._keep(pocket, await arun(flow, self.env))

        return await patience.over(self._flights.join(pocket, work))

    async def _for_itself(self, pocket: Pocket) -> TokenSet:
        server = await self.discovery.server(self.identity.issuer, self.env)
        flow = client_credentials(server, self._login(pocket.agent), scope=pocket.scope, resource=pocket.resource)
        try:
            return self._keep(pocket, await arun(flow, self.env))
        except Refused as no:
            raise _meaning(no) from None

    def _login(self, agent: str) -> ClientLogin:
        key = self.identity.client_keys.get(agent)
        if key is None:
            raise Fault(f"the gateway has no client key for {agent}")
        return ClientLogin(
            client_id=ClientId(agent),
            issuer=self.identity.issuer,
            method=PrivateKeyJwt(key),
            clock=self.env.clock,
            random=self.env.random,
            dpop_key=self.key(agent),
        )

    # --- pockets ----------------------------------------------------------------------------------------------------

    def _mandate_pocket(self, route: Route) -> Pocket:
        scope = self.table.mandate_scope(route)
        return Pocket(agent=route.agent, person=route.person, resource=route.resource, scope=scope, mandate=True)

    def _live(self, pocket: Pocket) -> TokenSet | None:
        kept = self._kept.get(pocket)
        if kept is not None and kept.expires_at <= self.env.clock() + FRESH:
            del self._kept[pocket]
            return None
        return kept

    def _keep(self, pocket: Pocket, token: TokenSet) -> TokenSet:
        self._kept[pocket] = token
        return token

    def _forget(self, pocket: Pocket, token: TokenSet) -> bool:
        if self._kept.get(pocket) is not token:  # another call has obtained a new one since
            return False
        del self._kept[pocket]
        return True


def _meaning(no: Refused) -> Refusal | Fault:
    """What the authorization server's no means to an agent: the person's word, or nothing that it could mend."""
    if no.error == _NO:
        return Refusal(_NO, ALLOWED)
    if no.error == CALLED_OFF:
        return Refusal(CALLED_OFF, IN_TIME)
    return Fault(f"the authorization server refused the gateway: {no.error}")
