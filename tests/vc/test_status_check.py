"""Lists that are fetched and kept: when they are asked for again, what is refused, and what a failure means."""

import pytest

from deputize.core.rules import Fault, Refusal, Rule
from deputize.core.values import Instant
from deputize.jose.jwt import BEGUN
from deputize.vc.status_check import ITS_KIND, NO_OLDER
from deputize.vc.status_list import IS_VALID, WITHIN, Reference
from deputize.vc.status_token import Form
from tests.support.proofs import lets_through, stops
from tests.vc.lists import GOOD, NOW, ODD, REVOKED, SIZE, SUSPENDED, URI, Reader, a_token, its_keys

ELSEWHERE = "https://cdn.example/1"


async def hold(reader: Reader, idx: int, uri: str = URI) -> None:
    await reader.lists.hold(Reference(idx, uri), its_keys, reader.env)


async def refused(reader: Reader, idx: int = GOOD) -> Rule:
    with pytest.raises(Refusal) as no:
        await hold(reader, idx)
    assert no.value.error == "invalid_token"
    return no.value.rule


@pytest.mark.parametrize("form", list(Form))
@lets_through(IS_VALID, ITS_KIND)
async def test_a_valid_token_is_let_through_in_both_forms(form: Form) -> None:
    reader = Reader(form=form)
    reader.provider.serve(a_token(form), form)
    await hold(reader, GOOD)
    assert dict(reader.provider.calls[0].headers)["accept"] == form.media_type


@pytest.mark.parametrize("idx", [REVOKED, SUSPENDED, ODD, SIZE - 1])
@stops(IS_VALID)
async def test_a_token_of_any_other_status_is_refused(idx: int) -> None:
    reader = Reader()
    reader.provider.serve(a_token())
    assert await refused(reader, idx) is IS_VALID
    assert await refused(reader, SIZE) is WITHIN


async def test_a_list_is_fetched_once_in_its_time_and_then_asked_for_by_its_tag() -> None:
    reader = Reader()
    reader.provider.serve(a_token(), etag='"1"')
    for _ in range(20):
        await hold(reader, GOOD)
    assert reader.asked == 1
    assert reader.lists.fresh(URI, NOW) is not None
    reader.clock.forward(60)
    assert reader.lists.fresh(URI, reader.clock.now) is None
    reader.provider.answer(304)
    await hold(reader, GOOD)
    await hold(reader, GOOD)
    assert reader.asked == 2
    assert dict(reader.provider.calls[1].headers)["if-none-match"] == '"1"'


async def test_an_unchanged_list_that_has_expired_is_none() -> None:
    reader = Reader()
    reader.provider.serve(a_token(until=Instant(NOW + 30)), etag='"1"')
    await reader.get()
    reader.clock.forward(31)
    reader.provider.answer(304)
    assert await refused(reader) is ITS_KIND


@pytest.mark.parametrize(("ttl", "kept"), [(1, 30), (10**12, 24 * 3600), (60, 60)])
async def test_a_ttl_is_bounded(ttl: int, kept: int) -> None:
    reader = Reader()
    reader.provider.serve(a_token(ttl=ttl, until=Instant(NOW + 10**7)))
    await reader.get()
    assert reader.lists.fresh(URI, Instant(NOW + kept * 2 // 3 - 1)) is not None
    assert reader.lists.fresh(URI, Instant(NOW + kept)) is None


async def test_readers_come_again_at_moments_of_their_own() -> None:
    moments = set()
    for throws in range(12):
        reader = Reader()
        reader.provider.serve(a_token(ttl=3000))
        for _ in range(throws):
            reader.env.random(8)
        await reader.get()
        moments.add(next(at for at in range(NOW, NOW + 3001) if reader.lists.fresh(URI, Instant(at)) is None))
    assert len(moments) > 6
    assert min(moments) >= NOW + 2000


async def test_while_one_looks_the_others_make_do_with_what_is_good() -> None:
    reader = Reader()
    reader.provider.serve(a_token())
    await reader.get()
    early = next(at for at in range(NOW, NOW + 61) if reader.lists.fresh(URI, Instant(at)) is None)
    assert early < NOW + 60
    reader.clock.now = Instant(early)
    reader.provider.at[URI] = Fault("down", retry=True)
    await hold(reader, GOOD)
    await hold(reader, GOOD)
    assert reader.asked == 2, "one has looked; the list is good until its ttl is over"


async def test_without_a_list_nobody_is_let_through_and_the_provider_is_left_in_peace() -> None:
    reader = Reader()
    for _ in range(5):
        with pytest.raises(Fault) as fault:
            await hold(reader, GOOD)
        assert fault.value.retry
    assert reader.asked == 1
    reader.clock.forward(2)
    reader.provider.serve(a_token())
    await hold(reader, GOOD)


async def test_a_kept_list_is_used_on_only_where_that_was_chosen() -> None:
    for stale in (False, True):
        reader = Reader(stale=stale)
        reader.provider.serve(a_token())
        await reader.get()
        reader.provider.at[URI] = Fault("down", retry=True)
        reader.clock.forward(61)
        if stale:
            await hold(reader, GOOD)
            assert await refused(reader, REVOKED) is IS_VALID
            reader.clock.forward(3600)
        with pytest.raises(Fault):
            await hold(reader, GOOD)


@lets_through(NO_OLDER)
async def test_a_newer_list_takes_the_place_of_an_older_one() -> None:
    reader = Reader()
    reader.provider.serve(a_token(told={}))
    await hold(reader, REVOKED)
    reader.clock.forward(60)
    reader.provider.serve(a_token(issued_at=reader.clock.now))
    assert await refused(reader, REVOKED) is IS_VALID


@stops(NO_OLDER)
async def test_an_older_list_is_not_taken_for_a_newer_one() -> None:
    reader = Reader()
    reader.provider.serve(a_token())
    await reader.get()
    reader.provider.serve(a_token(told={}, issued_at=Instant(NOW - 1)))
    reader.clock.forward(60)
    assert await refused(reader, REVOKED) is NO_OLDER
    reader.clock.forward(2 * 3600)  # also once the newer one is forgotten
    reader.provider.serve(a_token(told={}, issued_at=Instant(NOW - 1), until=Instant(NOW + 10**6)))
    assert await refused(reader, REVOKED) is NO_OLDER


@pytest.mark.parametrize(
    "kind", ["text/html", "application/jwt", "application/statuslist+cwt", "application/json", "", "statuslist+jwt"]
)
@stops(ITS_KIND)
async def test_another_content_type_is_refused(kind: str) -> None:
    reader = Reader()
    reader.provider.serve(a_token(), content_type=kind)
    assert await refused(reader) is ITS_KIND


async def test_a_content_type_is_compared_as_one() -> None:
    reader = Reader()
    reader.provider.serve(a_token(), content_type="Application/StatusList+JWT; charset=utf-8")
    await hold(reader, GOOD)


async def test_it_follows_a_few_redirects_each_through_the_door() -> None:
    reader = Reader()
    reader.provider.answer(302, location="/there")
    reader.provider.answer(307, url="https://status.example/there", location=ELSEWHERE)
    reader.provider.serve(a_token(), url=ELSEWHERE)
    await hold(reader, GOOD)
    assert [call.url for call in reader.provider.calls] == [URI, "https://status.example/there", ELSEWHERE]


@pytest.mark.parametrize("where", ["http://cdn.example/1", "file:///etc/passwd", "http://127.0.0.1/1", "", URI, "//["])
async def test_it_is_not_sent_where_it_does_not_go(where: str) -> None:
    reader = Reader()
    reader.provider.answer(302, location=where)
    with pytest.raises(Fault):
        await hold(reader, GOOD)
    assert {call.url for call in reader.provider.calls} == {URI}
    assert reader.asked <= 4


@pytest.mark.parametrize("status", [201, 204, 304, 400, 404, 500, 501])
async def test_another_answer_is_none(status: int) -> None:
    reader = Reader()
    reader.provider.answer(status)
    with pytest.raises(Fault):
        await hold(reader, GOOD)


async def test_what_is_kept_is_bounded() -> None:
    reader = Reader(bytes_kept_max=4 * SIZE // 4)
    for number in range(10):
        uri = f"https://status.example/lists/{number}"
        reader.provider.serve(a_token(uri=uri), url=uri)
        await reader.get(uri)
    kept = [number for number in range(10) if reader.lists.fresh(f"https://status.example/lists/{number}", NOW)]
    assert kept == [6, 7, 8, 9]


# --- history and aggregation ----------------------------------------------------------------------------------------


async def test_what_the_status_was() -> None:
    reader = Reader()
    for uri, mark in ((URI, "?"), (URI + "?x=1", "&")):
        reader.provider.serve(a_token(uri=uri), url=f"{uri}{mark}time={NOW + 5}")
        assert await reader.lists.at(Reference(REVOKED, uri), Instant(NOW + 5), its_keys, reader.env) == 1


async def test_a_static_host_that_ignores_the_time_is_refused() -> None:
    reader = Reader()
    asked = Instant(NOW - 100)
    reader.provider.serve(a_token(), url=f"{URI}?time={asked}")
    with pytest.raises(Refusal) as no:
        await reader.lists.at(Reference(REVOKED, URI), asked, its_keys, reader.env)
    assert no.value.rule is BEGUN, "it was issued after the time that was asked for"


async def test_all_lists_of_an_issuer_are_fetched_and_a_bad_one_stops_no_other() -> None:
    reader = Reader()
    uris = [f"https://status.example/lists/{number}" for number in range(4)]
    for uri in uris[:3]:
        reader.provider.serve(a_token(uri=uri), url=uri)
    reader.provider.serve(b"<html>", url=uris[1])
    reader.provider.aggregate("https://status.example/all", [*uris, 7, "file:///x"])
    good, bad = await reader.lists.prefetch("https://status.example/all", its_keys, reader.env)
    assert (good, bad) == (2, (uris[1], uris[3], "7", "file:///x"))
    before = reader.asked
    await hold(reader, GOOD, uris[2])
    assert reader.asked == before


@pytest.mark.parametrize("uris", [None, "x", {"a": 1}, ["https://a.example"] * 1001])
async def test_an_aggregation_that_is_none(uris: object) -> None:
    reader = Reader()
    reader.provider.aggregate("https://status.example/all", uris)
    with pytest.raises(Fault):
        await reader.lists.prefetch("https://status.example/all", its_keys, reader.env)
    reader.provider.answer(404, url="https://status.example/all")
    with pytest.raises(Fault):
        await reader.lists.prefetch("https://status.example/all", its_keys, reader.env)
