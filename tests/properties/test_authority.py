"""The one law: authority only narrows. And forms say what was put into them."""

from urllib.parse import unquote_plus

from hypothesis import given
from hypothesis import strategies as st

from deputize.core.rules import Refusal
from deputize.core.values import Instant, scope, scope_text
from deputize.core.wire import REPEATABLE, Form, JsonObject, form_bytes
from deputize.oauth import details as kinds
from deputize.oauth.authority import Authority
from deputize.oauth.details import Detail
from tests.support.cast import a_call, a_purchase

NAMES = st.frozensets(st.sampled_from(["a", "b", "c"]))
ALL_DETAILS = (
    *(kinds.detail(a_purchase(quantity)) for quantity in (1, 2)),
    *(kinds.detail(a_call(body)) for body in (b"1", b"2")),
    Detail("of a type that is gone", "{}"),
)
DETAILS = st.lists(st.sampled_from(ALL_DETAILS), max_size=3).map(tuple)
TIMES = st.integers(0, 3).map(Instant)
AUTHORITIES = st.builds(Authority, audience=NAMES, scope=NAMES, details=DETAILS, until=TIMES)
NARROWINGS = st.fixed_dictionaries(
    {},
    optional={
        "audience": st.none() | NAMES,
        "scope": st.none() | NAMES,
        "details": st.none() | DETAILS,
        "until": st.none() | TIMES,
    },
)


@given(AUTHORITIES)
def test_each_covers_itself(one: Authority) -> None:
    assert one.covers(one)
    assert one.narrowed() == one


@given(AUTHORITIES, AUTHORITIES, AUTHORITIES)
def test_what_covers_what_covers_a_third_covers_the_third(one: Authority, two: Authority, three: Authority) -> None:
    if one.covers(two) and two.covers(three):
        assert one.covers(three)


@given(AUTHORITIES, AUTHORITIES, NARROWINGS, NARROWINGS)
def test_narrowing_never_leaves_what_it_began_with(
    one: Authority, stranger: Authority, how: JsonObject, again: JsonObject
) -> None:
    try:
        narrowed = one.narrowed(**how)
    except Refusal:
        return
    assert one.covers(narrowed)
    assert narrowed.narrowed(**how) == narrowed
    if narrowed.covers(stranger):
        assert one.covers(stranger)
    try:
        twice = narrowed.narrowed(**again)
    except Refusal:
        return
    assert one.covers(twice)
    assert twice.until <= narrowed.until <= one.until


@given(AUTHORITIES, NARROWINGS)
def test_what_is_within_is_never_refused_and_what_is_not_always(one: Authority, how: JsonObject) -> None:
    wanted = Authority(
        audience=one.audience if how.get("audience") is None else how["audience"],
        scope=one.scope if how.get("scope") is None else how["scope"],
        details=one.details if how.get("details") is None else how["details"],
        until=one.until if how.get("until") is None else min(how["until"], one.until),
    )
    try:
        narrowed = one.narrowed(**how)
    except Refusal:
        assert not one.covers(wanted)
    else:
        assert narrowed == wanted


@given(AUTHORITIES, NARROWINGS)
def test_what_is_bound_stays_bound(one: Authority, how: JsonObject) -> None:
    try:
        narrowed = one.narrowed(**how)
    except Refusal:
        return
    if one.is_bound:
        assert narrowed.is_bound
        calls = {detail for detail in narrowed.details if kinds.binds(detail)}
        assert calls <= set(one.details)


# --- forms and scopes ---------------------------------------------------------------------------------------------

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
FIELDS = st.lists(st.tuples(TEXTS, TEXTS), max_size=8, unique_by=lambda field: field[0])


@given(FIELDS)
def test_a_form_says_what_was_written(fields: list[tuple[str, str]]) -> None:
    form = Form.parse(form_bytes(fields))
    for name, value in fields:
        assert form.get(name) == (value or None)
        assert (name in form) == bool(value)


@given(st.lists(st.tuples(st.sampled_from(sorted(REPEATABLE)), TEXTS.filter(bool)), max_size=8))
def test_what_may_repeat_is_kept_in_order(fields: list[tuple[str, str]]) -> None:
    form = Form.parse(form_bytes(fields))
    for name in REPEATABLE:
        assert form.all(name) == tuple(value for key, value in fields if key == name)


@given(st.binary(max_size=80))
def test_any_bytes_are_a_form_or_a_refusal(body: bytes) -> None:
    try:
        form = Form.parse(body)
    except Refusal:
        return
    written = [(name, value) for name, values in form.fields.items() for value in values]
    assert Form.parse(form_bytes(written)) == form
    assert all("\x00" not in unquote_plus(name) for name in form.fields)


@given(
    st.frozensets(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='"\\'), min_size=1))
)
def test_a_scope_says_what_was_written(tokens: frozenset[str]) -> None:
    assert scope(scope_text(tokens)) == tokens
