"""Alice and a page with a backend, over real HTTP: she signs in, the page calls an API, and no token reaches it.

The server is a process of its own; the page and the API are the examples as they stand.
"""

import json
import re
import runpy
from html import unescape
from pathlib import Path
from typing import Any

import anyio.to_thread
import httpx2
import pytest

from deputize.cli.hand import WantedClient, add_client
from tests.cli.test_serving import serving
from tests.interop.person import SAME_ORIGIN
from tests.support.serving import loopback_socket, origin_of, served

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PAGE = {"x-bff": "1", "sec-fetch-site": "same-origin"}
FORM = re.compile(r'<input type="hidden" name="([a-z]+)" value="([^"]*)"')
TICK = re.compile(r'<input type="checkbox" name="([a-z0-9]+)"')


def example(name: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr("sys.argv", [name, str(file)])
    return runpy.run_path(str(EXAMPLES / name))


async def sent_over(browser: httpx2.AsyncClient, issuer: str, url: str, password: str) -> str:
    """Alice at her server: she signs in, reads, and allows; where she is sent back to."""

    async def follow(answer: httpx2.Response) -> httpx2.Response:
        while answer.status_code == 303 and answer.headers["location"].startswith("/"):
            answer = await browser.get(f"{issuer}{answer.headers['location']}")
        return answer

    async def sends(page: httpx2.Response, path: str, **fields: str) -> httpx2.Response:
        hidden = {name: unescape(value) for name, value in FORM.findall(page.text)}
        return await browser.post(f"{issuer}{path}", data={**hidden, **fields}, headers=SAME_ORIGIN)

    page = await follow(await browser.get(url))
    page = await follow(await sends(page, "/sign-in", login="alice", password=password))
    ticks = dict.fromkeys(TICK.findall(page.text), "1")
    done = await sends(page, page.url.raw_path.decode(), answer="allow", **ticks)
    return str(done.headers["location"])


async def test_alice_and_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at, api_at = loopback_socket(), loopback_socket()
    here, api = origin_of(at), origin_of(api_at)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEPUTIZE_DEV_PHARMACY", api)
    with serving(tmp_path) as running:
        monkeypatch.setenv("DEPUTIZE_SERVER__ISSUER", running.issuer)
        for name, value in (("PAGE_URL", here), ("PAGE_ISSUER", running.issuer), ("PAGE_API", api)):
            monkeypatch.setenv(name, value)
        wanted = WantedClient(
            client_id="page",
            method="client_secret_basic",
            redirect_uris=(f"{here}/bff/callback",),
            resources=(api,),
            scope="openid prescriptions:read",
        )
        made = await anyio.to_thread.run_sync(lambda: add_client(None, wanted, dev=True))
        assert made.secret is not None
        (tmp_path / "secret").write_text(made.secret.reveal())
        password = json.loads((tmp_path / "var/dev/people.json").read_text())["alice"]["password"]
        guarded = example("pharmacy_api.py", tmp_path / "var/dev/pharmacy.json", monkeypatch)
        page = example("pharmacy_page.py", tmp_path / "secret", monkeypatch)
        try:
            async with served(page["app"], at), served(guarded["app"], api_at):
                await tell(here, running.issuer, password, page)
        finally:
            await page["env"].store.close()
            await page["env"].fetch.aclose()
            await guarded["guard"]._env.store.close()
            await guarded["guard"]._env.fetch.aclose()


async def tell(here: str, issuer: str, password: str, page: dict[str, Any]) -> None:
    seen: list[httpx2.Response] = []

    async def noted(answer: httpx2.Response) -> None:
        await answer.aread()
        seen.append(answer)

    async with httpx2.AsyncClient(trust_env=False, event_hooks={"response": [noted]}) as browser:
        assert "My prescriptions" in (await browser.get(f"{here}/")).text
        assert "X-BFF" in (await browser.get(f"{here}/page.js")).text
        assert (await browser.get(f"{here}/bff/user", headers=PAGE)).status_code == 401

        away = await browser.get(f"{here}/bff/login?return=/", headers={"sec-fetch-dest": "document"})
        back = await sent_over(browser, issuer, away.headers["location"], password)
        assert back.startswith(f"{here}/bff/callback?")
        landed = await browser.get(back, headers={"sec-fetch-dest": "document"})
        assert (landed.status_code, landed.headers["location"]) == (303, "/")

        assert (await browser.get(f"{here}/bff/user", headers=PAGE)).json()["sub"] == "alice"
        told = (await browser.get(f"{here}/api/prescriptions", headers=PAGE)).json()
        assert told["patient"] == "alice"
        held = await page["bff"]._renewing.token(browser.cookies["bff-dev"])
        for token in (held.access_token, held.refresh_token):
            assert not [one for one in seen if token.reveal() in f"{one.headers.multi_items()} {one.text}"]
        assert not [name for one in seen for name in one.headers if name.startswith("access-control")]

        for headers in ({}, {"x-bff": "1", "origin": "http://evil.localhost"}, {**PAGE, "sec-fetch-site": "same-site"}):
            assert (await browser.post(f"{here}/bff/logout", headers=headers)).status_code == 403
        assert (await browser.post(f"{here}/api/orders", headers=PAGE, json={})).status_code == 405

        assert (await browser.post(f"{here}/bff/logout", headers=PAGE)).status_code == 200
        assert (await browser.get(f"{here}/api/prescriptions", headers=PAGE)).status_code == 401
