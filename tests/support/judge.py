"""What holds for every refusal (the corpus's G1 to G6): held by the world after each request that it sends."""

import base64
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_plus

from deputize.core.ports import Record, Store
from deputize.core.rules import Rule
from tests.support.asgi import Answer

# Whatever comes under these names in a form or a header is a secret, or worth as much as one.
SECRET_FIELDS = frozenset(
    {
        "client_secret",
        "client_assertion",
        "subject_token",
        "actor_token",
        "refresh_token",
        "token",
        "code",
        "code_verifier",
        "auth_req_id",
        "device_code",
        "transaction_challenge",
        "transaction_authorization_id",
    }
)
SECRET_HEADERS = frozenset({"authorization", "dpop", "cookie"})
SECRET_LENGTH_MIN = 12  # what is shorter may be a word that stands in any answer

# A good assertion and a good proof are used up by being shown, also where the request then asks for too much.
BURNT = frozenset({"assertion_seen", "dpop_seen"})
AUDIT = frozenset({"event", "throttle"})  # what happened, and how often it failed

Kept = Mapping[str, Mapping[str, tuple[int, Record]]]


@dataclass(frozen=True, slots=True)
class Asked:
    """What was sent, as far as the judge looks at it."""

    headers: tuple[tuple[str, str], ...]
    fields: tuple[tuple[str, str], ...] = ()

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    def secrets(self) -> Iterator[str]:
        """Every text that must not come out again, and the parts of those that are JWTs."""
        told = [value for name, value in self.fields if name in SECRET_FIELDS]
        for name, value in self.headers:
            if name in SECRET_HEADERS:
                told += [value, *_basic(value)]
        for text in told:
            yield text
            if text.count(".") == 2:
                yield from text.split(".")[1:]


def _basic(value: str) -> list[str]:
    scheme, _, encoded = value.partition(" ")
    if scheme.lower() != "basic":
        return [encoded]
    try:
        secret = base64.b64decode(encoded).decode().partition(":")[2]
    except ValueError:
        return [encoded]
    return [encoded, secret, unquote_plus(secret)]


def _sentences() -> set[str]:
    modules = [module for name, module in sys.modules.items() if name.startswith("deputize.")]
    return {value.says for module in modules for value in vars(module).values() if isinstance(value, Rule)}


def _kinds(of: type[Record] = Record) -> Iterator[type[Record]]:
    for kind in of.__subclasses__():
        if kind.__module__.startswith("deputize.") and "kind" in vars(kind):
            yield kind
        yield from _kinds(kind)


async def kept(store: Store) -> Kept:
    """Everything that lies in a store."""
    found: dict[str, dict[str, tuple[int, Record]]] = {}
    for kind in {each.kind: each for each in _kinds()}.values():
        rows: list[Record] = []
        while page := await store.select(kind, "", "", after=rows[-1].key if rows else "", limit=1000):
            rows += page
        found[kind.kind] = {row.key: (row.version, row) for row in rows}
    return found


@dataclass(frozen=True, slots=True)
class Trial:
    """One request with its answer, what lay in the store before and after, and what was logged of it."""

    asked: Asked
    answer: Answer
    before: Kept
    after: Kept
    logged: list[Mapping[str, object]] = field(default_factory=list)

    def judge(self, *, spends: frozenset[str]) -> None:
        """Hold a refusal against what holds for all. `spends`: kinds of records that this one changes by design."""
        self._is_plain()
        self._writes_nothing(spends)
        self._keeps_secrets()

    def _is_plain(self) -> None:
        answer = self.answer
        assert 400 <= answer.status < 500, "G1: no 5xx for what a peer can send"
        assert answer.header("cache-control") == "no-store", "G3"
        assert answer.header("x-content-type-options") == "nosniff"
        assert answer.header("content-type") == "application/json"
        assert answer.header("access-control-allow-origin") is None
        assert answer.json["error_description"] in _sentences(), "LK-08: a rule's own sentence, nothing else"
        is_401 = answer.status == 401
        assert (answer.json["error"] == "invalid_client") == is_401, "G4"
        challenged = answer.header("www-authenticate") is not None
        assert challenged == (is_401 and self.asked.header("authorization") is not None), "G4"

    def _writes_nothing(self, spends: frozenset[str]) -> None:
        burnt = BURNT if self.answer.json["error"] != "invalid_client" else frozenset()
        for kind, rows in self.after.items():
            if kind not in spends | burnt | AUDIT:
                assert rows == self.before[kind], f"G2: a refusal left a {kind} behind"

    def _keeps_secrets(self) -> None:
        events = {key: row for key, row in self.after["event"].items() if key not in self.before["event"]}
        out = json.dumps([self.logged, [str(row) for row in events.values()]], default=str, ensure_ascii=False)
        out += self.answer.body.decode() + repr(self.answer.headers)
        for secret in self.asked.secrets():
            assert len(secret) < SECRET_LENGTH_MIN or secret not in out, "G6: a secret came out again"
