"""Alice's thumb, where no person is there to lend one: a browser without a screen, at the same pages."""

import re
import time
from dataclasses import dataclass, field
from html.parser import HTMLParser

import httpx2

from deputize.core.rules import Fault


class _Page(HTMLParser):
    """The forms of a page with their fields, its links, and its texts."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[tuple[str, dict[str, str]]] = []
        self.links: list[str] = []
        self.headline = ""
        self._in_headline = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append((told.get("action", ""), {}))
        elif tag == "input" and self.forms and told.get("name"):
            self.forms[-1][1][told["name"]] = told.get("value", "")
        elif tag == "a":
            self.links.append(told.get("href", ""))
        elif tag == "h1":
            self._in_headline = True

    def handle_endtag(self, tag: str) -> None:
        if tag == "h1":
            self._in_headline = False

    def handle_data(self, data: str) -> None:
        if self._in_headline:
            self.headline += data

    def form(self, action: str) -> dict[str, str]:
        for where, fields in self.forms:
            if re.fullmatch(action, where):
                return fields
        raise Fault(f"the page has no form for {action}")


@dataclass(slots=True)
class Thumb:
    """A person at the pages: signs in, waits for an ask, reads it, answers; takes back."""

    issuer: str
    login: str
    password: str
    http: httpx2.Client = field(init=False)
    seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.http = httpx2.Client(base_url=self.issuer, follow_redirects=True, timeout=10, trust_env=False)

    def sign_in(self) -> None:
        fields = self._page("/sign-in").form("/sign-in")
        reply = self._post("/sign-in", {**fields, "login": self.login, "password": self.password})
        if reply.status_code != 200 or reply.url.path == "/sign-in":
            raise Fault(f"{self.login} cannot sign in")

    def next_ask(self, *, seconds_max: float) -> str:
        """The address of the next ask that was not seen yet."""
        end = time.monotonic() + seconds_max
        while time.monotonic() < end:
            for link in self._page("/inbox").links:
                if re.fullmatch(r"/asks/[A-Za-z0-9_-]+", link) and link not in self.seen:
                    self.seen.add(link)
                    return link
            time.sleep(0.05)
        raise Fault("no ask came")

    def read(self, ask: str) -> str:
        """The sentence."""
        return " ".join(self._page(ask).headline.split())

    def answer(self, ask: str, *, allow: bool) -> None:
        fields = self._page(ask).form(re.escape(ask))
        self._post(ask, {**fields, "answer": "allow" if allow else "deny"})

    def take_back(self, client: str) -> None:
        action = f"/agents/{client}/take-back"
        self._post(action, self._page("/agents").form(re.escape(action)))

    def _page(self, path: str) -> _Page:
        reply = self.http.get(path)
        if reply.status_code != 200:
            raise Fault(f"the page {path} answered {reply.status_code}")
        page = _Page()
        page.feed(reply.text)
        return page

    def _post(self, path: str, fields: dict[str, str]) -> httpx2.Response:
        reply = self.http.post(path, data=fields, headers={"origin": self.issuer})
        if reply.status_code >= 400:
            raise Fault(f"the page {path} answered {reply.status_code}")
        return reply
