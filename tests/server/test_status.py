"""The lists as others fetch them: both forms, tags, times, history, and all lists by their names."""

import gzip
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from deputize.core.values import Instant
from deputize.core.wire import JsonObject
from deputize.jose.algorithms import ALL
from deputize.jose.jwt import peek
from deputize.jose.keys import KeySet
from deputize.oauth.statuses import Settings
from deputize.server.app import protocol_app
from deputize.server.status import ACCEPTABLE, NO_HISTORY, THAT_TIME
from deputize.vc.status_list import INFLATED_MAX
from deputize.vc.status_token import Expected, Form, VerifiedStatusList, parse, verify
from tests.support.asgi import Answer, request
from tests.support.cast import BOT, BrokenStore
from tests.support.proofs import lets_through, stops
from tests.support.world import World, a_world

JWT, CWT = Form.JWT.media_type, Form.CWT.media_type


@pytest.fixture
async def told() -> AsyncIterator[World]:
    async with a_world(status=Settings(tokens=True, size=2**14, lists=1)) as world:
        yield world


async def claims(world: World) -> JsonObject:
    answer = await world.token()
    assert answer.status == 200, answer.body
    return peek(answer["access_token"], "x")[1] | {"token": answer["access_token"]}


def where(found: JsonObject) -> str:
    uri: str = found["status"]["status_list"]["uri"]
    return uri.removeprefix("https://as.example")


def read(world: World, answer: Answer, uri: str, form: Form = Form.JWT, at: int | None = None) -> VerifiedStatusList:
    asked = None if at is None else Instant(at)
    expected = Expected(uri=uri, algs=ALL, at=asked, bytes_max=INFLATED_MAX, error="x")
    keys = KeySet.from_jwks({"keys": list(world.env.signer.keys())})
    assert answer.header("content-type") == form.media_type
    return verify(parse(answer.body, form, error="x"), keys, expected, world.now)


async def now(world: World, found: JsonObject, form: Form = Form.JWT) -> int:
    reference = found["status"]["status_list"]
    answer = await world.get(where(found), (("accept", form.media_type),))
    assert answer.status == 200
    return read(world, answer, reference["uri"], form).statuses.at(reference["idx"])


@pytest.mark.parametrize("form", list(Form))
async def test_a_revoked_token_is_told_of_a_second_later_in_both_forms(told: World, form: Form) -> None:
    found, other = await claims(told), await claims(told)
    assert await now(told, found, form) == 0
    assert (await told.post("/revoke", {"token": found["token"]}, by=BOT)).status == 200
    told.clock.forward(1)
    assert (await now(told, found, form), await now(told, other, form)) == (1, 0)


async def test_what_is_served_says_how_long_it_is_good(told: World) -> None:
    found = await claims(told)
    answer = await told.get(where(found))
    assert answer.header("content-type") == JWT
    assert answer.header("cache-control") == "public, max-age=10"
    assert answer.header("access-control-allow-origin") == "*"
    assert answer.header("vary") == "Accept, Accept-Encoding"
    assert answer.header("x-content-type-options") == "nosniff"
    read_list = read(told, answer, found["status"]["status_list"]["uri"])
    assert (read_list.ttl, read_list.until) == (10, told.now + 3600)
    assert len(read_list.statuses) == 2**14
    assert read_list.aggregation_uri == "https://as.example/status"


async def test_who_has_it_is_told_so_until_something_changes(told: World) -> None:
    found = await claims(told)
    first = await told.get(where(found))
    tag = first.header("etag")
    assert tag is not None
    for seconds in (0, 1, 10, 1700):
        told.clock.forward(seconds)
        again = await told.get(where(found), (("if-none-match", tag),))
        assert (again.status, again.body, again.header("etag")) == (304, b"", tag)
    told.clock.forward(100)
    assert (await told.get(where(found), (("if-none-match", tag),))).status == 200, "it would be over in half its life"
    later = (await told.get(where(found))).header("etag")
    await told.post("/revoke", {"token": (await claims(told))["token"]}, by=BOT)
    told.clock.forward(1)
    assert (await told.get(where(found), (("if-none-match", str(later)),))).status == 200


async def test_a_jwt_is_made_smaller_for_who_can_unpack_it(told: World) -> None:
    found = await claims(told)
    plain = await told.get(where(found))
    small = await told.get(where(found), (("accept-encoding", "br, gzip"),))
    assert small.header("content-encoding") == "gzip"
    assert gzip.decompress(small.body) == plain.body
    assert small.header("etag") != plain.header("etag")
    for told_encoding in ("gzip;q=0", "identity", "xgzip", "deflate"):
        answer = await told.get(where(found), (("accept-encoding", told_encoding),))
        assert answer.header("content-encoding") is None
    cwt = await told.get(where(found), (("accept", CWT), ("accept-encoding", "gzip")))
    assert cwt.header("content-encoding") is None


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ((), JWT),
        (("",), JWT),
        (("*/*",), JWT),
        (("application/*;q=0.1",), JWT),
        ((JWT,), JWT),
        ((CWT,), CWT),
        ((f"{JWT}, {CWT}",), JWT),
        ((f"{JWT};q=0.4, {CWT}",), CWT),
        ((f"{JWT};q=0.4", f"{CWT};q=0.5"), CWT),
        ((f"{JWT};q=0, */*",), CWT),
        (("text/html, */*;q=0.8",), JWT),
    ],
)
@lets_through(ACCEPTABLE)
async def test_the_form_is_the_one_that_is_wanted_more(told: World, accept: tuple[str, ...], kind: str) -> None:
    found = await claims(told)
    answer = await told.get(where(found), tuple(("accept", text) for text in accept))
    assert (answer.status, answer.header("content-type")) == (200, kind)


@pytest.mark.parametrize("accept", ["text/html", "application/jwt", f"{JWT};q=0, {CWT};q=0", "image/*"])
@stops(ACCEPTABLE)
async def test_no_other_form_is_had(told: World, accept: str) -> None:
    assert (await told.get(where(await claims(told)), (("accept", accept),))).status == 406


async def test_head_is_answered_and_nothing_else(told: World) -> None:
    path = where(await claims(told))
    head = await told.get(path, method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.header("content-length") == str(len((await told.get(path)).body))
    for method in ("POST", "DELETE", "OPTIONS"):
        answer = await told.get(path, method=method)
        assert (answer.status, answer.header("allow")) == (405, "GET, HEAD")


@pytest.mark.parametrize("name", ["/nobody", "/", "/a/b", "/../token", "/%00", "/" + "x" * 4000, "ful"])
async def test_there_is_nothing_else(told: World, name: str) -> None:
    answer = await told.get(f"/status{name}")
    assert answer.status == (200 if name == "/" else 404)


async def test_all_lists_have_names(told: World) -> None:
    empty = await told.get("/status")
    assert empty.json == {"status_lists": []}
    found = await claims(told)
    told.clock.forward(1)
    answer = await told.get("/status")
    assert answer.header("content-type") == "application/json"
    assert answer.json == {"status_lists": [found["status"]["status_list"]["uri"]]}
    assert (await told.get("/.well-known/oauth-authorization-server")).json[
        "status_list_aggregation_endpoint"
    ] == "https://as.example/status"
    told.clock.forward(3600 + 900 + 20)
    assert (await told.get("/status")).json == {"status_lists": []}
    assert (await told.get(where(found))).status == 404


async def test_where_it_is_switched_off_there_is_none(world: World) -> None:
    assert (await world.get("/status")).status == 404
    assert "status_list_aggregation_endpoint" not in (await world.get("/.well-known/openid-configuration")).json
    assert "status" not in peek((await world.token())["access_token"], "x")[1]


# --- history --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["time=1764000000", "time=0", "x=1&time=1764000000"])
@stops(NO_HISTORY)
async def test_without_a_history_nobody_is_told_of_it(told: World, query: str) -> None:
    assert (await told.get(f"{where(await claims(told))}?{query}")).status == 501


@lets_through(NO_HISTORY, THAT_TIME)
async def test_what_the_status_was() -> None:
    async with a_world(status=Settings(tokens=True, size=2**14, lists=1, history=True)) as world:
        found = await claims(world)
        reference = found["status"]["status_list"]
        before = world.now
        world.clock.forward(20)
        await world.post("/revoke", {"token": found["token"]}, by=BOT)
        world.clock.forward(20)
        for at, status in ((before, 0), (before + 19, 0), (before + 20, 1), (before + 40, 1)):
            answer = await world.get(f"{where(found)}?time={at}")
            told = read(world, answer, reference["uri"], at=at)
            assert told.statuses.at(reference["idx"]) == status
            assert (told.issued_at, told.until) == (at, at + 1), "good for no other time, and not for now"


@pytest.mark.parametrize(
    "query", ["time=1", "time=99999999999", "time=-1", "time=x", "time=1&time=1", "time=é", "time="]
)
@stops(THAT_TIME)
async def test_a_time_at_which_there_was_no_list(query: str) -> None:
    async with a_world(status=Settings(tokens=True, size=2**14, history=True)) as world:
        answer = await world.get(f"{where(await claims(world))}?{query}")
        assert answer.status == (200 if query == "time=" else 404)


async def test_a_store_that_cannot_is_a_503(told: World) -> None:
    found = await claims(told)
    for kind in ("status_list", "status_entry"):
        app = protocol_app(told.here, replace(told.env, store=BrokenStore(told.store, frozenset({kind}))))
        answer = await request(app, "GET", found["status"]["status_list"]["uri"], ())
        assert (answer.status, answer.header("retry-after")) == (503, "1")


async def test_a_list_at_another_place_says_so() -> None:
    settings: dict[str, Any] = {"tokens": True, "size": 2**14, "base": "https://cdn.example/lists"}
    async with a_world(status=Settings(**settings)) as world:
        uri = (await claims(world))["status"]["status_list"]["uri"]
        assert uri.startswith("https://cdn.example/lists/")
        answer = await world.get("/status/" + uri.rpartition("/")[2])
        assert read(world, answer, uri).uri == uri
