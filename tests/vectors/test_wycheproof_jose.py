"""Wycheproof's JWS, JWK and JWE: what is valid and in an algorithm of ours passes, and nothing else does."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deputize.core.rules import Refusal
from deputize.core.wire import Malformed
from deputize.jose import jwe, jws
from deputize.jose.algorithms import ALL
from deputize.jose.keys import KeySet, PublicKey
from tests.vectors.places import each, load

PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth"}


def cases(kind: str, names: tuple[str, ...]) -> Any:
    def found(place: Path) -> Iterator[tuple[str, Any]]:
        for name in names:
            for group in load(place / f"json_web_{name}_test.json")["testGroups"]:
                for test in group["tests"]:
                    if kind in test:
                        yield f"{name}-{test['tcId']}-{test['comment']}", (group, test)

    return found


def why_not(compact: str, keys: KeySet) -> str | None:
    """What stops a JWS, whatever its payload; None where its signature is good."""
    try:
        parsed = jws.parse(compact)
    except Malformed:
        return "malformed"
    if parsed.alg not in ALL:
        return "not allowed"
    candidates = keys.candidates(parsed.kid, parsed.alg)
    return None if any(key.verifies(parsed.signature, parsed.signing_input) for key in candidates) else "not signed"


def public_keys(group: dict[str, Any]) -> KeySet:
    """The keys of a group, as we load them: those that we do not use are left out."""
    told = group.get("public") or group["private"]
    loaded = []
    for jwk in told.get("keys", [told]):
        try:
            loaded.append(PublicKey.from_jwk({name: value for name, value in jwk.items() if name not in PRIVATE}))
        except Malformed:
            continue
    return KeySet.of(*loaded)


def text_of(message: str | dict[str, Any]) -> str:
    """A message as it comes: the JSON serialisation is a text, too."""
    return message if isinstance(message, str) else json.dumps(message)


# Valid to the publisher, but spelled in another way than the one that we read; both are MACs besides.
MISSPELT = {"InvalidCharacterInsertedInHeader", "InvalidCharacterInsertedInPayload"}


@each("wycheproof-jose", cases("jws", ("signature", "key", "crypto")))
def test_a_signature_is_accepted_if_and_only_if_it_is_valid_and_of_an_algorithm_of_ours(case: Any) -> None:
    group, test = case
    reason = why_not(text_of(test["jws"]), public_keys(group))
    if test["result"] != "valid":
        assert reason is not None
    elif test["comment"] in MISSPELT:
        assert reason == "malformed"
    else:
        ours = jws.parse(test["jws"]).alg in ALL
        assert reason == (None if ours else "not allowed")


@each("wycheproof-jose", cases("jwe", ("encryption", "crypto")))
def test_a_message_opens_if_and_only_if_it_is_valid_and_in_the_way_that_is_ours(case: Any) -> None:
    group, test = case
    jwk, message = group["private"], text_of(test["jwe"])
    try:
        key = jwe.DecryptionKey.from_jwk(jwk)
    except Malformed:  # a key of another kind: the message is refused with one of ours
        key = jwe.DecryptionKey.generate()
    if test["result"] == "valid" and jwk.get("alg") == jwe.ALG and test.get("enc") in jwe.ENCS:
        opened = jwe.decrypt(message, [key], encs=jwe.ENCS, error="invalid_request")
        assert opened.plaintext == bytes.fromhex(test["pt"])
        return
    with pytest.raises(Refusal) as refused:
        jwe.decrypt(message, [key], encs=jwe.ENCS, error="invalid_request")
    if test["result"] == "valid":
        assert refused.value.rule in {jwe.DIRECT_AGREEMENT, jwe.UNCOMPRESSED}
