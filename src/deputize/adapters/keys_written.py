"""A ring of keys as it is written down: JSON, each private key under the master key where there is one."""

from typing import Any, Final

from deputize.adapters.keys_master import MasterKey
from deputize.adapters.keys_ring import Ring, SigningKey
from deputize.core.rules import Fault
from deputize.core.values import Instant
from deputize.core.wire import JsonObject, Malformed, json_bytes, json_object
from deputize.jose.keys import PrivateKey

BYTES_MAX: Final = 1024 * 1024
_TIMES: Final = ("made_at", "signs_from", "signs_until", "shown_until")


def to_bytes(ring: Ring, master: MasterKey | None) -> bytes:
    """Write it down."""
    kids = [key.kid for key in ring.keys]
    entries = []
    for key in ring.keys:
        if key.private is None:
            raise Fault(f"the private part of key {key.kid} is not ours to write down")
        told: JsonObject = {"kid": key.kid, "alg": key.alg, **{name: getattr(key, name) for name in _TIMES}}
        jwk = key.private.to_jwk()
        if master is None:
            entries.append({**told, "key": jwk})
        else:
            entries.append({**told, "sealed": master.seal(json_bytes(jwk), _belonging(told, ring.generation, kids))})
    return json_bytes(
        {"generation": ring.generation, "wrapped_by": None if master is None else master.name, "keys": entries}
    )


def from_bytes(data: bytes, master: MasterKey | None) -> Ring:
    """Read it. Raises Malformed, which says what to do: also where the master key is missing, or another one.

    Where a master key is given, what is not wrapped is not taken: else who can write here could put own keys in.
    """
    document = json_object(data, bytes_max=BYTES_MAX)
    if set(document) == {"active", "keys"}:
        document = _of_the_first_form(document)
    generation, wrapped_by, entries = (document.get(name) for name in ("generation", "wrapped_by", "keys"))
    if type(generation) is not int or generation < 1:
        raise Malformed("its generation is a number from 1")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Malformed("it has a list of keys, each of them an object")
    _check_master(wrapped_by, master)
    kids = [_typed(entry, "kid", str) for entry in entries]
    keys = [_key(entry, generation, kids, master) for entry in entries]
    return Ring(generation=generation, keys=tuple(sorted(keys, key=lambda key: key.signs_from)))


def _check_master(wrapped_by: object, master: MasterKey | None) -> None:
    if not (wrapped_by is None or isinstance(wrapped_by, str)):
        raise Malformed("wrapped_by is a master key's name")
    if wrapped_by is not None and master is None:
        raise Malformed(f"it is wrapped by the master key {wrapped_by}, and no master key was given")
    if master is not None and wrapped_by is None:
        raise Malformed("a master key was given, and it is not wrapped: `deputize keys wrap` wraps it")
    if master is not None and wrapped_by != master.name:
        raise Malformed(f"it is wrapped by the master key {wrapped_by}, and the one that was given is {master.name}")


def _key(entry: JsonObject, generation: int, kids: list[str], master: MasterKey | None) -> SigningKey:
    made_at, signs_from = (Instant(_typed(entry, name, int)) for name in _TIMES[:2])
    signs_until, shown_until = (
        None if entry.get(name) is None else Instant(_typed(entry, name, int)) for name in _TIMES[2:]
    )
    told: JsonObject = {name: entry.get(name) for name in ("kid", "alg", *_TIMES)}
    if master is None:
        jwk = _typed(entry, "key", dict)
    else:
        jwk = json_object(master.unseal(_typed(entry, "sealed", str), _belonging(told, generation, kids)))
    private = PrivateKey.from_jwk(jwk)
    if (private.kid, private.alg.name) != (told["kid"], told["alg"]):
        raise Malformed("a key stands under another's name")
    return SigningKey(
        kid=private.kid,
        alg=private.alg.name,
        public=private.public_jwk(),
        private=private,
        made_at=made_at,
        signs_from=signs_from,
        signs_until=signs_until,
        shown_until=shown_until,
    )


def _belonging(told: JsonObject, generation: int, kids: list[str]) -> bytes:
    """What a private key is sealed with: its name and times, the generation, and all keys that are there beside it.

    So no key can be put in, left out, made to last longer, or taken from an older file without the master key.
    """
    return json_bytes({"generation": generation, "kids": kids, **told})


def _typed(entry: JsonObject, name: str, kind: type) -> Any:  # noqa: ANN401 (of that kind)
    value = entry.get(name)
    if type(value) is not kind:
        raise Malformed(f"a key's {name} is there, as what it should be")
    return value


def _of_the_first_form(document: JsonObject) -> JsonObject:
    """What version 0.1 wrote: one key that has signed since it was made, whenever that was."""
    keys = document["keys"]
    if not isinstance(keys, list) or len(keys) != 1 or not isinstance(keys[0], dict):
        raise Malformed("it is of the first form, and has not one key")
    kid, alg = document["active"], keys[0].get("alg")
    entry = {"kid": kid, "alg": alg, "made_at": 0, "signs_from": 0, "key": keys[0]}
    return {"generation": 1, "wrapped_by": None, "keys": [entry]}
