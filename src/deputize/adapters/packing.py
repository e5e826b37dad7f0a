"""Records as bytes: msgpack, each field by its name, and a union's member by the name of its class.

msgspec writes and reads dataclasses by itself, but cannot read a union of several: nothing in the bytes says which
one it was. So a record's types are looked at once, when its kind is first used. Where no such union lies within,
msgspec does it all. Where one does, the classes around it get a twin, a msgspec struct that carries the member's
class name under `is` (a Python keyword, so no field can be called that), and records go through their twins. Records
themselves stay plain dataclasses that know nothing of it.

What this means for whoever changes a record: a new field needs a default, and neither a field nor a member of a union
may change its name while rows with the old one are alive. A value comes back as the class that the field declares.
"""

import dataclasses
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final, Generic, NewType, TypeVar, Union, cast, get_args, get_origin

import msgspec

from deputize.core.ports import Record
from deputize.core.rules import Fault

R = TypeVar("R", bound=Record)

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,47}")  # a kind and an indexed field are names in SQL too
_UNIONS: Final = (Union, types.UnionType)
_MAPPINGS: Final = (dict, Mapping)
_ROWS: Final = (tuple, list, set, frozenset)

Way = Callable[[Any], Any]

_INSTANT_MAX: Final = 2**63 - 1  # a column holds no more
_ENCODER: Final = msgspec.msgpack.Encoder(order="deterministic")


@dataclass(frozen=True, slots=True)
class _Shape:
    """A type as msgspec gets to see it, with the way there and the way back; None where it is the type itself."""

    seen: Any
    there: Way | None = None
    back: Way | None = None


class Packing(Generic[R]):
    """How one kind of record is packed; made once a kind by `packing`."""

    __slots__ = ("_back", "_decode", "_there", "indexed", "kind", "name")

    def __init__(self, kind: type[R]) -> None:
        _check(kind)
        shape = _dataclass(kind, (), tagged=False)
        self.kind = kind
        self.name = kind.kind
        self._there = shape.there
        self._back = shape.back
        self._decode: Callable[[bytes], Any] = msgspec.msgpack.Decoder(shape.seen).decode
        self.indexed: Callable[[R], tuple[str, ...]] = _getter(kind.indexed)

    def pack(self, record: R) -> bytes:
        """The record's bytes. Raises Fault if it holds text that no UTF-8 can say, or a number beyond 64 bits."""
        if record.expires_at is not None and not -_INSTANT_MAX <= record.expires_at <= _INSTANT_MAX:
            raise Fault(f"this {self.name} expires beyond all time and cannot be kept")
        try:
            return _ENCODER.encode(record if self._there is None else self._there(record))
        except UnicodeEncodeError:
            raise Fault(f"this {self.name} holds half a character and cannot be kept") from None
        except OverflowError:
            raise Fault(f"this {self.name} holds a number beyond 64 bits and cannot be kept") from None

    def unpack(self, body: bytes, key: str | None, version: int) -> R:
        """The record that was packed; what the store keeps beside the body (key, version) has the last word.

        `key` is None where the store does not know it by heart: then it is the one that the record was added with.
        """
        try:
            told = self._decode(body)
            record = cast("R", told if self._back is None else self._back(told))
        except (msgspec.MsgspecError, ValueError, TypeError):
            raise Fault(f"a stored {self.name} cannot be read as one") from None
        if key is not None and record.key != key:
            object.__setattr__(record, "key", key)
        if record.version != version:
            object.__setattr__(record, "version", version)
        return record

    def indexed_in(self, body: bytes, version: int) -> tuple[str, ...]:
        """What the indexed fields are in a packed record; nothing where it cannot be read, which its reader is told."""
        try:
            return self.indexed(self.unpack(body, None, version))
        except Fault:
            return ("",) * len(self.kind.indexed)


def packing(kind: type[R]) -> Packing[R]:
    """How records of this kind are packed. Raises TypeError if they cannot be: a mistake in the program."""
    made = _MADE.get(kind)
    if made is None:
        made = _MADE[kind] = Packing(kind)
    return cast("Packing[R]", made)


_MADE: dict[type[Record], Packing[Any]] = {}


def check_replace(old: Record, new: Record) -> None:
    """Key and kind stay when a record is replaced. Raises ValueError: a mistake in the program."""
    if type(old) is not type(new) or old.key != new.key:
        raise ValueError(f"a {old.kind} is replaced by one of its own kind and key")


def check_where(kind: type[Record], where: str) -> None:
    """Only indexed fields are looked for. Raises ValueError: a mistake in the program."""
    if where and where not in kind.indexed:
        raise ValueError(f"{where!r} is no indexed field of a {kind.kind}")


def appended_key(number: int) -> str:
    """The key of the record that was appended as this one of its kind: as texts they sort as the numbers do."""
    return f"{number:016d}"


def _check(kind: type[Record]) -> None:
    names = {field.name for field in dataclasses.fields(kind)}
    if not _NAME.fullmatch(kind.kind) or kind.kind.startswith("sqlite_"):
        raise TypeError(f"{kind.__name__}: a kind is named in small letters, digits and _, not {kind.kind!r}")
    for name in kind.indexed:
        if name not in names or not _NAME.fullmatch(name):
            raise TypeError(f"{kind.__name__}: {name!r} cannot be an indexed field")


def _getter(names: tuple[str, ...]) -> Callable[[Any], tuple[str, ...]]:
    if not names:
        return lambda _: ()
    get: Callable[[Any], Any] = attrgetter(*names)
    return get if len(names) > 1 else lambda record: (get(record),)


# --- shapes -------------------------------------------------------------------------------------------------------


def _shape(of: Any, within: tuple[type, ...]) -> _Shape:  # noqa: ANN401 (an annotation can be anything)
    """The shape of a type; `within` are the dataclasses around it, so that a circle is seen."""
    if isinstance(of, NewType):
        plain = _shape(of.__supertype__, within)
        return plain if plain.there else _Shape(of)
    if isinstance(of, type) and dataclasses.is_dataclass(of):
        return _dataclass(of, within, tagged=False)
    origin, args = get_origin(of), get_args(of)
    if origin in _UNIONS:
        return _union(of, args, within)
    if origin in _ROWS:
        return _row(of, cast("type", origin), args, within)
    if origin in _MAPPINGS:
        value = _shape(args[1], within)
        return _Shape(of) if value.there is None else _mapping(args[0], value)
    return _Shape(of)


def _dataclass(of: type, within: tuple[type, ...], *, tagged: bool) -> _Shape:
    if of in within:
        return _Shape(of)  # msgspec walks circles by itself; one with a union in it is refused by its decoder
    hints = typing.get_type_hints(of)
    shapes = {field.name: _shape(hints[field.name], (*within, of)) for field in dataclasses.fields(of) if field.init}
    if not tagged and all(shape.there is None for shape in shapes.values()):
        return _Shape(of)
    twin = msgspec.defstruct(
        of.__name__,
        [(name, _or_unset(shape.seen), msgspec.UNSET) for name, shape in shapes.items()],
        tag_field="is" if tagged else None,
        tag=of.__name__ if tagged else None,
        frozen=True,
    )
    theres = tuple((name, shape.there) for name, shape in shapes.items())
    backs = tuple((name, shape.back) for name, shape in shapes.items())

    def there(value: Any) -> Any:  # noqa: ANN401 (any dataclass)
        if type(value) is not of:
            raise TypeError(f"a {of.__name__} is kept here, not a {type(value).__name__}")
        return twin(*(getattr(value, name) if way is None else way(getattr(value, name)) for name, way in theres))

    def back(told: Any) -> Any:  # noqa: ANN401 (its twin)
        members = ((name, way, getattr(told, name)) for name, way in backs)
        return of(**{n: v if way is None else way(v) for n, way, v in members if v is not msgspec.UNSET})

    return _Shape(twin, there, back)


def _or_unset(seen: Any) -> Any:  # noqa: ANN401 (an annotation)
    return Union[seen, msgspec.UnsetType]  # noqa: UP007 (`|` does not take every annotation)


def _union(of: Any, args: tuple[Any, ...], within: tuple[type, ...]) -> _Shape:  # noqa: ANN401 (an annotation)
    several = [arg for arg in args if isinstance(arg, type) and dataclasses.is_dataclass(arg)]
    members: list[type] = several if len(several) > 1 else []
    shapes = {arg: _dataclass(arg, within, tagged=True) for arg in members}
    rest = {arg: _shape(arg, within) for arg in args if arg not in shapes}
    if not shapes and all(shape.there is None for shape in rest.values()):
        return _Shape(of)
    twins = [shape for shape in rest.values() if shape.there]
    if len(twins) > 1 or (twins and len(rest) > 1 + (types.NoneType in rest)):
        raise TypeError(f"{of}: too many sorts of things in one field to be packed")
    theres = {arg: shape.there for arg, shape in shapes.items()} | {types.NoneType: _same}
    backs = {shape.seen: shape.back for shape in shapes.values()} | {types.NoneType: _same}
    there_else = twins[0].there if twins else _not_a_dataclass
    back_else = twins[0].back if twins else _same

    def there(value: Any) -> Any:  # noqa: ANN401 (any member)
        return cast("Way", theres.get(type(value), there_else))(value)

    def back(told: Any) -> Any:  # noqa: ANN401 (any member's twin)
        return cast("Way", backs.get(type(told), back_else))(told)

    seen = [*(shape.seen for shape in shapes.values()), *(shape.seen for shape in rest.values())]
    return _Shape(Union[tuple(seen)], there, back)  # noqa: UP007 (made at run time)


def _row(of: Any, origin: type, args: tuple[Any, ...], within: tuple[type, ...]) -> _Shape:  # noqa: ANN401 (an annotation)
    shapes = [_shape(arg, within) for arg in args if arg is not Ellipsis]
    if all(shape.there is None for shape in shapes):
        return _Shape(of)
    if origin is tuple and Ellipsis not in args:
        theres = [shape.there or _same for shape in shapes]
        backs = [shape.back or _same for shape in shapes]
        return _Shape(
            types.GenericAlias(tuple, tuple(shape.seen for shape in shapes)),
            lambda value: tuple(way(item) for way, item in zip(theres, value, strict=True)),
            lambda told: tuple(way(item) for way, item in zip(backs, told, strict=True)),
        )
    there, back = cast("Way", shapes[0].there), cast("Way", shapes[0].back)
    return _Shape(
        types.GenericAlias(list, (shapes[0].seen,)),
        lambda value: [there(item) for item in value],
        lambda told: origin(back(item) for item in told),
    )


def _mapping(key: Any, value: _Shape) -> _Shape:  # noqa: ANN401 (an annotation)
    there, back = cast("Way", value.there), cast("Way", value.back)
    return _Shape(
        types.GenericAlias(dict, (key, value.seen)),
        lambda mapping: {name: there(item) for name, item in mapping.items()},
        lambda told: {name: back(item) for name, item in told.items()},
    )


def _same(value: Any) -> Any:  # noqa: ANN401 (identity)
    return value


def _not_a_dataclass(value: Any) -> Any:  # noqa: ANN401 (what is left of a union)
    if dataclasses.is_dataclass(value):
        raise TypeError(f"{type(value).__name__} is no member of this union")  # a subclass would come back as nobody
    return value
