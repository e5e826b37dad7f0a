"""Issuers by DID: the method specifications' own examples, and what a DID must not get away with."""

from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deputize.core.ports import Env
from deputize.core.rules import Fault, Refusal, Rule
from deputize.core.wire import JsonObject, Malformed, Reply, b64u, json_bytes
from deputize.jose import jws
from deputize.jose.jws import Jws
from deputize.jose.keys import PrivateKey, public_members, thumbprint
from deputize.vc.dids import ASSERTS, DID_MAX, OWN_KID, TAKEN_DID, Decentralized, decentralized, read, web_url
from deputize.vc.issuer_keys import WEB_ISSUER, Found, Way, well_known
from deputize.vc.presented import open_sd_jwt
from deputize.vc.verify import TRUSTED_ISSUER, Policy, TrustedIssuer, averify
from tests.core.outside import Outside
from tests.jose.making import a_key
from tests.support.proofs import lets_through, stops
from tests.vc.made import NOW, claims, crafted, issuer_key
from tests.vc.made import VCT as DIPLOMA

# The examples of did:jwk (P-256) and of did:key's test vectors (NIST curves), each with the JWK that it stands for.
JWK_P256 = (
    "did:jwk:eyJjcnYiOiJQLTI1NiIsImt0eSI6IkVDIiwieCI6ImFjYklRaXVNczNpOF91c3pFakoydHBUdFJNNEVVM3l6OTFQSDZDZEgyVjAiLCJ5"
    "IjoiX0tjeUxqOXZXTXB0bm1LdG00NkdxRHo4d2Y3NEk1TEtncmwyR3pIM25TRSJ9"
)
JWK_X25519 = (
    "did:jwk:eyJrdHkiOiJPS1AiLCJjcnYiOiJYMjU1MTkiLCJ1c2UiOiJlbmMiLCJ4IjoiM3A3YmZYdDl3YlRUVzJIQzdPUTFOei1EUThoYmVHZE5y"
    "ZngtRkctSUswOCJ9"
)
EXAMPLES: list[tuple[str, str, JsonObject]] = [
    (
        JWK_P256,
        "#0",
        {
            "kty": "EC",
            "crv": "P-256",
            "x": "acbIQiuMs3i8_uszEjJ2tpTtRM4EU3yz91PH6CdH2V0",
            "y": "_KcyLj9vWMptnmKtm46GqDz8wf74I5LKgrl2GzH3nSE",
        },
    ),
    (
        "did:key:zDnaerx9CtbPJ1q36T5Ln5wYt3MQYeGRG5ehnPAmxcf5mDZpv",
        "#zDnaerx9CtbPJ1q36T5Ln5wYt3MQYeGRG5ehnPAmxcf5mDZpv",
        {
            "kty": "EC",
            "crv": "P-256",
            "x": "igrFmi0whuihKnj9R3Om1SoMph72wUGeFaBbzG2vzns",
            "y": "efsX5b10x8yjyrj4ny3pGfLcY7Xby1KzgqOdqnsrJIM",
        },
    ),
    (
        "did:key:zDnaerDaTF5BXEavCrfRZEk316dpbLsfPDZ3WJ5hRTPFU2169",
        "#zDnaerDaTF5BXEavCrfRZEk316dpbLsfPDZ3WJ5hRTPFU2169",
        {
            "kty": "EC",
            "crv": "P-256",
            "x": "fyNYMN0976ci7xqiSdag3buk-ZCwgXU4kz9XNkBlNUI",
            "y": "hW2ojTNfH7Jbi8--CJUo3OCbH3y5n91g-IMA9MLMbTU",
        },
    ),
    (
        "did:key:z82Lm1MpAkeJcix9K8TMiLd5NMAhnwkjjCBeWHXyu3U4oT2MVJJKXkcVBgjGhnLBn2Kaau9",
        "#z82Lm1MpAkeJcix9K8TMiLd5NMAhnwkjjCBeWHXyu3U4oT2MVJJKXkcVBgjGhnLBn2Kaau9",
        {
            "kty": "EC",
            "crv": "P-384",
            "x": "lInTxl8fjLKp_UCrxI0WDklahi-7-_6JbtiHjiRvMvhedhKVdHBfi2HCY8t_QJyc",
            "y": "y6N1IC-2mXxHreETBW7K3mBcw0qGr3CWHCs-yl09yCQRLcyfGv7XhqAngHOu51Zv",
        },
    ),
    (
        "did:key:z82LkvCwHNreneWpsgPEbV3gu1C6NFJEBg4srfJ5gdxEsMGRJUz2sG9FE42shbn2xkZJh54",
        "#z82LkvCwHNreneWpsgPEbV3gu1C6NFJEBg4srfJ5gdxEsMGRJUz2sG9FE42shbn2xkZJh54",
        {
            "kty": "EC",
            "crv": "P-384",
            "x": "CA-iNoHDg1lL8pvX3d1uvExzVfCz7Rn6tW781Ub8K5MrDf2IMPyL0RTDiaLHC1JT",
            "y": "Kpnrn8DkXUD3ge4mFxi-DKr0DYO2KuJdwNBrhzLRtfMa3WFMZBiPKUPfJj8dYNl_",
        },
    ),
]
# did:key's vectors of Ed25519: the seed is the number, in 32 bytes.
SEEDED = [
    "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp",
    "did:key:z6MkjchhfUsD6mmvni8mCdXHw216Xrm9bQe2mBH1P5RDjVJG",
    "did:key:z6MknGc3ocHs3zdPiJbnaaqDi58NGb4pk1Sp9WxWufuXSdxf",
    "did:key:z6MkvqoYXQfDDJRv8L4wKzxYeuKyVZBfi9Qo6Ro8MiLH3kDQ",
    "did:key:z6MkwW6aqMnjgrhJXFUko3NnZPGzVpkNzhYK7yEhnsibmLwL",
]
WEB = "did:web:uni.example"
URL = "https://uni.example/.well-known/did.json"
LISTED = "https://uni.example/status/1"
ALGS = {"P-256": "ES256", "P-384": "ES384", "Ed25519": "Ed25519"}


def own_did() -> str:
    """The issuer's key as a did:jwk."""
    members = {name: value for name, value in issuer_key().public_jwk().items() if name in {"kty", "crv", "x", "y"}}
    return f"did:jwk:{b64u(json_bytes(members))}"


def named(did: str, kid: str, alg: str = "ES256", **header: Any) -> Jws:
    """A token that says so much of its key."""
    return open_sd_jwt(crafted(claims(iss=did), kid=kid, alg=alg, **header), None, "x").token


def found(did: str, kid: str, alg: str = "ES256", way: Way | None = None, **header: Any) -> Found | None:
    return (way or decentralized()).at_hand(named(did, kid, alg, **header), did, NOW, "x")


def why_not(act: Callable[[], object]) -> Rule | None:
    try:
        act()
    except Refusal as refusal:
        return refusal.rule
    return None


# --- the specifications' own examples -----------------------------------------------------------------------------


@lets_through(TAKEN_DID, OWN_KID, ASSERTS)
@pytest.mark.parametrize(("did", "fragment", "jwk"), EXAMPLES)
def test_a_did_says_its_key(did: str, fragment: str, jwk: JsonObject) -> None:
    for kid in (fragment, did + fragment):
        told = found(did, kid, ALGS[jwk["crv"]])
        assert told
        assert told.issuer == did
        assert [key.thumbprint for key in told.keys] == [thumbprint(jwk)]


@pytest.mark.parametrize(("seed", "did"), list(enumerate(SEEDED)))
def test_a_did_key_of_ed25519(seed: int, did: str) -> None:
    jwk = public_members(Ed25519PrivateKey.from_private_bytes(seed.to_bytes(32, "big")).public_key())
    told = found(did, f"#{did.removeprefix('did:key:')}", "Ed25519")
    assert told
    assert told.keys[0].thumbprint == thumbprint(jwk)


@pytest.mark.parametrize(
    ("rest", "url"),
    [
        ("w3c-ccg.github.io", "https://w3c-ccg.github.io/.well-known/did.json"),
        ("w3c-ccg.github.io:user:alice", "https://w3c-ccg.github.io/user/alice/did.json"),
        ("example.com%3A3000", "https://example.com:3000/.well-known/did.json"),
        ("example.com%3A3000:user:alice", "https://example.com:3000/user/alice/did.json"),
    ],
)
def test_a_did_web_is_a_place(rest: str, url: str) -> None:
    assert web_url(rest, "x") == url


def test_the_document_of_did_web_is_read() -> None:
    """The specification's example of JsonWebKey2020: what is for key agreement alone asserts nothing."""
    keys = {
        "key-0": {"kty": "OKP", "crv": "Ed25519", "x": "0-e2i2_Ua1S5HbTYnVB0lj2Z2ytXu2-tYmDFf8f5NjU"},
        "key-1": {"kty": "OKP", "crv": "X25519", "x": "9GXjPGGvmRq9F6Ng5dQQ_s31mfhxrcNZxRGONrmH30k"},
        "key-2": {
            "kty": "EC",
            "crv": "P-256",
            "x": "38M1FDts7Oea7urmseiugGW7tWc3mLpJh6rKe7xINZ8",
            "y": "nDQW6XZ7b_u2Sy9slofYLlG03sOEoug3I0aAPQ0exs4",
        },
    }
    did = "did:web:example.com"
    document = {
        "id": did,
        "verificationMethod": [
            {"id": f"{did}#{name}", "type": "JsonWebKey2020", "controller": did, "publicKeyJwk": jwk}
            for name, jwk in keys.items()
        ],
        "assertionMethod": [f"{did}#key-0", f"{did}#key-2"],
        "keyAgreement": [f"{did}#key-1", f"{did}#key-2"],
    }
    assert read(document) == {f"{did}#{name}": keys[name] for name in ("key-0", "key-2")}


# --- what is not taken --------------------------------------------------------------------------------------------


@stops(TAKEN_DID)
@pytest.mark.parametrize(
    "did",
    [
        "did:example:123",
        "did:ion:EiAnKD8-jfdd0MDcZUjAbRgaThBrMxPTFOxcnfJhI7Ukaw",
        "DID:web:uni.example",
        "did:Web:uni.example",
        "did:web:uni.example#key",
        "did:web:uni.example?x",
        "https://uni.example",
        f"did:jwk:{'A' * DID_MAX}",
    ],
)
def test_another_did_is_not_taken(did: str) -> None:
    assert why_not(lambda: found(did, "#0")) is TAKEN_DID


@stops(TAKEN_DID)
@pytest.mark.parametrize(
    "rest",
    [
        *("127.0.0.1", "10.0.0.1%3A8443", "2130706433", "uni.example%2Fx", "uni.example:..:x", "uni.example:a..b"),
        *("uni.example:", ":x", "uni..example", "-uni.example", "uni.example%3A0", "uni.example%3a80", "Uni.example"),
        *("uni.example%3A", "uni.example:%2e%2e", "user@uni.example", "uni.example:.hidden"),
    ],
)
def test_a_did_web_that_could_lead_elsewhere_is_not_followed(rest: str) -> None:
    assert why_not(lambda: web_url(rest, "x")) is TAKEN_DID


def test_methods_are_named() -> None:
    assert why_not(lambda: found(JWK_P256, "#0", way=decentralized(frozenset({"key"})))) is TAKEN_DID
    with pytest.raises(ValueError, match="methods are some of"):
        decentralized(frozenset({"ion"}))


@stops(OWN_KID)
@pytest.mark.parametrize(
    "kid", ["", "0", "#", JWK_P256, f"{JWK_P256}#", f"{WEB}#0", f"{JWK_P256}x#0", f"x{JWK_P256}#0"]
)
def test_the_kid_is_of_the_same_did(kid: str) -> None:
    assert why_not(lambda: found(JWK_P256, kid)) is OWN_KID


@stops(OWN_KID)
def test_no_certificate_comes_beside_it() -> None:
    assert why_not(lambda: found(JWK_P256, "#0", x5c=["MII="])) is OWN_KID
    assert why_not(lambda: decentralized().at_hand(named(JWK_P256, "#0"), None, NOW, "x")) is TAKEN_DID


def a_jwk(**members: Any) -> str:
    return f"did:jwk:{b64u(json_bytes(members))}"


P256 = EXAMPLES[0][2]
OFF_CURVE = {**P256, "y": P256["x"]}
KEY = EXAMPLES[1][0]


# P-521 and secp256k1
OTHER_CURVES = (
    "z2J9gaYxrKVpdoG9A4gRnmpnRCcxU6agDtFVVBVdn1JedouoZN7SzcyREXXzWgt3gGiwpoHq7K68X4m32D8HgzG8wv3sY5j7",
    "zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme",
)


@stops(ASSERTS)
@pytest.mark.parametrize(
    ("did", "kid", "alg"),
    [
        (JWK_X25519, "#0", "Ed25519"),
        (JWK_P256, "#1", "ES256"),
        (JWK_P256, "#0", "ES384"),
        (a_jwk(**OFF_CURVE), "#0", "ES256"),
        (a_jwk(**P256, d=P256["x"]), "#0", "ES256"),
        (a_jwk(**P256, use="enc"), "#0", "ES256"),
        (a_jwk(kty="oct", k="AAAA"), "#0", "ES256"),
        ("did:jwk:e30", "#0", "ES256"),
        ("did:jwk:W10", "#0", "ES256"),
        ("did:jwk:e30x", "#0", "ES256"),
        (KEY, "#0", "ES256"),
        (KEY[:-1] + "0", f"#{KEY[8:-1]}0", "ES256"),
        (KEY[:-1], f"#{KEY[8:-1]}", "ES256"),
        (KEY.replace(":z", ":Q"), f"#{KEY.replace(':z', ':Q')[8:]}", "ES256"),
        *((f"did:key:{name}", f"#{name}", "ES256") for name in OTHER_CURVES),
    ],
)
def test_a_key_that_is_none_for_this_is_refused(did: str, kid: str, alg: str) -> None:
    assert why_not(lambda: found(did, kid, alg)) is ASSERTS


# --- did:web, whole -----------------------------------------------------------------------------------------------


def a_document(did: str = WEB, key: PrivateKey | None = None, **changed: Any) -> JsonObject:
    method = {"id": "#1", "type": "JsonWebKey", "controller": did, "publicKeyJwk": (key or issuer_key()).public_jwk()}
    good = {"id": did, "verificationMethod": [method], "assertionMethod": ["#1"]}
    return {name: value for name, value in {**good, **changed}.items() if value is not None}


def policy(way: Decentralized, did: str = WEB) -> Policy:
    return Policy(issuers=(TrustedIssuer(issuer=did, keys=way, types=frozenset({DIPLOMA})),))


async def taken(env: Env, way: Decentralized | None = None, *, did: str = WEB, kid: str = "#1", **more: Any) -> str:
    text = crafted(claims(iss=did), typ="dc+sd-jwt", kid=kid, **more)
    return (await averify(text, policy(way or decentralized(), did), asked=None, env=env)).issuer


@lets_through(TAKEN_DID, OWN_KID, ASSERTS)
async def test_a_credential_of_a_did_web_is_verified_and_its_document_is_kept() -> None:
    outside, way = Outside({URL: a_document()}), decentralized()
    for kid in ("#1", f"{WEB}#1"):
        assert await taken(outside.env, way, kid=kid) == WEB
    assert len(outside.calls) == 1


async def test_a_new_key_is_looked_for_once() -> None:
    outside, way = Outside({URL: a_document()}), decentralized()
    assert await taken(outside.env, way) == WEB
    fresh = a_key("ES256", 88)
    outside.later(61)
    outside.answers[URL] = a_document(
        key=fresh,
        verificationMethod=None,
        assertionMethod=[
            {"id": f"{WEB}#2", "type": "JsonWebKey", "controller": WEB, "publicKeyJwk": fresh.public_jwk()}
        ],
    )
    assert await taken(outside.env, way, kid="#2", key=fresh) == WEB
    assert len(outside.calls) == 2
    with pytest.raises(Refusal):
        await taken(outside.env, way, kid="#3")


@stops(ASSERTS)
async def test_a_key_for_something_else_asserts_nothing() -> None:
    other = {"id": "#2", "type": "JsonWebKey", "controller": WEB, "publicKeyJwk": a_key("ES256", 88).public_jwk()}
    document = a_document(authentication=["#1"])
    document["verificationMethod"].append(other)
    document["assertionMethod"] = ["#2"]
    with pytest.raises(Refusal) as refused:
        await taken(Outside({URL: document}).env)
    assert refused.value.rule is ASSERTS


METHOD = a_document()["verificationMethod"][0]


@pytest.mark.parametrize(
    "document",
    [
        a_document(id="did:web:other.example"),
        a_document(id=None),
        a_document(assertionMethod=None),
        a_document(assertionMethod=["#2"]),
        a_document(assertionMethod=["did:web:other.example#1"]),
        a_document(assertionMethod="#1"),
        a_document(assertionMethod=["#1"] * 51),
        a_document(verificationMethod=[{**METHOD, "controller": "did:web:other.example"}]),
        a_document(verificationMethod=[{**METHOD, "id": "did:web:other.example#1"}]),
        a_document(verificationMethod=[{**METHOD, "publicKeyJwk": "x"}]),
        a_document(verificationMethod=[{**METHOD, "publicKeyJwk": None, "publicKeyMultibase": "zz"}]),
        a_document(verificationMethod=["x", None, 7]),
        Reply(status=404, body=json_bytes(a_document())),
    ],
)
async def test_a_document_that_is_not_good_gives_no_key(document: Any) -> None:
    with pytest.raises(Fault):
        await taken(Outside({URL: document}).env)


def test_a_multibase_key_is_one_too() -> None:
    did = EXAMPLES[1][0]
    method = {
        "id": f"{WEB}#k",
        "type": "Multikey",
        "controller": WEB,
        "publicKeyMultibase": did.removeprefix("did:key:"),
    }
    assert read({"id": WEB, "assertionMethod": [method]})[f"{WEB}#k"] == EXAMPLES[1][2]
    with pytest.raises(Malformed):
        read({"id": WEB, "assertionMethod": [{**method, "publicKeyMultibase": "z1111"}]})


async def test_a_list_of_such_an_issuer_is_taken() -> None:
    """Its key is found as the credential's is, without a question to anybody."""
    did = own_did()
    token = jws.signing_input({"sub": LISTED}, alg="ES256", typ="statuslist+jwt", kid=f"{did}#0")
    parsed = jws.parse(jws.compact(token, issuer_key().sign(token)))
    outside = Outside()
    found = await decentralized().find(parsed, did, outside.env, "x")
    assert [key.thumbprint for key in found.keys] == [issuer_key().public().thumbprint]
    assert outside.calls == []


def test_a_did_key_may_be_a_jwk() -> None:
    """The multicodec jwk_jcs-pub: the JWK itself, in base58."""
    data = b"\xd1\xd6\x03" + json_bytes(P256)
    number, letters = int.from_bytes(data, "big"), ""
    while number:
        number, place = divmod(number, 58)
        letters = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"[place] + letters
    told = found(f"did:key:z{letters}", f"#z{letters}")
    assert told
    assert told.keys[0].thumbprint == thumbprint(P256)


# --- off ----------------------------------------------------------------------------------------------------------


async def test_dids_are_off_unless_they_are_set_for_an_issuer() -> None:
    did = own_did()
    assert await taken(Outside().env, did=did, kid=f"{did}#0") == did
    text = crafted(claims(iss=did), typ="dc+sd-jwt", kid="#0")
    elsewhere = Policy(
        issuers=(TrustedIssuer(issuer="https://a.example", keys=well_known(), types=frozenset({DIPLOMA})),)
    )
    by_web = Policy(issuers=(TrustedIssuer(issuer=did, keys=well_known(), types=frozenset({DIPLOMA})),))
    for other, rule in (
        (elsewhere, TRUSTED_ISSUER),
        (by_web, WEB_ISSUER),
        (policy(decentralized(), WEB), TRUSTED_ISSUER),
    ):
        with pytest.raises(Refusal) as refused:
            await averify(text, other, asked=None, env=Outside().env)
        assert refused.value.rule is rule
    with pytest.raises(ValueError, match="without a name"):
        Policy(issuers=(TrustedIssuer(issuer=None, keys=decentralized(), types=frozenset({DIPLOMA})),))
