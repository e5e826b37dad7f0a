"""Keys that never leave their token: tried on SoftHSM, and skipped out loud where it is not installed."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deputize.adapters.keys_ring import Plan, State
from deputize.adapters.pkcs11 import Pkcs11Signer, TokenAt, TokenKey
from deputize.core.rules import Fault
from deputize.core.values import Instant, Seconds, Secret
from deputize.jose.keys import PublicKey
from tests.adapters.keys import kids, signs, states
from tests.support.ports import FixedClock

PLACES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
)
MODULE = next((Path(place) for place in PLACES if Path(place).exists()), None)
pkcs11: Any = pytest.importorskip("pkcs11", reason="NOT TRIED: PKCS#11 (pip install python-pkcs11)")
pytestmark = pytest.mark.skipif(
    MODULE is None or shutil.which("softhsm2-util") is None, reason="NOT TRIED: PKCS#11 (apt-get install softhsm2)"
)

TOKEN, PIN = "deputize", "123456"
CURVES = {"first": "secp256r1", "second": "secp256r1", "large": "secp384r1"}


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenAt]:
    """A token with keys of its own, made the way an operator makes them: there, and for signing alone."""
    if MODULE is None:
        raise AssertionError("the mark skips these tests")
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder / 'tokens'}\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(folder / "softhsm2.conf")  # the module itself reads it
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", TOKEN, "--so-pin", "12345678", "--pin", PIN],
        check=True,
        capture_output=True,
    )
    library = pkcs11.lib(str(MODULE))
    library.reinitialize()
    with library.get_token(token_label=TOKEN).open(rw=True, user_pin=PIN) as session:
        for label, curve in CURVES.items():
            named = pkcs11.util.ec.encode_named_curve_parameters(curve)
            parameters = session.create_domain_parameters(
                pkcs11.KeyType.EC, {pkcs11.Attribute.EC_PARAMS: named}, local=True
            )
            parameters.generate_keypair(store=True, label=label)
        session.generate_keypair(pkcs11.KeyType.RSA, 2048, store=True, label="rsa")
    yield TokenAt(module=MODULE, token=TOKEN, pin=Secret(PIN))
    del os.environ["SOFTHSM2_CONF"]


async def test_a_key_of_the_token_signs_as_any_other(token: TokenAt) -> None:
    signer = await Pkcs11Signer.open(token, [TokenKey(label="first")])
    kid, alg = signer.active()
    (jwk,) = signer.keys()
    assert (jwk["kid"], jwk["alg"], jwk["use"]) == (kid, alg, "sig")
    assert alg == "ES256"
    assert PublicKey.from_jwk(jwk).thumbprint == kid
    await signs(signer)
    with pytest.raises(Fault):
        await signer.sign("nobody", b"x")


async def test_nothing_private_is_ever_here(token: TokenAt) -> None:
    signer = await Pkcs11Signer.open(token, [TokenKey(label="first")])
    assert not {"d", "p", "q"} & set(signer.keys()[0])
    library = pkcs11.lib(str(token.module))

    def look() -> None:
        session = library.get_token(token_label=TOKEN).open()
        key = session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, label="first")
        assert key[pkcs11.Attribute.SENSITIVE]
        assert not key[pkcs11.Attribute.EXTRACTABLE]
        with pytest.raises(pkcs11.AttributeSensitive):
            key[pkcs11.Attribute.VALUE]

    await asyncio.to_thread(look)
    assert PIN not in repr(token)
    assert PIN not in repr(vars(signer)) + repr(vars(signer._door))


async def test_many_requests_sign_at_once_and_the_loop_goes_on(token: TokenAt) -> None:
    signers = [await Pkcs11Signer.open(token, [TokenKey(label="first"), TokenKey(label="second")]) for _ in range(2)]
    kid, _ = signers[0].active()
    key = next(PublicKey.from_jwk(jwk) for jwk in signers[0].keys() if jwk["kid"] == kid)  # noqa: SIM118 (no dictionary)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    texts = [b"%d" % number for number in range(200)]
    signatures = await asyncio.gather(*(signers[n % 2].sign(kid, text) for n, text in enumerate(texts)))
    ticking.cancel()
    assert all(key.verifies(signature, text) for signature, text in zip(signatures, texts, strict=True))
    assert ticks > 200


async def test_one_key_follows_another_at_the_time_that_was_told(token: TokenAt) -> None:
    clock = FixedClock()
    keys = [TokenKey(label="second", signs_from=Instant(clock.now + 1000)), TokenKey(label="first")]
    plan = Plan(lead=Seconds(600), overlap=Seconds(600))
    signer = await Pkcs11Signer.open(token, keys, plan, clock=clock)
    first = await signs(signer)
    assert [state for _, state in states(signer)] == [State.ACTIVE, State.NEXT]
    assert len(kids(signer)) == 2
    clock.forward(1000)
    second = await signs(signer)
    assert second != first
    assert [state for _, state in states(signer)] == [State.RETIRING, State.ACTIVE]
    clock.forward(600)
    assert kids(signer) == {second}


async def test_a_token_that_went_away_and_came_back_signs_again(token: TokenAt) -> None:
    signer = await Pkcs11Signer.open(token, [TokenKey(label="first")])
    await asyncio.to_thread(pkcs11.lib(str(token.module)).reinitialize)  # every session and every login is gone
    await signs(signer)


async def test_keys_in_a_token_are_not_rotated_from_here(token: TokenAt) -> None:
    signer = await Pkcs11Signer.open(token, [TokenKey(label="first")])
    await signer.tend()
    for change in (signer.rotate(), signer.retire(signer.active()[0])):
        with pytest.raises(Fault, match="made and destroyed there"):
            await change


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ((), "no key of the token is named"),
        (("nobody",), "NoSuchKey"),
        (("large",), "wants the curve P-256"),
        (("rsa",), "NoSuchKey"),
        (("first", "first"), "two keys have one name"),
    ],
)
async def test_what_does_not_sign_es256_is_no_key(token: TokenAt, labels: tuple[str, ...], told: str) -> None:
    with pytest.raises(Fault, match=told):
        await Pkcs11Signer.open(token, [TokenKey(label=label) for label in labels])


async def test_a_wrong_pin_is_said_once_and_never_shown(token: TokenAt) -> None:
    await asyncio.to_thread(pkcs11.lib(str(token.module)).reinitialize)
    wrong = TokenAt(module=token.module, token=TOKEN, pin=Secret("654321"))
    with pytest.raises(Fault, match="does not take the PIN") as problem:
        await Pkcs11Signer.open(wrong, [TokenKey(label="first")])
    assert "654321" not in str(problem.value)


async def test_a_pin_that_was_changed_meanwhile_does_not_lock_the_token(token: TokenAt) -> None:
    signer = await Pkcs11Signer.open(token, [TokenKey(label="first")])
    library = pkcs11.lib(str(token.module))
    signer._door._where = TokenAt(module=token.module, token=TOKEN, pin=Secret("654321"))
    await asyncio.to_thread(library.reinitialize)
    kid = signer.active()[0]
    for _ in range(20):
        with pytest.raises(Fault, match="does not take the PIN"):
            await signer.sign(kid, b"x")
    await signs(await Pkcs11Signer.open(token, [TokenKey(label="first")]))


async def test_a_token_or_module_that_is_not_there_is_a_fault(token: TokenAt, tmp_path: Path) -> None:
    nowhere = TokenAt(module=token.module, token="nowhere", pin=Secret(PIN))
    with pytest.raises(Fault, match="NoSuchToken"):
        await Pkcs11Signer.open(nowhere, [TokenKey(label="first")])
    nothing = TokenAt(module=tmp_path / "nothing.so", token=TOKEN, pin=Secret(PIN))
    with pytest.raises(Fault, match="PKCS11Error"):
        await Pkcs11Signer.open(nothing, [TokenKey(label="first")])
