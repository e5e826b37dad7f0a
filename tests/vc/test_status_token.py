"""Status List Tokens in both forms: made, read, and refused clause by clause."""

import json
from typing import Any

import cbor2
import pytest

from deputize.core.rules import Refusal, Rule
from deputize.core.values import Instant, Seconds
from deputize.core.wire import b64u
from deputize.jose import jwt
from deputize.jose.algorithms import ALL
from deputize.jose.keys import KeySet, PrivateKey
from deputize.vc import cose
from deputize.vc.status_list import BITS, WHOLE, StatusList
from deputize.vc.status_token import (
    AT_THAT_TIME,
    ITS_NAME,
    LASTS,
    TOLD,
    Expected,
    Form,
    mint,
    parse,
    signed,
    verify,
)
from tests.support.proofs import lets_through, stops
from tests.vc.lists import KEY, KEYS, NOW, SIZE, URI, Reader, a_content, a_list, a_token, forged, reading

BOTH = pytest.mark.parametrize("form", list(Form))


@BOTH
@lets_through(TOLD, ITS_NAME, LASTS)
def test_what_was_said_is_read(form: Form) -> None:
    told = reading(a_token(form, aggregation_uri="https://status.example/all"), form)
    assert (told.uri, told.issued_at, told.until, told.ttl) == (URI, NOW, NOW + 3600, 60)
    assert told.statuses == a_list()
    assert told.aggregation_uri == "https://status.example/all"


@BOTH
@pytest.mark.parametrize("alg", sorted(ALL))
def test_each_algorithm_signs_both_forms(form: Form, alg: str) -> None:
    key = PrivateKey.generate(alg)
    data = signed(a_content(), form, key)
    assert reading(data, form, keys=KeySet.of(key.public())).statuses == a_list()
    with pytest.raises(Refusal):
        reading(data, form, keys=KeySet.of(PrivateKey.generate(alg).public()))


@BOTH
async def test_the_server_signs_with_its_active_key(form: Form) -> None:
    env = Reader().env
    keys = KeySet.from_jwks({"keys": list(env.signer.keys())})
    assert reading(await mint(a_content(), form, env), form, keys=keys).statuses == a_list()


def test_the_smallest_cwt_has_the_tags_and_numbers_of_the_draft() -> None:
    told = cbor2.loads(a_token(Form.CWT))
    assert told.tag == 18
    protected, _, payload, _ = told.value
    assert cbor2.loads(protected) == {1: -7, 16: "application/statuslist+cwt"}
    claims = cbor2.loads(payload)
    assert set(claims) == {2, 4, 6, 65533, 65534}
    assert set(claims[65533]) == {"bits", "lst"}


@pytest.mark.parametrize("changed", [{"ttl": Seconds(0)}, {"ttl": Seconds(-1)}, {"until": NOW}])
def test_a_list_that_does_not_last_is_not_made(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="lasts"):
        a_content(**changed)


def refused(data: bytes, form: Form = Form.JWT, now: int = NOW) -> Rule:
    with pytest.raises(Refusal) as no:
        reading(data, form, now=now)
    return no.value.rule


LST = b64u(a_list().deflated())


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"sub": None}, jwt.CLAIMS),
        ({"sub": URI + "/"}, ITS_NAME),
        ({"sub": URI.upper()}, ITS_NAME),
        ({"sub": "https://status.example/lists/%31"}, ITS_NAME),
        ({"sub": ["https://status.example/lists/1"]}, jwt.CLAIMS),
        ({"iat": None}, jwt.CLAIMS),
        ({"iat": "1"}, jwt.CLAIMS),
        ({"iat": NOW + 60}, jwt.BEGUN),
        ({"exp": NOW - 60}, jwt.UNEXPIRED),
        ({"ttl": 0}, LASTS),
        ({"ttl": -1}, LASTS),
        ({"ttl": "3600"}, LASTS),
        ({"ttl": True}, LASTS),
        ({"status_list": None}, jwt.CLAIMS),
        ({"status_list": "x"}, TOLD),
        ({"status_list": {"lst": LST}}, BITS),
        ({"status_list": {"bits": True, "lst": LST}}, BITS),
        ({"status_list": {"bits": 2}}, WHOLE),
        ({"status_list": {"bits": 2, "lst": LST + "=="}}, WHOLE),
        ({"status_list": {"bits": 2, "lst": "+/+/"}}, WHOLE),
        ({"status_list": {"bits": 2, "lst": 7}}, WHOLE),
    ],
)
@stops(ITS_NAME, LASTS)
def test_each_claim_is_held(changed: dict[str, Any], rule: Rule) -> None:
    assert refused(forged(**changed)) is rule


def test_a_ttl_beyond_all_time_is_a_number_and_a_list_need_tell_none() -> None:
    assert reading(forged(ttl=1e300)).ttl == 2**53
    assert reading(forged(ttl=0.5)).ttl == 1
    assert reading(forged(ttl=None, exp=None)).ttl is None


@pytest.mark.parametrize("typ", ["JWT", "at+jwt", "statuslist+cwt", "application/jwt"])
def test_another_type_is_refused(typ: str) -> None:
    assert refused(forged(typ=typ)) is jwt.TYPED
    assert reading(forged(typ="application/statuslist+jwt")).uri == URI


def test_one_form_is_not_read_as_the_other() -> None:
    assert refused(a_token(Form.JWT), Form.CWT) is TOLD
    assert refused(a_token(Form.CWT), Form.JWT) is jwt.COMPACT


# --- CWT ------------------------------------------------------------------------------------------------------------

CLAIMS = {2: URI, 6: NOW, 4: NOW + 3600, 65534: 60, 65533: {"bits": 2, "lst": a_list().deflated()}}
HEADER = {1: -7, 16: "application/statuslist+cwt"}


def cwt(
    claims: Any = CLAIMS, header: Any = HEADER, beside: Any = None, *, tag: int | None = 18, raw: bytes | None = None
) -> bytes:
    """A CWT of any shape, signed over just what is in it."""
    protected = header if isinstance(header, bytes) else cbor2.dumps(header)
    payload = raw if raw is not None else cbor2.dumps(claims)
    parts = [protected, beside or {}, payload, KEY.sign(cose.to_be_signed(protected, payload))]
    return cbor2.dumps(parts if tag is None else cbor2.CBORTag(tag, parts))


def test_the_shape_of_a_good_cwt() -> None:
    assert reading(cwt(), Form.CWT).statuses == a_list()
    assert reading(cwt(header={**HEADER, 1: -9}), Form.CWT).uri == URI
    assert reading(cwt(beside={4: KEY.kid.encode()}), Form.CWT).uri == URI


TWICE = b"\xa6\x06" + cbor2.dumps(NOW - 9) + cbor2.dumps(CLAIMS)[1:]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        cbor2.dumps(cbor2.CBORTag(61, cbor2.loads(cwt()))),
        cwt(tag=None),
        cwt(tag=17),
        cwt(tag=98),
        b"\xd8\x12" + cwt()[1:],
        cwt() + b"\0",
        cwt()[:-1],
        cwt(header={1: -7}),
        cwt(header={1: -7}, beside={16: "application/statuslist+cwt"}),
        cwt(header={16: "application/statuslist+cwt"}, beside={1: -7}),
        cwt(header=HEADER, beside={1: -7}),
        cwt(header={**HEADER, 2: [16]}),
        cwt(header={**HEADER, 1: 5}),
        cwt(header={**HEADER, 1: "ES256"}),
        cwt(header={**HEADER, 16: 7}),
        cwt(header=b""),
        cwt(header=b"\x80"),
        cwt(header=b"\xa2\xf5\x26\x10\x78\x1aapplication/statuslist+cwt"),
        cwt(raw=TWICE),
        cwt(raw=b"\x80"),
        cwt(raw=b"\xbf\xff"),
        cwt(raw=cbor2.dumps(cbor2.CBORTag(1, 0))),
        cwt(raw=b"\x81" * 400 + b"\x00"),
        cwt(raw=cbor2.dumps(CLAIMS) + b"\0"),
        cwt(beside={4: "a text"}),
    ],
    ids=lambda _: "cwt",  # the bytes differ from run to run, and so would the names
)
@stops(TOLD)
def test_a_cwt_of_another_shape_is_refused(data: bytes) -> None:
    assert refused(data, Form.CWT) is TOLD


@pytest.mark.parametrize(
    ("claims", "rule"),
    [
        ({**CLAIMS, 2: URI + "/"}, ITS_NAME),
        ({"sub" if name == 2 else name: value for name, value in CLAIMS.items()}, jwt.CLAIMS),
        ({**CLAIMS, 6: "1"}, jwt.CLAIMS),
        ({**CLAIMS, 4: NOW - 60}, jwt.UNEXPIRED),
        ({**CLAIMS, 65534: 0}, LASTS),
        ({**CLAIMS, 65534: None}, LASTS),
        ({**CLAIMS, 65533: {"bits": 2, "lst": LST}}, WHOLE),
        ({**CLAIMS, 65533: {"bits": 3, "lst": b""}}, BITS),
        ({**CLAIMS, 65533: [2]}, TOLD),
    ],
)
def test_each_claim_of_a_cwt_is_held(claims: Any, rule: Rule) -> None:
    assert refused(cwt(claims), Form.CWT) is rule


def test_a_type_that_is_not_that_of_a_list_is_refused() -> None:
    assert refused(cwt(header={**HEADER, 16: "application/cwt"}), Form.CWT) is jwt.TYPED


def test_a_cwt_signed_by_another_is_refused() -> None:
    assert refused(signed(a_content(), Form.CWT, PrivateKey.generate()), Form.CWT) is jwt.SIGNED
    good = cwt()
    assert refused(good[:-1] + bytes([good[-1] ^ 1]), Form.CWT) is jwt.SIGNED


# --- history --------------------------------------------------------------------------------------------------------


def as_of(asked: int, **changed: Any) -> StatusList:
    expected = Expected(uri=URI, algs=ALL, at=Instant(asked), bytes_max=SIZE, error="x")
    return verify(parse(forged(**changed), Form.JWT, error="x"), KEYS, expected, Instant(NOW + 10**6)).statuses


@lets_through(AT_THAT_TIME)
def test_a_list_of_the_past_is_good_for_its_own_time() -> None:
    assert as_of(NOW) == as_of(NOW + 3600) == as_of(NOW + 5) == a_list()


@pytest.mark.parametrize(("asked", "changed"), [(NOW - 1, {}), (NOW + 3601, {}), (NOW + 5, {"exp": None})])
@stops(AT_THAT_TIME)
def test_a_list_of_another_time_is_refused(asked: int, changed: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as no:
        as_of(asked, **changed)
    assert no.value.rule is AT_THAT_TIME


def test_json_has_no_forms_but_the_compact_one() -> None:
    head, body, signature = a_token().decode().split(".")
    flattened = json.dumps({"protected": head, "payload": body, "signature": signature})
    assert refused(flattened.encode()) is jwt.COMPACT
