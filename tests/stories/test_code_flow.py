"""A web app of Alice's, from nothing to nothing: it pushes its request, she allows less, it acts, she takes it back.

The server is a real process; the app speaks HTTP, and has a key to authenticate with and one for its tokens.
"""

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import httpx2

from deputize.adapters.system import SystemClock, SystemRandom
from deputize.core.wire import JsonObject
from deputize.jose.keys import PrivateKey
from deputize.oauth import assertion, dpop
from tests.cli.test_serving import Running, serving, until
from tests.interop.person import SAME_ORIGIN
from tests.support.flow import VERIFIER, challenge_of, query_of

CALLBACK = "http://localhost:5096/callback"
READ, ORDER = "prescriptions:read", "prescriptions:order"


class App:
    """What the app knows: its key, and a key for its tokens."""

    def __init__(self, running: Running) -> None:
        told = json.loads((running.folder / "var/dev/apps.json").read_text())["web"]
        self.issuer, self.name = running.issuer, told["client_id"]
        self.key, self.tokens_key = PrivateKey.from_jwk(told["key"]), PrivateKey.generate()
        self.http = httpx2.Client(trust_env=False)

    def proof(self, method: str, path: str, token: str | None = None) -> dict[str, str]:
        url, jti = f"{self.issuer}{path}", SystemRandom()(128)
        made = dpop.prove(self.tokens_key, method=method, url=url, jti=jti, now=SystemClock()(), access_token=token)
        return {"dpop": made}

    def post(self, path: str, **form: str) -> httpx2.Response:
        jti = SystemRandom()(128)
        signed = assertion.make(self.name, self.key, audience=self.issuer, jti=jti, now=SystemClock()())
        known = {"client_assertion_type": assertion.TYPE, "client_assertion": signed}
        return self.http.post(f"{self.issuer}{path}", data={**form, **known}, headers=self.proof("POST", path))

    def pushes(self) -> str:
        answer = self.post(
            "/par",
            response_type="code",
            redirect_uri=CALLBACK,
            scope=f"openid profile {READ} {ORDER}",
            state="s",
            code_challenge=challenge_of(VERIFIER),
            code_challenge_method="S256",
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["request_uri"])

    def userinfo(self, token: str) -> httpx2.Response:
        headers = {"authorization": f"DPoP {token}", **self.proof("GET", "/userinfo", token)}
        return self.http.get(f"{self.issuer}/userinfo", headers=headers)


class Alice:
    """A browser, and what she does with it."""

    def __init__(self, running: Running) -> None:
        self.password = json.loads((running.folder / "var/dev/people.json").read_text())["alice"]["password"]
        self.browser = httpx2.Client(base_url=running.issuer, trust_env=False)

    def opens(self, url: str) -> httpx2.Response:
        page = self.browser.get(url)
        while page.status_code == 303 and page.headers["location"].startswith("/"):
            page = self.browser.get(page.headers["location"])
        return page

    def sends(self, page: httpx2.Response, path: str, **fields: str) -> httpx2.Response:
        hidden = {
            name: unescape(value)
            for name, value in re.findall(r'<input type="hidden" name="([a-z]+)" value="([^"]*)"', page.text)
        }
        return self.browser.post(path, data={**hidden, **fields}, headers=SAME_ORIGIN)


def test_from_nothing_to_nothing(tmp_path: Path) -> None:
    with serving(tmp_path) as running:
        until((tmp_path / "var/dev/apps.json").exists)
        app, alice = App(running), Alice(running)
        with app.http, alice.browser:
            _tell(app, alice, running.issuer)


def _tell(app: App, alice: Alice, issuer: str) -> None:
    page = alice.opens(f"/authorize?client_id={app.name}&request_uri={app.pushes()}")
    page = alice.opens(alice.sends(page, "/sign-in", login="alice", password=alice.password).headers["location"])
    assert "prepare orders" in page.text
    reading = re.search(r'name="(scope[0-9]+)" value="1" checked> <span>read your', page.text)
    assert reading
    landed = alice.sends(page, str(page.url.raw_path, "ascii"), answer="allow", **{reading[1]: "1"})
    told = query_of(landed.headers["location"])
    assert landed.headers["location"].startswith(f"{CALLBACK}?")
    assert (told["state"], told["iss"]) == ("s", issuer)

    answer = app.post("/token", grant_type="authorization_code", code=told["code"], code_verifier=VERIFIER)
    assert answer.status_code == 200, answer.text
    tokens: dict[str, Any] = answer.json()
    assert (tokens["token_type"], tokens["scope"]) == ("DPoP", f"openid {READ}")
    who: JsonObject = app.userinfo(tokens["access_token"]).json()
    assert who == {"sub": "alice"}  # she has not told her name

    again = alice.opens(f"/authorize?client_id={app.name}&request_uri={app.pushes()}")
    assert "<dd>Know who you are and read" in again.text  # what was allowed before stands there, where more is asked

    agents = alice.opens("/agents")
    alice.sends(agents, f"/agents/{app.name}/take-back")
    assert app.userinfo(tokens["access_token"]).status_code == 401
    dead = app.post("/token", grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert dead.json()["error"] == "invalid_grant"
    assert alice.opens(f"/authorize?client_id={app.name}&request_uri={app.pushes()}").status_code == 403
