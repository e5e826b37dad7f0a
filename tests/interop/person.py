"""Alice at a browser that is a few lines long: she signs in where she is asked to, and allows what is asked."""

import re
from html import unescape

import httpx2

SAME_ORIGIN = {"sec-fetch-site": "same-origin", "origin": "null"}  # what a browser says of a form of ours


def _field(page: httpx2.Response, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page.text)
    assert found, page.text
    return unescape(found[1])


def _follow(browser: httpx2.Client, answer: httpx2.Response) -> httpx2.Response:
    while answer.status_code == 303 and answer.headers["location"].startswith("/"):
        answer = browser.get(answer.headers["location"])
    return answer


def allows(url: str, login: str, password: str) -> str:
    """Where her browser is sent with the answer to the authorization request at this URL."""
    issuer = url.partition("/authorize")[0]
    with httpx2.Client(base_url=issuer, trust_env=False) as browser:
        page = _follow(browser, browser.get(url))
        if 'name="password"' in page.text:
            fields = {name: _field(page, name) for name in ("token", "next")}
            sent = {**fields, "login": login, "password": password}
            page = _follow(browser, browser.post("/sign-in", data=sent, headers=SAME_ORIGIN))
        assert page.status_code == 200, page.text
        ticks = re.findall(r'<input type="checkbox" name="([a-z0-9]+)"', page.text)
        fields = {"token": _field(page, "token"), "answer": "allow", **dict.fromkeys(ticks, "1")}
        answer = browser.post(str(page.url.raw_path, "ascii"), data=fields, headers=SAME_ORIGIN)
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])
