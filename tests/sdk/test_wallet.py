"""A wallet takes an offer: it believes the issuer's own document and nothing in the offer, and looks at what it got."""

import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import pytest

from deputize.cli.wallet import AS_ASKED, Places, verified
from deputize.core.ports import Event, Replace
from deputize.core.rules import Fault, Refusal, Rule
from deputize.core.wire import Headers, Reply, json_bytes
from deputize.jose.keys import PrivateKey
from deputize.oauth.nonces import Settings as DpopSettings
from deputize.oauth.offers import Entitled
from deputize.sdk import flow as flows
from deputize.sdk.answers import Refused
from deputize.sdk.flow import arun
from deputize.sdk.wallet import (
    CODE_TYPED,
    ITS_METADATA,
    ITS_OFFER,
    ITS_SERVER,
    Received,
    Wallet,
    accept,
    notify,
    read_offer,
    read_request,
)
from deputize.server.app import protocol_app
from deputize.vc.client_ids import Trust
from deputize.vc.issuance import CredentialOffer, offer, offer_link
from deputize.vc.requests import link_to
from tests.jose.making import a_key
from tests.support.calling import Calling
from tests.support.credentials import BADGE, CLAIMS, DIPLOMA, VCT, Issuing, an_issuer, identifier_of
from tests.support.proofs import lets_through, stops


@dataclasses.dataclass
class Held:
    """The issuer, and a wallet that calls it."""

    issuing: Issuing
    calling: Calling
    wallet: Wallet

    async def accepted(self, told: CredentialOffer, tx_code: str | None = None) -> list[Received]:
        keys = [a_key("ES256", 61 + n) for n in range(len(told.configurations))]
        return await arun(accept(told, keys, self.wallet, tx_code=tx_code), self.calling)

    async def why_not(self, told: CredentialOffer, tx_code: str | None = None) -> Rule | None:
        try:
            await self.accepted(told, tx_code)
        except Refusal as refusal:
            return refusal.rule
        return None

    def altered(self, end: str, **changes: Any) -> None:
        """The answer at this address says something else."""

        def change(reply: Reply) -> Reply:
            said = {name: value for name, value in (reply.json_object() | changes).items() if value is not ...}
            return dataclasses.replace(reply, body=json_bytes(said))

        self.calling.answers[end] = change


@pytest.fixture
async def held() -> AsyncIterator[Held]:
    async with an_issuer() as issuing:
        calling = Calling(lambda: issuing.world.app)
        yield Held(issuing, calling, Wallet(clock=issuing.world.clock, random=issuing.world.env.random))


def env_of(held: Held) -> Any:
    return dataclasses.replace(held.issuing.world.env, fetch=held.calling)


@lets_through(ITS_METADATA, ITS_SERVER, ITS_OFFER, CODE_TYPED, AS_ASKED)
async def test_a_wallet_fetches_what_was_offered_and_finds_it_good(held: Held) -> None:
    made = await held.issuing.offered(DIPLOMA, BADGE, tx_code=True)
    assert made.tx_code is not None
    link = offer_link("openid-credential-offer", f"{held.issuing.name}/offers/{made.secret.reveal()}")
    told = await arun(read_offer(link), held.calling)
    received = await held.accepted(told, made.tx_code.reveal())
    assert [one.configuration for one in received] == [BADGE, DIPLOMA]
    seen = [await verified(one, Places(), env_of(held)) for one in received]
    assert [one["given_name"] for one in seen] == ["Alice", "Alice"]
    await arun(notify(received[0], "credential_accepted", held.wallet), held.calling)
    events = [event.what for event in await held.issuing.world.store.select(Event, "", "", limit=100)]
    assert "credential_accepted" in events
    assert "secret" not in repr(received[0]).replace("Secret", "")


@pytest.mark.parametrize("nonces", [False, True])
async def test_a_token_is_bound_to_a_key_of_the_wallet(held: Held, nonces: bool) -> None:  # noqa: FBT001 (a column)
    issuing = held.issuing
    here = dataclasses.replace(issuing.world.here, dpop=DpopSettings(nonces=nonces))
    issuing.world.here, issuing.world.app = here, protocol_app(here, issuing.world.env, credentials=issuing.credentials)
    wallet = dataclasses.replace(held.wallet, dpop_key=PrivateKey.generate())
    made = await issuing.offered()
    received = await arun(accept(offer(made.told()), [a_key("ES256", 61)], wallet), held.calling)
    assert await verified(received[0], Places(), env_of(held))
    assert any(
        name == "authorization" and value.startswith("DPoP ")
        for call in held.calling.calls
        for name, value in call.headers
    )
    await arun(notify(received[0], "credential_deleted", wallet), held.calling)


@stops(ITS_METADATA)
async def test_the_document_of_another_issuer_is_not_used(held: Held) -> None:
    told = offer((await held.issuing.offered()).told())
    held.altered("/openid-credential-issuer/credentials", credential_issuer="https://evil.example")
    assert await held.why_not(told) is ITS_METADATA
    assert not any(call.method == "POST" for call in held.calling.calls)  # the code was sent to nobody


@stops(ITS_SERVER, ITS_OFFER)
async def test_an_offer_is_held_against_the_issuer_s_document(held: Held) -> None:
    made = await held.issuing.offered()
    said = made.told()
    grants = {name: {**one, "authorization_server": "https://evil.example"} for name, one in said["grants"].items()}
    assert await held.why_not(offer(said | {"grants": grants})) is ITS_SERVER
    assert await held.why_not(offer(said | {"credential_configuration_ids": ["passport"]})) is ITS_OFFER
    assert not any(call.method == "POST" for call in held.calling.calls)


@stops(CODE_TYPED)
async def test_a_transaction_code_is_sent_where_one_is_wanted(held: Held) -> None:
    plain, guarded = await held.issuing.offered(), await held.issuing.offered(tx_code=True)
    assert await held.why_not(offer(plain.told()), "123456") is CODE_TYPED
    assert await held.why_not(offer(guarded.told())) is CODE_TYPED
    assert held.calling.calls == []


async def test_an_issuer_whose_endpoints_lie_elsewhere_is_not_used(held: Held) -> None:
    told = offer((await held.issuing.offered()).told())
    for name in ("credential_endpoint", "nonce_endpoint"):
        held.altered("/openid-credential-issuer/credentials", **{name: "https://evil.example/x"})
        with pytest.raises(Fault, match="not at the issuer's own origin"):
            await held.accepted(told)
    held.altered("/openid-credential-issuer/credentials", credential_endpoint=...)
    with pytest.raises(Fault, match="no credential_endpoint"):
        await held.accepted(told)


async def test_a_nonce_that_is_too_old_is_fetched_anew_once(held: Held) -> None:
    told = offer((await held.issuing.offered()).told())
    stale = Reply(status=200, headers=Headers((("content-type", "application/json"),)), body=b'{"c_nonce":"x"}')
    given: list[Reply] = []

    def once(reply: Reply) -> Reply:
        given.append(reply)
        return stale if len(given) == 1 else reply

    held.calling.answers["/nonce"] = once
    assert await held.accepted(told)
    assert len(given) == 2
    held.calling.answers["/nonce"] = lambda _: stale
    with pytest.raises(Refused) as refused:
        await held.accepted(offer((await held.issuing.offered()).told()))
    assert refused.value.error == "invalid_nonce"


async def test_what_is_not_ready_is_asked_for_again(held: Held) -> None:
    made = await held.issuing.offered(datasets={DIPLOMA: None})
    work = accept(offer(made.told()), [a_key("ES256", 61)], held.wallet)
    waits = 0

    async def answered(step: Any) -> Reply:
        nonlocal waits
        if not isinstance(step, flows.Wait):
            return await held.calling(step)
        waits += 1
        assert step.seconds == held.issuing.credentials.settings.interval
        kept = await held.issuing.world.store.read(Entitled, identifier_of(made))
        if waits == 2 and kept is not None:
            after = dataclasses.replace(kept, claims=json_bytes(CLAIMS).decode())
            assert await held.issuing.world.store.commit(Replace(kept, after))
        return flows.WAITED

    received: list[Received] = []
    step = next(work)
    while not received:
        reply = await answered(step)
        try:
            step = work.send(reply)
        except StopIteration as done:
            received = done.value
    assert waits == 2
    assert (await verified(received[0], Places(), env_of(held)))["given_name"] == "Alice"


@stops(AS_ASKED)
async def test_a_credential_for_another_key_is_not_kept(held: Held) -> None:
    (one,) = await held.accepted(offer((await held.issuing.offered()).told()))
    other = dataclasses.replace(one, key=a_key("ES256", 77))
    with pytest.raises(Refusal) as refused:
        await verified(other, Places(), env_of(held))
    assert refused.value.rule is AS_ASKED
    with pytest.raises(Refusal):
        await verified(dataclasses.replace(one, vct="urn:other"), Places(), env_of(held))
    assert one.vct == VCT


async def test_an_offer_that_wants_a_person_is_not_taken_here(held: Held) -> None:
    made = await held.issuing.offered(person="alice", coded=False)
    with pytest.raises(Fault, match="sign in"):
        await held.accepted(offer(made.told()))


@pytest.mark.parametrize("status", [302, 307, 404, 500])
async def test_where_a_request_should_lie_nothing_else_is_followed(held: Held, status: int) -> None:
    """A redirect of a request_uri is an answer like any other that is not good (W12)."""
    link = link_to("openid4vp", "x509_hash:abc", "https://as.example/nowhere", post=True)
    moved = Headers((("location", "https://evil.example/request"), ("content-type", "application/json")))
    held.calling.answers["/nowhere"] = lambda _: Reply(status=status, headers=moved, body=b"{}")
    with pytest.raises(Fault):
        await arun(read_request(link, Trust(), held.wallet), held.calling)
    assert [call.url for call in held.calling.calls] == ["https://as.example/nowhere"]
