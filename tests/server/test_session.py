"""Sessions by themselves: how long they live, what they are kept as, and what ends them."""

from dataclasses import fields

import anyio
import pytest

from deputize.core.ports import Event
from deputize.core.rules import Refusal
from deputize.core.values import Issuer, Seconds
from deputize.core.wire import Headers
from deputize.server import session
from deputize.server.session import FROM_OUR_PAGE, WITH_ITS_TOKEN, Cookie, Session, Settings, check_form, form_token
from tests.support.pages import ISSUER, World
from tests.support.proofs import lets_through, stops

SETTINGS = Settings()
HERE = Issuer(ISSUER)
VALUE = "v" * 43


async def _begun(world: World, before: str | None = None) -> str:
    return await session.begin(await world.person("alice"), before, SETTINGS, world.env)


async def _kept(world: World) -> Session:
    return (await world.env.store.select(Session, "person", "alice"))[-1]


async def test_the_store_holds_nothing_that_opens_a_session() -> None:
    world = await World().with_people()
    value = await _begun(world)
    kept = await _kept(world)
    assert value not in {getattr(kept, field.name) for field in fields(kept)}
    assert await session.find(kept.key, SETTINGS, world.env) is None
    found = await session.find(value, SETTINGS, world.env)
    assert found is not None
    assert found.person == "alice"


@pytest.mark.parametrize("value", [None, "", "x", VALUE])
async def test_nothing_else_opens_one(value: str | None) -> None:
    world = await World().with_people()
    await _begun(world)
    assert await session.find(value, SETTINGS, world.env) is None


async def test_who_does_nothing_for_an_hour_is_signed_out() -> None:
    world = await World().with_people()
    value = await _begun(world)
    world.fixed.forward(SETTINGS.idle - 1)
    assert await session.find(value, SETTINGS, world.env) is not None
    world.fixed.forward(1)
    assert await session.find(value, SETTINGS, world.env) is None


async def test_who_does_something_stays_but_not_for_ever() -> None:
    world = await World().with_people()
    value = await _begun(world)
    hours = 0
    while (found := await session.find(value, SETTINGS, world.env)) is not None:
        await session.seen(found, world.env)
        world.fixed.forward(1800)
        hours += 1
    assert hours == SETTINGS.life // 1800


async def test_being_seen_is_written_once_a_minute() -> None:
    world = await World().with_people()
    await _begun(world)
    kept = await _kept(world)
    world.fixed.forward(session.SEEN_EVERY - 1)
    await session.seen(kept, world.env)
    assert (await _kept(world)).version == 0
    world.fixed.forward(1)
    await session.seen(kept, world.env)
    await session.seen(kept, world.env)  # another tab at the same time loses, and no harm is done
    assert (await _kept(world)).version == 1


async def test_signing_out_leaves_a_tombstone_and_is_noted_once() -> None:
    world = await World().with_people()
    value = await _begun(world)
    kept = await _kept(world)
    async with anyio.create_task_group() as twice:
        twice.start_soon(session.end, kept, world.env)
        twice.start_soon(session.end, kept, world.env)
    assert (await _kept(world)).ended_at == world.env.clock()
    assert await session.find(value, SETTINGS, world.env) is None
    told = [event.what for event in await world.env.store.select(Event, "person", "alice")]
    assert told.count("signed_out") == 1


async def test_signing_in_again_ends_what_was_before() -> None:
    world = await World().with_people()
    first = await _begun(world)
    second = await _begun(world, before=first)
    assert first != second
    assert await session.find(first, SETTINGS, world.env) is None
    assert await session.find(second, SETTINGS, world.env) is not None


# --- the cookie -----------------------------------------------------------------------------------------------------


def test_by_https_the_cookie_is_bound_to_this_host() -> None:
    cookie = Cookie.of(HERE)
    assert (
        cookie.carrying(VALUE, Seconds(60))
        == f"__Host-deputize={VALUE}; Max-Age=60; Path=/; HttpOnly; SameSite=Lax; Secure"
    )
    assert "Max-Age=0" in cookie.removed


def test_on_loopback_it_has_another_name() -> None:
    cookie = Cookie.of(Issuer("http://127.0.0.1:9400"))
    assert cookie.carrying(VALUE, Seconds(60)) == f"deputize-dev={VALUE}; Max-Age=60; Path=/; HttpOnly; SameSite=Lax"


@pytest.mark.parametrize(
    ("lines", "value"),
    [
        ((f"a=b; __Host-deputize={VALUE}; c=d",), VALUE),
        (("a=b", f"__Host-deputize={VALUE}"), VALUE),
        ((f"__Host-deputize={VALUE}; __Host-deputize={VALUE}",), None),
        ((f"__Host-deputize={VALUE}", f"__Host-deputize={'w' * 43}"), None),
        ((f"__host-deputize={VALUE}",), None),
        ((f'__Host-deputize="{VALUE}"',), None),
        (("__Host-deputize=short",), None),
        ((f"__Host-deputize={'v' * 129}",), None),
        ((f"deputize-dev={VALUE}",), None),
        ((), None),
    ],
)
def test_a_cookie_that_is_there_once_and_well_formed_is_read(lines: tuple[str, ...], value: str | None) -> None:
    assert Cookie.of(HERE).value_in(Headers(tuple(("cookie", line) for line in lines))) == value


# --- forms ----------------------------------------------------------------------------------------------------------


@lets_through(FROM_OUR_PAGE, WITH_ITS_TOKEN)
@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "same-origin", "origin": "null"},
        {"sec-fetch-site": "same-origin", "origin": ISSUER},
        {"sec-fetch-site": "same-origin"},
        {"origin": ISSUER},
    ],
)
def test_a_form_of_ours_is_let_through(headers: dict[str, str]) -> None:
    check_form(Headers(tuple(headers.items())), HERE, VALUE, form_token(VALUE))


@stops(FROM_OUR_PAGE)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "https://evil.example"},
        {"origin": ISSUER + ".evil.example"},
        {"origin": ISSUER + ":8443"},
        {"origin": ISSUER.replace("https", "http")},
        {"origin": ISSUER.upper()},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": ""},
        {"sec-fetch-site": "cross-site", "origin": ISSUER},
        {"sec-fetch-site": "cross-site", "origin": "null"},
        {"sec-fetch-site": "same-origin", "origin": "https://evil.example"},
    ],
)
def test_a_form_from_elsewhere_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(Refusal) as told:
        check_form(Headers(tuple(headers.items())), HERE, VALUE, form_token(VALUE))
    assert (told.value.error, told.value.rule) == ("access_denied", FROM_OUR_PAGE)


@stops(WITH_ITS_TOKEN)
@pytest.mark.parametrize(
    ("value", "token"),
    [
        (VALUE, None),
        (VALUE, ""),
        (VALUE, VALUE),
        (VALUE, form_token("w" * 43)),
        (VALUE, form_token(VALUE)[:-1]),
        (VALUE, form_token(VALUE) + " "),
        (VALUE, "é\ud800"),
        (None, form_token(VALUE)),
        (None, ""),
    ],
)
def test_a_form_without_the_secret_of_its_session_is_refused(value: str | None, token: str | None) -> None:
    with pytest.raises(Refusal) as told:
        check_form(Headers((("sec-fetch-site", "same-origin"),)), HERE, value, token)
    assert (told.value.error, told.value.rule) == ("access_denied", WITH_ITS_TOKEN)


def test_the_secret_of_a_form_does_not_tell_the_cookie() -> None:
    assert VALUE not in form_token(VALUE)
    assert form_token(VALUE) != form_token("w" * 43)
