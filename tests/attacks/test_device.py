"""Corpus DV: a stranger's device wants a token in Alice's name, or somebody wants the one that hers is to get."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from deputize.core.ports import Event
from deputize.jose.jwt import peek
from deputize.jose.keys import PrivateKey
from deputize.oauth import asking, device, throttle
from deputize.oauth.asking import Collected
from deputize.oauth.client import Client, Person
from deputize.oauth.device import CONFIRMED, KNOWN_CODE, SAME_NETWORK, USER_CODE, DeviceClient, DeviceRequest, Settings
from deputize.oauth.grants.device_code import ASSESSED, FEW_WAIT, NOT_SENSITIVE, REGISTERED, YOURS
from deputize.oauth.server import GRANT_KNOWN
from deputize.oauth.tokens import BOUND as KEY_SHOWN
from deputize.server.refusals import MISMATCHED
from tests.support.cast import ORDER, PHARMACY, READ
from tests.support.device import BOUND, BUILD, DEVICE_AT, SIGNED, UNKNOWN, Devices, devices_in
from tests.support.flow import APP
from tests.support.pages import SAME_ORIGIN, field_on, text_of, token_on
from tests.support.proofs import lets_through, stops

NO_GRANT = (400, "invalid_grant")
PENDING = (400, "authorization_pending")


@pytest.fixture
async def devices() -> AsyncIterator[Devices]:
    async with devices_in() as made:
        yield made


# --- the way it goes ------------------------------------------------------------------------------------------------


@lets_through(REGISTERED, ASSESSED, NOT_SENSITIVE, FEW_WAIT, YOURS, USER_CODE, KNOWN_CODE)
async def test_a_device_gets_what_alice_allows_it(devices: Devices) -> None:
    begun = await devices.begun()
    assert begun.json == {
        "device_code": begun["device_code"],
        "user_code": begun["user_code"],
        "verification_uri": "https://as.example/device",
        "expires_in": 300,
        "interval": 5,
    }
    assert begun.header("cache-control") == "no-store"
    assert (await devices.poll(begun)).told == PENDING
    said = await devices.answered(begun)
    assert said.headers["location"].startswith("/asks/")
    devices.world.clock.forward(5)
    told = await devices.poll(begun)
    assert (told.status, told["scope"], told["token_type"]) == (200, READ, "Bearer")
    assert "refresh_token" not in told.json  # RFC 10027, 6.1.1: short, unless the operator wants it lasting
    claims = peek(told["access_token"], "x")[1]
    assert (claims["sub"], claims["client_id"], claims["aud"]) == ("alice", BUILD, PHARMACY)
    assert (await devices.poll(begun)).told == NO_GRANT


async def test_what_is_lasting_brings_a_refresh_token_and_an_id_token_says_who() -> None:
    async with devices_in(lasting=True) as lasting:
        await lasting.world.change(
            Client, SIGNED, scope=frozenset({READ, "openid"}), audiences=frozenset({PHARMACY, "https://as.example"})
        )
        begun = await lasting.begun(SIGNED, scope=f"openid {READ}")
        await lasting.answered(begun)
        told = (await lasting.poll(begun, SIGNED)).json
        assert told["refresh_token"]
        assert peek(told["id_token"], "x")[1]["sub"] == "alice"


@pytest.mark.parametrize(("client", "rule"), [(APP, REGISTERED), (UNKNOWN, ASSESSED)])
@stops(REGISTERED, ASSESSED)
async def test_only_clients_that_it_was_assessed_for_begin(devices: Devices, client: str, rule: object) -> None:
    """RFC 10027, 2: registering for the grant, which a client may do by itself, is not enough."""
    answer = await devices.begin(client)
    assert answer.told == (400, "unauthorized_client")
    assert answer["error_description"] == getattr(rule, "says", "")


async def test_an_assessment_that_was_withdrawn_is_none(devices: Devices) -> None:
    await devices.world.change(DeviceClient, BUILD, withdrawn_at=devices.world.now)
    assert (await devices.begin()).told == (400, "unauthorized_client")


async def test_one_switch_turns_all_of_it_off(devices: Devices) -> None:
    async with devices_in(on=False) as off:
        assert (await off.world.get("/device")).status == 404
        answer = await off.world.send("POST", "/device_authorization", (), b"")
        assert answer.status == 404
        assert (await off.poll("BCDFGHJK.x")).json["error_description"] == GRANT_KNOWN.says
        told = (await off.world.get("/.well-known/oauth-authorization-server")).json
        assert "device_authorization_endpoint" not in told
    told = (await devices.world.get("/.well-known/oauth-authorization-server")).json
    assert told["device_authorization_endpoint"] == "https://as.example/device_authorization"
    assert "urn:ietf:params:oauth:grant-type:device_code" in told["grant_types_supported"]


@stops(NOT_SENSITIVE)
async def test_what_is_kept_from_devices_is_not_even_asked_for() -> None:
    async with devices_in(never=(ORDER,)) as careful:
        assert (await careful.begin(scope=f"{READ} {ORDER}")).told == (400, "invalid_scope")
        assert (await careful.begin()).status == 200


@stops(FEW_WAIT)
async def test_one_network_does_not_fill_the_store() -> None:
    async with devices_in(waiting_max=3) as few:
        for _ in range(3):
            await few.begun()
        assert (await few.begin()).told == (400, "slow_down")
        await few.begun(SIGNED)
        few.world.clock.forward(300)
        await few.begun()


# --- DV-01: polling -------------------------------------------------------------------------------------------------


async def test_dv_01_before_an_answer_too_fast_after_no_and_too_late(devices: Devices) -> None:
    begun = await devices.begun()
    assert (await devices.poll(begun)).told == PENDING
    assert (await devices.poll(begun)).told == (400, "slow_down")
    devices.world.clock.forward(9)  # the interval has grown by five, and stays so
    assert (await devices.poll(begun)).told == (400, "slow_down")
    devices.world.clock.forward(15)
    assert (await devices.poll(begun)).told == PENDING
    browser = await devices.browser()
    page = await devices.asked(browser, begun["user_code"])
    assert (await devices.poll(begun)).told == (400, "slow_down")  # also once somebody has typed the code
    await devices.says(browser, page, "deny")
    assert (await devices.poll(begun)).told == (400, "access_denied")
    late = await devices.begun()
    devices.world.clock.forward(300)
    assert (await devices.poll(late)).told == (400, "expired_token")
    typed = await devices.types(await devices.browser(), late["user_code"])
    assert (typed.status_code, len(await devices.asks())) == (403, 1)


async def test_dv_01_a_yes_that_nobody_collects_in_time_is_none(devices: Devices) -> None:
    begun = await devices.begun()
    await devices.answered(begun)
    devices.world.clock.forward(300)
    assert (await devices.poll(begun)).told == (400, "expired_token")


# --- DV-02: whose it is, and once -----------------------------------------------------------------------------------


@stops(YOURS)
async def test_dv_02_another_clients_device_code_is_like_one_that_never_was(devices: Devices) -> None:
    begun = await devices.begun()
    user_code, _, secret = begun["device_code"].partition(".")
    told = [
        await devices.poll(begun, SIGNED),
        await devices.poll("no such code"),
        await devices.poll(f"{user_code}."),
        await devices.poll(f"{user_code}.{secret[::-1]}"),
        await devices.poll(f".{secret}"),
        await devices.poll("ü" * 8 + f".{secret}"),
    ]
    assert {(answer.told, answer["error_description"]) for answer in told} == {(NO_GRANT, YOURS.says)}
    assert (await devices.poll(begun)).told == PENDING  # nothing of it was remembered


@lets_through(KEY_SHOWN)
@stops(KEY_SHOWN, YOURS)
async def test_dv_02_the_key_of_the_first_request_is_the_one_that_collects(devices: Devices) -> None:
    key, other = PrivateKey.generate(), PrivateKey.generate()
    assert (await devices.begin(BOUND)).told == (400, "invalid_dpop_proof")
    begun = await devices.begun(BOUND, key=key)
    await devices.answered(begun)
    assert (await devices.poll(begun, BOUND, key=other)).told == NO_GRANT
    told = await devices.poll(begun, BOUND, key=key)
    assert told["token_type"] == "DPoP"
    assert peek(told["access_token"], "x")[1]["cnf"] == {"jkt": key.public().thumbprint}
    free = await devices.begun(key=key)  # also for a client that need not have one
    assert (await devices.poll(free)).told == NO_GRANT


async def test_dv_02_of_many_polls_at_once_one_gets_the_token(devices: Devices) -> None:
    begun = await devices.begun()
    await devices.answered(begun)
    form = {"grant_type": device.TYPE, "device_code": begun["device_code"]}
    told = await asyncio.gather(*(devices.world.post_quickly("/token", form, by=BUILD) for _ in range(20)))
    assert sorted(answer.status for answer in told) == [200] + [400] * 19
    [ask] = await devices.asks()
    assert isinstance(ask.state, Collected)


async def test_dv_02_its_user_code_opens_nothing_at_the_token_endpoint(devices: Devices) -> None:
    """The ask behind it is found by the user code: as a CIBA request it is none."""
    begun = await devices.begun(SIGNED)
    await devices.answered(begun)
    await devices.world.change(
        Client, SIGNED, grant_types=frozenset({device.TYPE, "urn:openid:params:grant-type:ciba"})
    )
    answer = await devices.world.poll(device.read_code(begun["user_code"]), by=SIGNED)
    assert answer.told == NO_GRANT
    assert (await devices.poll(begun, SIGNED)).status == 200


# --- DV-03, DV-04: the user code ------------------------------------------------------------------------------------


@stops(throttle.NOT_TOO_FAST, KNOWN_CODE)
async def test_dv_03_guesses_are_slowed_down_for_a_person_and_for_an_address(devices: Devices) -> None:
    browser = await devices.browser()
    told = [(await devices.types(browser, "BBBB-BBBB")).status_code for _ in range(20)]
    assert told == [403] * 6 + [429] * 14
    waiting = await devices.types(await devices.browser(), (await devices.begun())["user_code"])
    assert waiting.status_code == 429  # it is the person who is slowed down, in whatever browser
    assert int(waiting.headers["retry-after"]) > 0
    for _ in range(20):  # an address that many share is one that many guess from
        await devices.types(await devices.browser("bob", address="203.0.113.5"), "BBBB-BBBB")
        devices.world.clock.forward(400)
    fresh = await devices.begun()
    assert (await devices.types(await devices.browser("bob"), fresh["user_code"])).status_code == 303


async def test_dv_03_right_codes_of_ones_own_do_not_wash_guesses_away(devices: Devices) -> None:
    """Mallory's own device gives him as many right codes as he likes."""
    browser = await devices.browser()
    told = []
    for _ in range(6):
        told.append((await devices.types(browser, "BBBB-BBBB")).status_code)
        own = (await devices.begun())["user_code"]
        told.append((await devices.types(browser, own)).status_code)
    assert told == [403, 303] * 5 + [403, 429]


async def test_dv_03_who_connects_many_devices_is_not_slowed_down(devices: Devices) -> None:
    browser = await devices.browser()
    for _ in range(12):
        answer = await devices.types(browser, (await devices.begun())["user_code"])
        assert answer.status_code == 303


@pytest.mark.parametrize("how", ["{0}", "{0} ", " {0}", "lower", "{1}{2}", "{1} {2}", "{1}\N{EN DASH}{2}", "{1} - {2}"])
async def test_dv_04_a_code_is_read_as_people_type_it(devices: Devices, how: str) -> None:
    code = (await devices.begun())["user_code"]
    typed = code.lower() if how == "lower" else how.format(code, *code.split("-"))
    assert (await devices.types(await devices.browser(), typed)).status_code == 303


@pytest.mark.parametrize(
    "typed",
    [
        *("", "BCDF", "BCDF-GHJKL", "BCDF-GHJ1", "BCDF-GHJA", "BCDF-GHJK\N{ZERO WIDTH SPACE}", "BCDFGHJK.x"),
        *("\N{CYRILLIC CAPITAL LETTER VE}CDF-GHJK", "\N{FULLWIDTH LATIN CAPITAL LETTER B}CDF-GHJK"),
        *("\N{LATIN SMALL LETTER LONG S}SSS-SSSS", "BCDF-GHJ\N{LATIN SMALL LETTER SHARP S}"),
        *("BCDF/GHJK", "B" * 41, "%"),
    ],
)
@stops(USER_CODE)
async def test_dv_04_what_only_looks_like_a_code_is_none(devices: Devices, typed: str) -> None:
    browser = await devices.browser()
    assert (await devices.types(browser, typed)).status_code == 400
    assert not await devices.world.store.select(throttle.Throttle, "", "")  # and costs nobody anything


async def test_a_user_code_of_one_device_is_no_others() -> None:
    drawn = {device.letters_of(str(number)) for number in range(5000)}
    assert len(drawn) == 5000
    assert all(set(code) <= set(device.LETTERS) and len(code) == device.LENGTH for code in drawn)


# --- DV-05 to DV-09: who says yes, and to what ----------------------------------------------------------------------


async def test_dv_05_nothing_is_allowed_by_typing_a_code(devices: Devices) -> None:
    begun = await devices.begun()
    browser = await devices.browser()
    page = await devices.asked(browser, begun["user_code"])
    assert page.status_code == 200
    devices.world.clock.forward(5)
    assert (await devices.poll(begun)).told == PENDING
    where = str(page.url.raw_path, "ascii")
    fields = {"token": token_on(page), "answer": "allow"}
    for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}, {}):
        assert (await browser.post(where, data=fields, headers=headers)).status_code == 403
    for token in ("", "x"):
        sent = await browser.post(where, data={**fields, "token": token}, headers=SAME_ORIGIN)
        assert sent.status_code == 403
    assert (await browser.post(where, data={"token": token_on(page)}, headers=SAME_ORIGIN)).status_code == 400
    devices.world.clock.forward(5)
    assert (await devices.poll(begun)).told == PENDING


@stops(KNOWN_CODE)
async def test_dv_06_another_cannot_take_up_read_or_answer_what_alice_has(devices: Devices) -> None:
    begun = await devices.begun()
    alices, bobs = await devices.browser(), await devices.browser("bob")
    page = await devices.asked(alices, begun["user_code"])
    where = str(page.url.raw_path, "ascii")
    assert (await devices.types(bobs, begun["user_code"])).status_code == 403
    assert (await bobs.get(where)).status_code == 404
    fields = {"token": token_on(await bobs.get("/device")), "answer": "allow"}
    assert (await bobs.post(where, data=fields, headers=SAME_ORIGIN)).status_code == 404
    assert (await bobs.get(where.replace("/device/", "/asks/"))).status_code == 404
    again = await devices.asked(alices, begun["user_code"])  # but Alice may type it once more
    assert str(again.url.raw_path, "ascii") == where


async def test_dv_06_an_ask_of_another_door_is_not_answered_here(devices: Devices) -> None:
    ask = await devices.world.asked()
    assert (await (await devices.browser()).get(f"/device/{ask.page}")).status_code == 404


async def test_dv_07_never_wider_than_what_was_confirmed(devices: Devices) -> None:
    begun = await devices.begun(scope=f"{READ} {ORDER}")
    browser = await devices.browser()
    page = await devices.asked(browser, begun["user_code"])
    said = await devices.flow.sends(browser, page, "allow", "scope1", scope=f"{READ} {ORDER}", scope9="1")
    assert said.status_code == 303
    told = await devices.poll(begun, scope=f"{READ} {ORDER}", resource=PHARMACY)
    assert told["scope"] == READ
    assert (await devices.begin(scope="admin")).told == (400, "invalid_scope")
    assert (await devices.begin(resource="https://insurer.example")).told == (400, "invalid_target")


async def test_the_inbox_tells_what_was_allowed_and_not_what_was_asked(devices: Devices) -> None:
    begun = await devices.begun(scope=f"{READ} {ORDER}")
    browser = await devices.browser()
    page = await devices.asked(browser, begun["user_code"])
    said = await devices.flow.sends(browser, page, "allow", "scope1")
    for _ in range(2):  # as it was answered, and as it was collected
        told = text_of(await browser.get(said.headers["location"]))
        assert "wants to read your prescriptions at Madrid Pharmacy, within 10 minutes" in told
        assert "prepare orders" not in told
        await devices.poll(begun)


async def test_dv_07_nothing_ticked_is_nothing_allowed(devices: Devices) -> None:
    begun = await devices.begun(scope=f"{READ} {ORDER}")
    browser = await devices.browser()
    page = await devices.asked(browser, begun["user_code"])
    assert (await devices.flow.sends(browser, page, "allow")).status_code == 400
    devices.world.clock.forward(5)
    assert (await devices.poll(begun)).told == PENDING


async def test_dv_08_where_policy_keeps_alice_out_there_is_no_token(devices: Devices) -> None:
    begun, denied = await devices.begun(), devices.world.policy.denied
    denied.add("ask")
    typed = await devices.types(await devices.browser(), begun["user_code"])
    assert (typed.status_code, len(await devices.asks())) == (403, 0)
    denied.clear()
    await devices.answered(begun)
    denied.add("issue")
    assert (await devices.poll(begun)).told == (400, "access_denied")


async def test_dv_09_who_is_locked_or_takes_back_after_saying_yes(devices: Devices) -> None:
    first, second = await devices.begun(), await devices.begun()
    await devices.answered(first)
    await devices.world.change(Person, "alice", disabled_at=devices.world.now)
    assert (await devices.poll(first)).told == (400, "access_denied")
    await devices.world.change(Person, "alice", disabled_at=None)
    await devices.answered(second)
    await devices.world.take_back(client=BUILD)
    assert (await devices.poll(second)).told == (400, "access_denied")
    third = await devices.types(await devices.browser(), (await devices.begun())["user_code"])
    assert (third.status_code, "taken back" in third.text) == (403, True)


# --- DV-10: links, and where everybody is ---------------------------------------------------------------------------


async def test_dv_10_the_page_says_who_where_when_and_what_to_beware_of(devices: Devices) -> None:
    begun = await devices.begun()
    devices.world.clock.forward(120)
    page = text_of(await devices.asked(await devices.browser(), begun["user_code"]))
    for said in (
        "Something on another device wants to act for you at Madrid Pharmacy",
        f"It calls itself “{BUILD}”",
        f"The device that shows {begun['user_code']}",
        "2 minutes ago",
        f"{DEVICE_AT}, not your network",
        device.RISK,
        "this once, within 10 minutes",
    ):
        assert said in page
    near = await devices.asked(await devices.browser(address=DEVICE_AT), (await devices.begun(SIGNED))["user_code"])
    assert f"{SIGNED} wants to act for you" in text_of(near)
    assert f"{DEVICE_AT}, the network that you are on" in text_of(near)


async def test_dv_10_a_link_carries_no_code_unless_links_are_allowed(devices: Devices) -> None:
    begun = await devices.begun()
    assert "verification_uri_complete" not in begun.json
    shown = await (await devices.browser()).get("/device", params={"user_code": begun["user_code"]})
    assert begun["user_code"] not in shown.text


@lets_through(CONFIRMED)
async def test_dv_10_who_comes_by_a_link_picks_what_the_device_shows() -> None:
    async with devices_in(link=True) as linked:
        begun = await linked.begun()
        link = begun["verification_uri_complete"]
        assert link == f"https://as.example/device?user_code={begun['user_code']}"
        stranger = linked.flow.stranger()
        turned = await stranger.get(link)
        assert turned.headers["location"] == f"/sign-in?next=%2Fdevice%3Fuser_code%3D{begun['user_code']}"
        browser = await linked.browser()
        page = await browser.get(link)
        assert page.text.count('name="user_code"') == 4  # two others, and none of them
        assert page.text.count(begun["user_code"]) == 2  # what the button says and what it sends, like the others
        assert not await linked.asks()  # to open a link is no answer, and takes nothing up
        fields = {"token": token_on(page), "link": field_on(page, "link"), "user_code": begun["user_code"]}
        taken = await browser.post("/device", data=fields, headers=SAME_ORIGIN)
        assert taken.headers["location"].startswith("/device/")


@stops(CONFIRMED)
async def test_dv_10_who_picks_another_turns_the_device_away() -> None:
    """Mallory's link, in a mail to Alice: her own device shows something else."""
    async with devices_in(link=True) as linked:
        begun = await linked.begun()
        browser = await linked.browser()
        page = await browser.get(begun["verification_uri_complete"])
        fields = {"token": token_on(page), "link": begun["user_code"], "user_code": "none"}
        told = await browser.post("/device", data=fields, headers=SAME_ORIGIN)
        assert (told.status_code, MISMATCHED.title in told.text) == (403, True)
        assert (await linked.poll(begun)).told == (400, "access_denied")
        assert (await linked.types(browser, begun["user_code"])).status_code == 403
        [event] = await linked.world.store.select(Event, "client", BUILD)
        assert event.what == "device_mismatched"
        unknown = {**fields, "link": "BBBB-BBBB"}  # a code that is none: the same
        assert (await browser.post("/device", data=unknown, headers=SAME_ORIGIN)).text == told.text


async def test_dv_10_without_number_match_there_is_still_a_click() -> None:
    async with devices_in(link=True, number_match=False) as linked:
        begun = await linked.begun()
        page = await (await linked.browser()).get(begun["verification_uri_complete"])
        assert page.text.count('name="user_code"') == 2
        assert not await linked.asks()


@lets_through(SAME_NETWORK)
@stops(SAME_NETWORK)
async def test_dv_10_where_it_is_wanted_the_person_is_on_the_devices_network() -> None:
    async with devices_in(same_network=True) as near:
        begun = await near.begun()
        far = await near.types(await near.browser(), begun["user_code"])
        assert (far.status_code, len(await near.asks())) == (403, 0)
        assert (await near.types(await near.browser(address=DEVICE_AT), begun["user_code"])).status_code == 303


# --- who may not see what -------------------------------------------------------------------------------------------


async def test_who_reads_the_store_cannot_collect(devices: Devices) -> None:
    begun = await devices.begun()
    await devices.answered(begun)
    secret = begun["device_code"].partition(".")[2]
    rows = [*await devices.world.store.select(DeviceRequest, "", ""), *await devices.asks()]
    assert rows
    assert secret not in repr(rows)


async def test_it_is_no_way_around_the_page(devices: Devices) -> None:
    """The general page of asks says nothing of devices: it leads to the one that does."""
    browser = await devices.browser()
    begun = await devices.begun()
    page = await devices.asked(browser, begun["user_code"])
    where = str(page.url.raw_path, "ascii")
    there = where.replace("/device/", "/asks/")
    assert (await browser.get(there)).headers["location"] == where
    fields = {"token": token_on(page), "answer": "allow"}
    assert (await browser.post(there, data=fields, headers=SAME_ORIGIN)).headers["location"] == where
    [ask] = await devices.asks()
    assert isinstance(ask.state, asking.Waiting)
    assert "/device/" not in (await browser.get("/inbox")).text


@pytest.mark.parametrize(
    "wrong", [{"life": 10}, {"life": 3600}, {"interval": 0}, {"allowed_life": 7200}, {"risk": " "}, {"waiting_max": 0}]
)
def test_settings_that_would_undo_it_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Settings(**wrong)  # type: ignore[arg-type]  # whatever a file says
