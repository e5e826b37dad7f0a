"""Who plays in the tests' world: builders of records, and the ports that are not in `tests.support.ports`."""

from dataclasses import dataclass, field
from typing import Any, TypeVar

from deputize.core.ports import Add, Append, Change, Notice, Question, Record, Store, Verdict
from deputize.core.rules import Fault
from deputize.core.values import Instant, Seconds
from deputize.core.wire import Call, JsonObject, Reply, json_bytes
from deputize.jose.keys import PrivateKey
from deputize.oauth import asking
from deputize.oauth.asking import Ask
from deputize.oauth.authority import Authority
from deputize.oauth.client import Client
from deputize.oauth.details import content_digest
from deputize.oauth.grants import ciba, token_exchange, transaction

R = TypeVar("R", bound=Record)

NOW = 1_764_000_000
PHARMACY, INSURER = "https://api.pharmacy.example", "https://api.insurer.example"
READ, ORDER, CLAIM = "prescriptions:read", "prescriptions:order", "claims:read"
ALL_GRANTS = frozenset({"client_credentials", ciba.TYPE, token_exchange.TYPE, transaction.DOOR})
BOT, OTHER, DPOP_BOT, ROAMING = "pharmacy-bot", "other-bot", "dpop-bot", "roaming-bot"
BASIC, POST = "basic-bot", "post-bot"


# --- builders -----------------------------------------------------------------------------------------------------


def jwks(*keys: PrivateKey) -> str:
    """The public parts of keys, as a client or a resource registers them."""
    return json_bytes({"keys": [key.public_jwk() for key in keys]}).decode()


def a_client(key: str = "some-bot", **fields: Any) -> Client:
    """An agent that may use the pharmacy, with all grants; `fields` are those that differ."""
    usual: dict[str, Any] = {
        "name": key,
        "auth_method": "private_key_jwt",
        "grant_types": ALL_GRANTS,
        "audiences": frozenset({PHARMACY}),
        "scope": frozenset({READ, ORDER}),
    }
    return Client(key=key, **{**usual, **fields})


def an_ask(**fields: Any) -> Ask:
    """Alice is asked whether the bot may read her prescriptions; `fields` are those that differ."""
    usual: dict[str, Any] = {
        "key": "the-auth-req-id-that-nobody-guesses",
        "client": BOT,
        "person": "alice",
        "page": "the-page",
        "door": ciba.TYPE,
        "wanted": Authority(
            audience=frozenset({PHARMACY}), scope=frozenset({READ}), until=Instant(NOW + 30 * 24 * 3600)
        ),
        "created_at": Instant(NOW),
        "lives_until": Instant(NOW + 300),
        "expires_at": Instant(NOW + 3900),
        "state": asking.Waiting(Instant(NOW), Seconds(2)),
        "remember": True,
        "open_for": "alice",
        "open_by": BOT,
    }
    return Ask(**{**usual, **fields})


def a_purchase(quantity: int = 30, value: str = "12.40") -> JsonObject:
    """The detail of an order."""
    return {
        "type": "purchase",
        "item": "Ibuprofen 400 mg",
        "quantity": quantity,
        "amount": {"value": value, "currency": "EUR"},
        "payee": "Madrid Pharmacy",
    }


def a_call(body: bytes = b'{"quantity": 30}') -> JsonObject:
    """The detail that one call fits."""
    return {
        "type": "http_call",
        "method": "POST",
        "url": f"{PHARMACY}/orders",
        "content_digest": content_digest(body),
        "size": len(body),
    }


# --- ports --------------------------------------------------------------------------------------------------------


class KeySigner:
    """Signs with the first of its keys, and publishes all."""

    def __init__(self, *keys: PrivateKey) -> None:
        self.all = keys or (PrivateKey.generate(),)

    def active(self) -> tuple[str, str]:
        return self.all[0].kid, self.all[0].alg.name

    async def sign(self, kid: str, data: bytes) -> bytes:
        return next(key for key in self.all if key.kid == kid).sign(data)

    def keys(self) -> tuple[JsonObject, ...]:
        return tuple(key.public_jwk() for key in self.all)


class ClosedFetch:
    """Lets nothing out: nothing that these tests do is a reason to."""

    async def __call__(self, call: Call) -> Reply:
        raise Fault(f"there is no way to {call.url}")


@dataclass
class QuietNotify:
    """Remembers who was told of what; `fault` is raised instead, where one is set."""

    told: list[Notice] = field(default_factory=list)
    fault: Fault | None = None

    async def tell(self, notice: Notice) -> None:
        if self.fault is not None:
            raise self.fault
        self.told.append(notice)


@dataclass
class OpenPolicy:
    """Allows all but what is in `denied`: verbs, or clients."""

    denied: set[str] = field(default_factory=set)

    async def may(self, question: Question) -> Verdict:
        return Verdict(allowed=self.denied.isdisjoint({question.does, question.client}), because="a test's own policy")


@dataclass
class BrokenStore:
    """Another store, whose disk is full for records of the kinds in `breaks`, read or written."""

    store: Store
    breaks: frozenset[str]

    def _break(self, kind: str) -> None:
        if kind in self.breaks:
            raise Fault("the disk is full: /canary/path", retry=True)

    async def read(self, kind: type[R], key: str) -> R | None:
        self._break(kind.kind)
        return await self.store.read(kind, key)

    async def select(self, kind: type[R], where: str, equals: str, *, after: str = "", limit: int = 100) -> list[R]:
        self._break(kind.kind)
        return await self.store.select(kind, where, equals, after=after, limit=limit)

    async def commit(self, *changes: Change) -> bool:
        for change in changes:
            self._break(change.record.kind if isinstance(change, Add | Append) else change.new.kind)
        return await self.store.commit(*changes)

    async def sweep(self, now: Instant) -> int:
        return await self.store.sweep(now)

    async def close(self) -> None:
        await self.store.close()
