"""What an API says of its calls: the table, and how a call is described."""

import pytest

from deputize.core.rules import Refusal
from deputize.oauth.details import Detail
from deputize.resource import Operation
from deputize.resource.calls import DESCRIBABLE, Calls, Describe
from tests.resource.world import describe_order, purchase
from tests.support.proofs import lets_through, stops


def table(*rows: tuple[str, str], base: str = "", approve: Describe | None = None) -> Calls:
    calls = Calls(base)
    for method, path in rows:
        calls.add(method, path, scope="s", approve=approve)
    return calls


def found(calls: Calls, method: str, path: str) -> str | None:
    row, _ = calls.find(method, path)
    return None if row is None else "/".join(row.segments)


@pytest.mark.parametrize(
    ("method", "path", "fits"),
    [
        ("GET", "/a", "/a"),
        ("GET", "/a/b", "/a/b"),
        ("GET", "/a/c", "/a/{x}"),
        ("GET", "/a/c/d", "/a/{x}/d"),
        ("GET", "/a/{x}", "/a/{x}"),
        ("GET", "/", None),
        ("GET", "/a/", None),
        ("GET", "/A", None),
        ("GET", "/ab", None),
        ("GET", "/a/b/c", None),
        ("GET", "/a//d", None),
        ("HEAD", "/a", None),
        ("get", "/a", None),
        ("POST", "/a", None),
        ("POST", "/a/c", None),
    ],
)
def test_a_path_fits_by_whole_segments(method: str, path: str, fits: str | None) -> None:
    calls = table(("GET", "/a"), ("GET", "/a/{x}"), ("GET", "/a/b"), ("GET", "/a/{x}/d"))
    assert found(calls, method, path) == fits


def test_named_segments_are_told_by_name() -> None:
    _, named = table(("GET", "/people/{who}/orders/{number}")).find("GET", "/people/alice/orders/7")
    assert named == {"who": "alice", "number": "7"}


def test_rows_lie_below_the_resources_own_path() -> None:
    calls = table(("GET", "/a"), ("POST", ""), base="/api")
    assert found(calls, "GET", "/api/a") == "/api/a"
    assert found(calls, "POST", "/api") == "/api"
    assert found(calls, "GET", "/a") is found(calls, "GET", "/api-v2/a") is found(calls, "POST", "/") is None


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "/a"),
        ("GET ", "/a"),
        ("", "/a"),
        ("GET", "a"),
        ("GET", ""),
        ("GET", "//a"),
        ("GET", "/a/../b"),
        ("GET", "/a/./b"),
        ("GET", "/a;b"),
        ("GET", "/a%2Fb"),
        ("GET", "/a?b"),
        ("GET", "/a\\b"),
        ("GET", "/a{x}"),
        ("GET", "/{X}"),
        ("GET", "/{x}/{x}"),
        ("GET", "/é"),
    ],
)
def test_a_row_that_could_be_read_in_two_ways_is_no_row(method: str, path: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (its text is for the programmer)
        table((method, path))


@pytest.mark.parametrize("rows", [("/a", "/a"), ("/a/{x}", "/a/{y}"), ("/a/{x}", "/{y}/b"), ("/{x}/b/{z}", "/a/{y}/c")])
def test_no_path_fits_two_rows(rows: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="another row fits"):
        table(*(("GET", path) for path in rows))
    table(("GET", rows[0]), ("POST", rows[1]))


@pytest.mark.parametrize("scope", ["", " ", 'a"b', "a\\b", "é"])
def test_a_row_has_a_scope(scope: str) -> None:
    with pytest.raises(ValueError, match="scope"):
        Calls("").add("GET", "/a", scope=scope, approve=None)


# --- describing -------------------------------------------------------------------------------------------------


async def described(approve: Describe, body: bytes = b"{}", **named: str) -> Operation:
    row, _ = table(("POST", "/a"), approve=approve).find("POST", "/a")
    if row is None:
        raise AssertionError
    return await row.described(body, named)


@lets_through(DESCRIBABLE)
async def test_a_call_is_described_in_the_apis_own_words() -> None:
    told = await described(describe_order, b'{"medicine": "Ibuprofen 400 mg", "quantity": 30}')
    assert told.reason == "Orders of medicine are approved one by one"
    assert told.details == (Detail.of(**purchase(30)),)


async def test_a_description_may_be_waited_for_and_is_told_the_named_segments() -> None:
    async def cancel(_: bytes, *, number: str) -> Operation:
        return Operation.of(f"Order {number} is cancelled", purchase(int(number)))

    assert (await described(cancel, number="7")).reason == "Order 7 is cancelled"


@stops(DESCRIBABLE)
@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"medicine":"x","quantity":1,"quantity":2}', b"\xff"])
async def test_a_request_that_cannot_be_described_is_refused(body: bytes) -> None:
    with pytest.raises(Refusal) as no:
        await described(describe_order, body)
    assert (no.value.error, no.value.rule) == ("invalid_request", DESCRIBABLE)


@stops(DESCRIBABLE)
async def test_words_that_are_not_fit_to_be_shown_are_refused() -> None:
    """They come out of the request: a quantity of nothing, a name that turns the line around."""
    for item, quantity in (("Ibuprofen", 0), ("Ibuprofen \u202e", 1), ("x" * 81, 1), ("a\nb", 1)):
        with pytest.raises(Refusal) as no:
            await described(lambda _, told={**purchase(quantity), "item": item}: Operation.of("why", told))
        assert no.value.rule == DESCRIBABLE


async def test_a_bug_in_a_description_is_no_fault_of_the_peer() -> None:
    def broken(_: bytes) -> Operation:
        raise KeyError("medicine")

    with pytest.raises(KeyError):
        await described(broken)
    with pytest.raises(TypeError):
        await described(lambda _: None)  # type: ignore[arg-type, return-value]


def test_an_operation_does_not_say_which_call_it_is() -> None:
    call = {"type": "http_call", "method": "GET", "url": "https://api.example/", "content_digest": "", "size": 0}
    for reason, members in (("", (purchase(1),)), ("why", ()), ("why", (purchase(1),) * 8), ("why", (call,))):
        with pytest.raises(ValueError):  # noqa: PT011 (several)
            Operation.of(reason, *members)
