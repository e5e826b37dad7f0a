"""The JOSE cookbook (RFC 7520): what is in our algorithms comes out to the letter, and the rest is refused by name."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deputize.core.rules import Refusal
from deputize.core.wire import Malformed, b64u_bytes
from deputize.jose import jwe, jws
from deputize.jose.algorithms import ALL
from deputize.jose.keys import KeySet, PrivateKey, PublicKey
from tests.vectors.places import each, load

COOKBOOK = "rfc7520-cookbook"


def files(*folders: str) -> Callable[[Path], Iterator[tuple[str, Any]]]:
    def found(place: Path) -> Iterator[tuple[str, Any]]:
        for folder in folders:
            for file in sorted(place.glob(folder)):
                yield file.stem, load(file)

    return found


@each(COOKBOOK, files("jws/*.json", "curve25519/jws.json", "rfc7797/*.json"))
def test_a_signature_of_ours_is_the_cookbooks_and_others_are_not_allowed(case: Any) -> None:
    given, told = case["input"], case["output"]
    for form in ("json", "json_flat"):
        if form in told:
            with pytest.raises(Malformed):
                jws.parse(json.dumps(told[form]))
    if "compact" not in told:
        return
    try:
        parsed = jws.parse(told["compact"])
    except Malformed:
        assert ".." in told["compact"] or "b64" in case["signing"]["protected"]  # detached, or not in base64url
        return
    if not parsed.payload:
        assert "detached" in case["title"].lower()
    if given["alg"] in ALL:
        key = PrivateKey.from_jwk({**given["key"], "alg": given["alg"]})
        assert jws.compact(parsed.signing_input, key.sign(parsed.signing_input)) == told["compact"]
        [public] = KeySet.of(key.public()).candidates(parsed.kid, parsed.alg)
        assert public.verifies(parsed.signature, parsed.signing_input)
        assert parsed.payload.decode() == given["payload"]
    elif given["alg"] == "EdDSA":  # the old name is not allowed; what stands under it is Ed25519
        key = PrivateKey.from_jwk(given["key"])
        assert key.sign(parsed.signing_input) == parsed.signature
        assert key.alg.name == "Ed25519"
    else:
        assert parsed.alg == given["alg"]
        with pytest.raises(Malformed):
            PrivateKey.from_jwk({**given["key"], "alg": given["alg"]})


@each(COOKBOOK, files("jws/4_8*.json"))
def test_the_first_of_several_signatures_is_good_by_itself(case: Any) -> None:
    """Ours is compact alone; taken out of the JSON form, the RS256 signature is one of ours."""
    told, key = case["output"]["json"], case["input"]["key"][0]
    one = told["signatures"][0]
    parsed = jws.parse(f"{one['protected']}.{told['payload']}.{one['signature']}")
    assert PrivateKey.from_jwk({**key, "alg": "RS256"}).public().verifies(parsed.signature, parsed.signing_input)


@each(COOKBOOK, files("jwe/*.json", "curve25519/ecdh-es.json", "6*.json"))
def test_no_encryption_of_the_cookbook_is_the_one_that_is_ours(case: Any) -> None:
    """It has ECDH-ES, and GCM, and P-256, but nowhere all three; what it has is refused before any key is touched."""
    told = case.get("output") or case["encrypt"]["output"]
    key = jwe.DecryptionKey.generate()
    for form in ("json", "json_flat"):
        if form in told:
            with pytest.raises(Refusal) as refused:
                jwe.decrypt(json.dumps(told[form]), [key], encs=jwe.ENCS, error="x")
            assert refused.value.rule is jwe.COMPACT_JWE
    if "compact" in told:
        with pytest.raises(Refusal) as refused:
            jwe.decrypt(told["compact"], [key], encs=jwe.ENCS, error="x")
        assert refused.value.rule in {jwe.DIRECT_AGREEMENT, jwe.EPHEMERAL_POINT}


@each(COOKBOOK, files("jwk/*.json"))
def test_a_key_of_the_cookbook_is_read_if_it_is_of_a_kind_of_ours(case: Any) -> None:
    if case["kty"] != "RSA":  # P-521 and MACs
        for read in (PublicKey.from_jwk, PrivateKey.from_jwk):
            with pytest.raises(Malformed):
                read(case)
    elif "d" in case:
        assert PrivateKey.from_jwk(case).to_jwk()["qi"] == case["qi"]
        with pytest.raises(Malformed):
            PublicKey.from_jwk(case)
    else:
        assert PublicKey.from_jwk(case).kid == case["kid"]
        assert len(b64u_bytes(case["n"])) == 256
