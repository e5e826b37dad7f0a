"""Status lists for tests: a key, a list that it signed, and a provider that answers what it is told to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deputize.adapters.memory import MemoryStore
from deputize.adapters.policy import SettingsPolicy
from deputize.core.ports import Env
from deputize.core.rules import Fault
from deputize.core.values import Instant, Seconds
from deputize.core.wire import Call, Headers, JsonObject, Reply, b64u, json_bytes
from deputize.jose import jwt
from deputize.jose.algorithms import ALL
from deputize.jose.keys import KeySet, PrivateKey
from deputize.vc.status_check import Policy, StatusLists
from deputize.vc.status_list import StatusList
from deputize.vc.status_token import Content, Form, Unverified, VerifiedStatusList, read_token, signed
from tests.support.cast import KeySigner, QuietNotify
from tests.support.ports import CountingRandom, FixedClock

NOW = Instant(1_800_000_000)
URI = "https://status.example/lists/1"
KEY = PrivateKey.generate()
KEYS = KeySet.of(KEY.public())
SIZE = 1024
REVOKED, SUSPENDED, ODD, GOOD = 5, 6, 7, 8
TOLD = {REVOKED: 1, SUSPENDED: 2, ODD: 3, SIZE - 1: 1}


def a_list(told: Mapping[int, int] | None = None) -> StatusList:
    return StatusList.of(2, SIZE, TOLD if told is None else told)


def a_content(told: Mapping[int, int] | None = None, **changed: Any) -> Content:
    good = {"uri": URI, "issued_at": NOW, "until": Instant(NOW + 3600), "ttl": Seconds(60)}
    return Content.of(a_list(told), **{**good, **changed})


def a_token(form: Form = Form.JWT, told: Mapping[int, int] | None = None, **changed: Any) -> bytes:
    return signed(a_content(told, **changed), form, KEY)


def claims_of(**changed: Any) -> JsonObject:
    """The claims of a good list as a JWT has them; what is changed replaces some, and None leaves one out."""
    lst = b64u(a_list().deflated())
    good = {"sub": URI, "iat": NOW, "exp": NOW + 3600, "ttl": 60, "status_list": {"bits": 2, "lst": lst}}
    return {name: value for name, value in {**good, **changed}.items() if value is not None}


def forged(*, key: PrivateKey = KEY, typ: str = "statuslist+jwt", **changed: Any) -> bytes:
    """A list whose claims are not those of a good one."""
    return jwt.sign(claims_of(**changed), key, typ=typ).encode()


def reading(data: bytes, form: Form = Form.JWT, *, keys: KeySet = KEYS, now: int = NOW) -> VerifiedStatusList:
    return read_token(data, form, keys, uri=URI, algs=ALL, now=Instant(now))


async def its_keys(token: Unverified) -> KeySet:
    del token
    return KEYS


@dataclass
class Provider:
    """Answers with what lies at each address, and counts who asks."""

    at: dict[str, Reply | Fault] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)

    def serve(self, body: bytes, form: Form = Form.JWT, *, url: str = URI, **headers: str) -> None:
        told = {"content-type": form.media_type, **{name.replace("_", "-"): value for name, value in headers.items()}}
        self.at[url] = Reply(status=200, headers=Headers(tuple(told.items())), body=body)

    def answer(self, status: int, *, url: str = URI, **headers: str) -> None:
        told = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        self.at[url] = Reply(status=status, headers=Headers(told))

    def aggregate(self, url: str, uris: object) -> None:
        body = json_bytes({"status_lists": uris})
        self.at[url] = Reply(status=200, headers=Headers((("content-type", "application/json"),)), body=body)

    async def __call__(self, call: Call) -> Reply:
        self.calls.append(call)
        found = self.at.get(call.url, Fault(f"{call.url} is out of reach", retry=True))
        if isinstance(found, Fault):
            raise found
        return found


class Reader:
    """Who looks tokens up: a cache, a clock, and a provider to ask."""

    def __init__(self, **policy: Any) -> None:
        self.clock = FixedClock(NOW)
        self.provider = Provider()
        self.env = Env(
            clock=self.clock,
            random=CountingRandom(),
            store=MemoryStore(),
            fetch=self.provider,
            signer=KeySigner(),
            notify=QuietNotify(),
            policy=SettingsPolicy(),
        )
        self.lists = StatusLists(Policy(**policy))

    async def get(self, uri: str = URI) -> VerifiedStatusList:
        return await self.lists.newest(uri, its_keys, self.env)

    @property
    def asked(self) -> int:
        return len(self.provider.calls)
