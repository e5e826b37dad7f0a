"""The device flow for tests: a world in which it is on, a device that began it, and a person at a browser."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from deputize.jose.keys import PrivateKey
from deputize.oauth import device, families
from deputize.oauth.asking import Ask
from deputize.oauth.device import DeviceClient, DeviceRequest, Settings
from deputize.oauth.grants import device_code, refresh_token, table
from tests.support.asgi import Answer
from tests.support.cast import ORDER, READ
from tests.support.flow import ISSUER, Flow, a_flow, ticks_on
from tests.support.pages import SAME_ORIGIN, token_on
from tests.support.world import World

BUILD, SIGNED, UNKNOWN, BOUND = "build-light", "signed-light", "unassessed", "bound-light"
DEVICE_AT = "192.0.2.7"  # where `tests.support.asgi` sends from
GRANTS = frozenset({device_code.TYPE, refresh_token.TYPE})


@dataclass
class Devices:
    """A flow with devices in it."""

    flow: Flow

    @property
    def world(self) -> World:
        return self.flow.world

    async def begin(self, client: str = BUILD, *, key: PrivateKey | None = None, **changed: str | None) -> Answer:
        """POST /device_authorization; None leaves a parameter out."""
        good: dict[str, str | None] = {"scope": READ}
        form = {name: value for name, value in {**good, **changed}.items() if value is not None}
        return await self.world.post("/device_authorization", form, by=client, key=key)

    async def begun(self, client: str = BUILD, **changed: Any) -> Answer:
        answer = await self.begin(client, **changed)
        assert answer.status == 200, answer.body
        return answer

    async def poll(
        self, begun: Answer | str, client: str = BUILD, *, key: PrivateKey | None = None, **more: str
    ) -> Answer:
        """POST /token. A poll is remembered, whatever comes of it."""
        handle = begun if isinstance(begun, str) else begun["device_code"]
        form = {"grant_type": device_code.TYPE, "device_code": handle, **more}
        return await self.world.post("/token", form, by=client, key=key, spends=("device_request", "ask"))

    async def browser(self, person: str = "alice", *, address: str = "198.51.100.9") -> httpx2.AsyncClient:
        transport = httpx2.ASGITransport(app=self.world.app, client=(address, 50000))
        made = httpx2.AsyncClient(transport=transport, base_url=ISSUER)
        self.flow.browsers.append(made)
        await self.flow.sign_in(made, person)
        return made

    async def types(self, browser: httpx2.AsyncClient, code: str, **more: str) -> httpx2.Response:
        """Fill in the form for a code, and send it."""
        shown = await browser.get("/device")
        fields = {"token": token_on(shown), "user_code": code, **more}
        return await browser.post("/device", data=fields, headers=SAME_ORIGIN)

    async def asked(self, browser: httpx2.AsyncClient, code: str) -> httpx2.Response:
        """The page on which a typed code ends up."""
        return await self.flow.follow(browser, await self.types(browser, code))

    async def says(
        self, browser: httpx2.AsyncClient, page: httpx2.Response, answer: str, *ticks: str
    ) -> httpx2.Response:
        return await self.flow.sends(browser, page, answer, *(ticks or ticks_on(page)))

    async def answered(self, begun: Answer, answer: str = "allow", *, by: str = "alice") -> httpx2.Response:
        """Somebody types the code of the device, and answers."""
        browser = await self.browser(by)
        said = await self.says(browser, await self.asked(browser, begun["user_code"]), answer)
        assert said.status_code == 303, said.text
        return said

    async def request_of(self, begun: Answer) -> DeviceRequest:
        found = await self.world.store.read(DeviceRequest, device.read_code(begun["user_code"]))
        assert found is not None
        return found

    async def asks(self) -> list[Ask]:
        return await self.world.store.select(Ask, "", "")


@asynccontextmanager
async def devices_in(**settings: Any) -> AsyncIterator[Devices]:
    """A world with the device flow on, and a light that shows whether a build went well."""
    chosen = Settings(**{"on": True, **settings})
    async with a_flow(device=chosen, grants=table(families.Settings(), chosen)) as flow:
        common: dict[str, Any] = {"grant_types": GRANTS, "scope": frozenset({READ, ORDER})}
        for name, method in ((BUILD, "none"), (SIGNED, "private_key_jwt"), (UNKNOWN, "none")):
            await flow.world.client(name, auth_method=method, **common)
        await flow.world.client(BOUND, auth_method="none", dpop_bound=True, **common)
        for name in (BUILD, SIGNED, BOUND):
            await flow.world.add(DeviceClient(key=name, risk="it only reads", assessed_at=flow.world.now))
        yield Devices(flow)
