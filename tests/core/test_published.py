"""A document that vouches for itself is looked at seldom, kept while it is good, and never believed when it is not."""

from typing import Any

import anyio
import pytest

from deputize.core.published import KEPT_MAX, TRIED_MAX, Published, fresh_for
from deputize.core.rules import Fault
from deputize.core.values import Seconds
from deputize.core.wire import Headers, JsonObject, Malformed, Reply
from tests.core.outside import JSON, Outside

URL = "https://as.example/jwks"


def value(document: JsonObject) -> int:
    told = document.get("value")
    if not isinstance(told, int):
        raise Malformed("value is a number")
    return told


def documents(**changes: Any) -> Published[int]:
    return Published(read=value, **{"keep": Seconds(300)} | changes)


@pytest.fixture
def outside() -> Outside:
    return Outside({URL: {"value": 1}})


async def test_a_good_document_is_kept(outside: Outside) -> None:
    published = documents()
    for _ in range(5):
        assert await published.get(URL, outside.env) == 1
    assert len(outside.calls) == 1
    assert outside.calls[0].method == "GET"
    assert outside.calls[0].bytes_max == 256 * 1024
    assert outside.calls[0].headers == (("accept", "application/json"),)


async def test_what_is_fresh_is_there_without_waiting(outside: Outside) -> None:
    published = documents()
    assert published.fresh(URL, outside.now) is None
    await published.get(URL, outside.env)
    assert published.fresh(URL, outside.now) == 1
    outside.later(300)
    assert published.fresh(URL, outside.now) is None


async def test_it_is_looked_at_again_when_its_time_is_over(outside: Outside) -> None:
    published = documents()
    await published.get(URL, outside.env)
    outside.answers[URL] = {"value": 2}
    outside.later(299)
    assert await published.get(URL, outside.env) == 1
    outside.later(1)
    assert await published.get(URL, outside.env) == 2


async def test_whoever_wants_it_fresher_gets_one_look_a_window(outside: Outside) -> None:
    published = documents()
    await published.get(URL, outside.env)
    outside.answers[URL] = {"value": 2}
    outside.later(59)
    for _ in range(1000):
        assert await published.get(URL, outside.env, fresher=True) == 1
    assert len(outside.calls) == 1
    outside.later(1)
    for _ in range(1000):
        assert await published.get(URL, outside.env, fresher=True) == 2
    assert len(outside.calls) == 2


async def test_a_crowd_that_wants_it_fresher_makes_one_look(outside: Outside) -> None:
    published = documents()
    await published.get(URL, outside.env)
    outside.later(60)
    async with anyio.create_task_group() as crowd:
        for _ in range(100):
            crowd.start_soon(lambda: published.get(URL, outside.env, fresher=True))
    assert len(outside.calls) == 2


async def test_a_crowd_at_a_cold_start_is_served(outside: Outside) -> None:
    """Nobody is told "out of reach" because somebody else is on the way; the adapter makes their looks one flight."""
    published, told = documents(), []

    async def look() -> None:
        told.append(await published.get(URL, outside.env))

    async with anyio.create_task_group() as crowd:
        for _ in range(10):
            crowd.start_soon(look)
    assert told == [1] * 10


async def test_a_failure_keeps_the_last_good_answer_for_a_while(outside: Outside) -> None:
    published = documents()
    await published.get(URL, outside.env)
    outside.answers[URL] = Fault("down", retry=True)
    outside.later(300 * 12 - 1)
    assert await published.get(URL, outside.env) == 1
    outside.later(1)
    with pytest.raises(Fault):
        await published.get(URL, outside.env)


async def test_a_bad_answer_does_not_wipe_a_good_one(outside: Outside) -> None:
    published = documents()
    await published.get(URL, outside.env)
    outside.answers[URL] = {"value": "text"}
    outside.later(400)
    assert await published.get(URL, outside.env) == 1
    outside.answers[URL] = {"value": 3}
    outside.later(60)
    assert await published.get(URL, outside.env) == 3


async def test_a_failure_is_not_asked_for_again_at_once(outside: Outside) -> None:
    published = documents()
    outside.answers[URL] = Fault("down", retry=True)
    for _ in range(100):
        with pytest.raises(Fault) as fault:
            await published.get(URL, outside.env)
        assert fault.value.retry
    assert len(outside.calls) == 1
    outside.answers[URL] = {"value": 1}
    outside.later(30)
    assert await published.get(URL, outside.env) == 1


async def test_a_clock_that_goes_back_does_not_lock_a_document_out(outside: Outside) -> None:
    published = documents()
    outside.answers[URL] = Fault("down")
    with pytest.raises(Fault):
        await published.get(URL, outside.env)
    outside.answers[URL] = {"value": 1}
    outside.later(-3600)
    assert await published.get(URL, outside.env) == 1


@pytest.mark.parametrize(
    "answer",
    [
        Reply(status=404, headers=JSON, body=b'{"value":1}'),
        Reply(status=301, headers=JSON, body=b'{"value":1}'),
        Reply(status=204, headers=JSON),
        Reply(status=200, headers=JSON, body=b"[1]"),
        Reply(status=200, headers=JSON, body=b'{"value":1,"value":2}'),
        Reply(status=200, headers=JSON, body=b'{"value":NaN}'),
        Reply(status=200, headers=JSON, body=b"\xff"),
        Reply(status=200, headers=JSON, body=b'{"value":' + b"[" * 30 + b"]" * 30 + b"}"),
        Reply(status=200, headers=JSON, body=b'{"value":1,"x":"' + b"x" * 256 * 1024 + b'"}'),
        {"value": "text"},
    ],
)
async def test_a_bad_document_is_a_fault_and_is_not_kept(outside: Outside, answer: Any) -> None:
    published = documents()
    outside.answers[URL] = answer
    with pytest.raises(Fault):
        await published.get(URL, outside.env)
    outside.answers[URL] = {"value": 2}
    outside.later(30)
    assert await published.get(URL, outside.env) == 2


async def test_a_document_names_the_place_that_it_came_from(outside: Outside) -> None:
    published = documents(names_itself="issuer")
    outside.answers[URL] = {"issuer": URL, "value": 1}
    assert await published.get(URL, outside.env) == 1


@pytest.mark.parametrize("issuer", ["https://evil.example/jwks", URL + "/", URL.upper(), None, [URL], 7])
async def test_a_document_that_names_another_place_is_a_fault(outside: Outside, issuer: object) -> None:
    published = documents(names_itself="issuer")
    outside.answers[URL] = {"issuer": issuer, "value": 1}
    with pytest.raises(Fault):
        await published.get(URL, outside.env)


async def test_a_document_may_be_named_by_another_name_than_its_place(outside: Outside) -> None:
    published = documents(names_itself="issuer")
    outside.answers[URL] = {"issuer": "https://as.example", "value": 1}
    assert await published.get(URL, outside.env, named="https://as.example") == 1


async def test_what_is_held_is_bounded(outside: Outside) -> None:
    """Good documents and failures alike: whoever may name a URL may name many."""
    published = documents()
    for number in range(TRIED_MAX * 2):
        outside.answers[f"{URL}/{number}"] = {"value": number} if number % 2 else Fault("down")
        try:
            await published.get(f"{URL}/{number}", outside.env)
        except Fault:
            continue
    assert len(published._kept) <= KEPT_MAX
    assert len(published._tried_at) <= TRIED_MAX


async def test_looking_again_pushes_nothing_out(outside: Outside) -> None:
    published = documents()
    for number in range(KEPT_MAX):
        outside.answers[f"{URL}/{number}"] = {"value": number}
        await published.get(f"{URL}/{number}", outside.env)
    outside.later(300)
    await published.get(f"{URL}/{KEPT_MAX - 1}", outside.env)
    assert len(published._kept) == KEPT_MAX


@pytest.mark.parametrize(
    "kind",
    [
        *("application/json", "application/jwk-set+json", "application/cimd+json", "APPLICATION/JSON"),
        *("application/json; charset=utf-8", 'application/json;charset="UTF-8"', "application/x+json ; charset=utf-8"),
    ],
)
async def test_a_type_of_json_is_read(outside: Outside, kind: str) -> None:
    outside.answers[URL] = Reply(status=200, headers=Headers((("content-type", kind),)), body=b'{"value": 1}')
    assert await documents().get(URL, outside.env) == 1


@pytest.mark.parametrize(
    "kinds",
    [
        *(
            (),
            ("text/html",),
            ("text/plain",),
            ("text/json",),
            ("application/jsonp",),
            ("application/json, text/html",),
        ),
        *(("application/json; charset=utf-7",), ("application/json; charset=utf-16",), ("application/json; x=y",)),
        *(("application/json", "text/html"), ("application/javascript",), ("",), ("application/json\n",)),
    ],
)
async def test_another_type_is_not(outside: Outside, kinds: tuple[str, ...]) -> None:
    """SF-13: what is JSON by chance alone was not meant to be read as a document."""
    headers = Headers(tuple(("content-type", kind) for kind in kinds))
    outside.answers[URL] = Reply(status=200, headers=headers, body=b'{"value": 1}')
    with pytest.raises(Fault, match="something else than JSON"):
        await documents().get(URL, outside.env)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 3600),
        ({"cache-control": "max-age=600"}, 600),
        ({"cache-control": "public, Max-Age=600, must-revalidate"}, 600),
        ({"cache-control": "max-age=600", "age": "100"}, 500),
        ({"cache-control": "max-age=600", "age": "900"}, 60),
        ({"cache-control": "max-age=31536000"}, 86400),
        ({"cache-control": "max-age=99999999999999999999"}, 3600),
        ({"cache-control": "max-age=-1"}, 3600),
        ({"cache-control": "max-age=0"}, 60),
        ({"cache-control": "no-store"}, 60),
        ({"cache-control": "no-cache, max-age=600"}, 60),
        ({"cache-control": "max-age=600, max-age=6000"}, 600),
        ({"expires": "Tue, 24 Nov 2026 01:00:00 GMT", "date": "Tue, 24 Nov 2026 00:00:00 GMT"}, 3600),
        ({"expires": "Tue, 24 Nov 2026 02:00:00 GMT", "date": "Tue, 24 Nov 2026 00:00:00 GMT", "age": "60"}, 7140),
        ({"expires": "0", "date": "Tue, 24 Nov 2026 00:00:00 GMT"}, 60),
        ({"expires": "Tue, 24 Nov 2026 01:00:00 GMT"}, 60),
        ({"expires": "Tue, 24 Nov 2026 01:00:00 GMT", "date": "Tue, 24 Nov 2026 00:00:00 -0000"}, 60),
    ],
)
def test_freshness_is_the_answer_s_own_within_bounds(headers: dict[str, str], seconds: int) -> None:
    """CM-11."""
    told = fresh_for(Headers(tuple(headers.items())), Seconds(3600), at_least=Seconds(60), at_most=Seconds(24 * 3600))
    assert told == seconds


async def test_what_says_that_it_is_soon_over_is_looked_at_sooner(outside: Outside) -> None:
    soon = Headers((*JSON.items, ("cache-control", "max-age=100")))
    outside.answers[URL] = Reply(status=200, headers=soon, body=b'{"value": 1}')
    published = documents()
    for later in (99, 1):
        await published.get(URL, outside.env)
        outside.later(later)
    assert len(outside.calls) == 1
    await published.get(URL, outside.env)
    assert len(outside.calls) == 2
