"""One call of an agent's: a token for just that, a person's word where the API wants it, and the very same bytes."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

from deputize.core.ports import Env
from deputize.core.rules import Refusal
from deputize.core.wire import Headers, Malformed, Outbound
from deputize.gateway import headers
from deputize.gateway.approvals import Approvals, Errand
from deputize.gateway.body import Returned
from deputize.gateway.inject import credential
from deputize.gateway.routes import Route
from deputize.gateway.scrub import Injected, Needles
from deputize.gateway.settings import Settings
from deputize.gateway.upstream import Answer, Unreachable, Upstream
from deputize.gateway.waiting import Flight, Patience
from deputize.gateway.wallet import Wallet
from deputize.oauth import challenge
from deputize.oauth.challenge import Challenge
from deputize.oauth.details import HTTP_CALL, http_call
from deputize.resource.asgi import one_reading
from deputize.sdk.answers import TokenSet

_DEAD_TOKEN = frozenset({"invalid_token", "invalid_dpop_proof"})


@dataclass(slots=True)
class Proxy:
    """Makes calls, with what the wallet holds."""

    wallet: Wallet
    approvals: Approvals
    upstream: Upstream
    settings: Settings
    env: Env
    _injected: dict[str, Injected] = field(default_factory=dict)

    async def perform(self, errand: Errand, patience: Patience) -> Answer:
        """Make the call; where the API wants a person's word for it, ask, and make it once more as it was.

        Raises StillAsking where the person has not answered: called again, it goes on where it was.
        """
        if errand.asked is None:
            answer = await self._first(errand, patience)
            compact = _transaction_challenge(answer) if errand.route.may_ask else None
            if compact is None:
                return answer
            await answer.close()
            await self._ask(errand, compact)
        if errand.asked is None:
            raise TypeError("nobody was asked")
        return await self.send(errand, await patience.over(errand.asked))

    async def send(self, errand: Errand, token: TokenSet) -> Answer:
        """Make the call with this token, once."""
        call, route, now = errand.call, errand.route, self.env.clock()
        made = credential(
            token,
            self.wallet.key(route.agent),
            method=call.method,
            url=call.url,
            jti=self.env.random(128),
            now=now,
            asks=route.may_ask,
        )
        self._injected_at(route).note(made.token, token.expires_at, made.proof, now)
        return await self.upstream.send(call, made.headers, errand.stream)

    async def _first(self, errand: Errand, patience: Patience) -> Answer:
        """The call with the token that the route needs. A token that the API no longer takes is replaced once."""
        route, scope = errand.route, errand.scope
        for last in (False, True):
            token = await self.wallet.token(route, scope, patience)
            answer = await self.send(errand, token)
            if answer.status != 401 or _error(answer) not in _DEAD_TOKEN:
                return answer
            await answer.close()
            self.wallet.dead(route, scope, token)
            if errand.call.body is None or last:
                break
        raise Unreachable("the API does not take the gateway's token")

    async def _ask(self, errand: Errand, compact: str) -> None:
        """Have the person asked for just this call, in the API's own signed words."""
        told = await self._believed(errand, compact)
        self.approvals.hold_back(errand)
        agent = errand.route.agent
        presented = await self.wallet.present(agent, compact)
        errand.txn = told.txn

        async def answered(waiting: Callable[[], None]) -> TokenSet:
            if isinstance(presented, TokenSet):
                return presented
            return await self.wallet.approved(agent, presented, waiting)

        errand.until = None if isinstance(presented, TokenSet) else presented.until
        errand.asked = Flight(answered)
        self.approvals.open(errand, errand.until)

    async def _believed(self, errand: Errand, compact: str) -> Challenge:
        """The challenge, if the route's own API signed it, for our server, about the call that was made."""
        resource, call = errand.route.resource, errand.call
        for fresher in (False, True):
            keys = await self.wallet.discovery.challenge_keys(resource, self.env, fresher=fresher)
            try:
                issuer = self.wallet.identity.issuer.text
                told = challenge.read(
                    compact, keys, resource=resource, authorization_server=issuer, now=self.env.clock()
                )
                break
            except Refusal:
                continue
        else:
            raise Unreachable("a challenge that does not hold")
        this = http_call(call.method, call.whole_url, call.body or b"")
        if any(detail != this for detail in told.details if detail.type == HTTP_CALL):
            raise Unreachable("a challenge about another call")
        return told

    # --- what goes back ---------------------------------------------------------------------------------------------

    def returned(self, errand: Errand, answer: Answer) -> Returned:
        """The answer as the agent gets it: listed headers, nothing injected, a `Location` on the same route."""
        needles = self._injected_at(errand.route).needles()
        told = [(name, needles.struck_text(value)) for name, value in headers.answered(answer.headers.items)]
        if answer.status in {204, 304}:
            told = [(name, value) for name, value in told if name != "content-length"]
        where = self._location(errand, answer.headers, needles)
        more = () if where is None else (("location", where),)
        if errand.approval is not None:
            more = (*more, ("deputize-approval", errand.approval.id))
        return Returned(
            status=answer.status,
            headers=(*told, *more, ("x-content-type-options", "nosniff")),
            parts=needles.scrubbed(answer.parts()),
        )

    async def kept(self, errand: Errand, answer: Answer) -> Outbound:
        """The answer as a whole, for an agent that looks later."""
        back = self.returned(errand, answer)
        body = bytearray()
        try:
            async with asyncio.timeout(self.settings.keep_seconds):
                async for part in back.parts:
                    body += part
                    if len(body) > self.settings.kept_max:
                        raise Unreachable("an answer too large to be kept")
        except TimeoutError:
            raise Unreachable("an answer without an end") from None
        finally:
            await answer.close()
        plain = tuple((name, value) for name, value in back.headers if name != "content-length")
        return Outbound(status=back.status, headers=plain, body=bytes(body))

    def _location(self, errand: Errand, told: Headers, needles: Needles) -> str | None:
        """Where the API sends the agent, if that lies on the same route; never another place, and never ours to go."""
        values = told.all("location")
        if len(values) != 1 or not values[0].isascii():
            return None
        try:
            parts = urlsplit(urljoin(errand.call.url, values[0]))
            here = urlsplit(errand.route.upstream.text)
            same = (parts.scheme, parts.netloc) == (here.scheme, here.netloc)
            path = errand.route.path_of(parts.path) if same and one_reading(parts.path, parts.path) else None
        except ValueError:
            return None
        if path is None:
            return None
        return needles.struck_text(path + (f"?{parts.query}" if parts.query else ""))

    def _injected_at(self, route: Route) -> Injected:
        return self._injected.setdefault(route.upstream.origin, Injected())


def _challenges(answer: Answer) -> list[dict[str, str]]:
    """The parameters of each challenge that can be read."""
    found = []
    for line in answer.headers.all("www-authenticate"):
        try:
            _, params = challenge.challenge_params(line)
        except Malformed:
            continue
        found.append(params)
    return found


def _transaction_challenge(answer: Answer) -> str | None:
    """The one transaction challenge of an answer."""
    asking = [told for told in _challenges(answer) if told.get("error") == challenge.ERROR]
    if answer.status != 401 or len(asking) != 1:
        return None
    compact = asking[0].get("transaction_challenge")
    return compact if compact and len(compact) <= challenge.CHALLENGE_MAX else None


def _error(answer: Answer) -> str | None:
    """What an answer says was wrong."""
    return next((params["error"] for params in _challenges(answer) if "error" in params), None)
