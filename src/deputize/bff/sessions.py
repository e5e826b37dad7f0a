"""A browser holds a name. What it stands for lies in the store, sealed so that this name alone opens it."""

import hashlib
import re
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from deputize.core.ports import Add, Env, Record, Replace
from deputize.core.rules import Fault
from deputize.core.values import Instant, Seconds, Secret
from deputize.core.wire import Headers, JsonObject, Malformed, b64u, b64u_bytes, json_bytes, json_object
from deputize.sdk.answers import TokenSet

NAME_BITS: Final = 256
SEALED_MAX: Final = 128 * 1024
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{43,128}")
_NONCE_BYTES: Final = 12
_INFO: Final = b"deputize: what a browser's name stands for"


@dataclass(frozen=True, slots=True, kw_only=True)
class BffBegun(Record):
    """A sign-in that is under way in one browser. `key` is a hash of its name; `used` makes it the tombstone."""

    kind: ClassVar[str] = "bff_begun"

    sealed: str
    used: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BffSession(Record):
    """A person is signed in with one browser. `key` is a hash of its name, `sealed` holds the tokens.

    Until `renewing_until` somebody is renewing them; `ended_at` makes it the tombstone.
    """

    kind: ClassVar[str] = "bff_session"

    sealed: str
    renewing_until: Instant = Instant(0)
    ended_at: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The tokens of a session, and what is known of its person. `repr` shows no token."""

    access_token: Secret
    token_type: str
    expires_at: Instant
    refresh_token: Secret | None
    person: JsonObject

    @classmethod
    def of(cls, told: TokenSet, person: JsonObject, before: "Held | None" = None) -> "Held":
        """What a server issued; its refresh token stays where no new one came."""
        return cls(
            access_token=told.access_token,
            token_type=told.token_type,
            expires_at=told.expires_at,
            refresh_token=told.refresh_token or (before.refresh_token if before else None),
            person=person,
        )

    def as_json(self) -> JsonObject:
        return {
            "access_token": self.access_token.reveal(),
            "token_type": self.token_type,
            "expires_at": self.expires_at,
            "refresh_token": self.refresh_token.reveal() if self.refresh_token else None,
            "person": self.person,
        }

    @classmethod
    def read(cls, told: JsonObject) -> "Held":
        refresh_token = told["refresh_token"]
        return cls(
            access_token=Secret(told["access_token"]),
            token_type=told["token_type"],
            expires_at=Instant(told["expires_at"]),
            refresh_token=Secret(refresh_token) if refresh_token else None,
            person=told["person"],
        )


# --- the browser's name ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Cookie:
    """A cookie that no page can read, and no other host can set. By plain http, on loopback alone, it has no prefix."""

    name: str
    secure: bool
    same_site: str

    @classmethod
    def of(cls, origin: str, what: str, same_site: str) -> "Cookie":
        secure = origin.startswith("https:")
        return cls(name=f"__Host-Http-{what}" if secure else f"{what}-dev", secure=secure, same_site=same_site)

    def carrying(self, value: str, life: Seconds) -> str:
        """The `Set-Cookie` that sets it."""
        secure = "; Secure" if self.secure else ""
        return f"{self.name}={value}; Max-Age={life}; Path=/; HttpOnly; SameSite={self.same_site}{secure}"

    @property
    def removed(self) -> str:
        """The `Set-Cookie` after which the browser has it no longer."""
        return self.carrying("", Seconds(0))

    def name_in(self, headers: Headers) -> str | None:
        """What the browser sent. Sent twice it is nobody's: somebody has planted one."""
        pairs = [pair.strip().partition("=") for line in headers.all("cookie") for pair in line.split(";")]
        values = [value for name, _, value in pairs if name == self.name]
        return values[0] if len(values) == 1 and _NAME.fullmatch(values[0]) else None


def key_of(name: str) -> str:
    """What a record is kept under: who reads the store cannot be anybody."""
    return b64u(hashlib.sha256(name.encode("ascii")).digest())


def sealed(name: str, kind: type[Record], told: JsonObject, env: Env) -> str:
    """Seal what belongs to this name: who reads the store without it reads nothing."""
    nonce = hashlib.sha256(env.random(_NONCE_BYTES * 8).encode("ascii")).digest()[:_NONCE_BYTES]
    return b64u(nonce + _cipher(name).encrypt(nonce, json_bytes(told), kind.kind.encode("ascii")))


def opened(name: str, kind: type[Record], text: str) -> JsonObject:
    """What was sealed. Raises Fault where it is not as it was."""
    try:
        data = b64u_bytes(text)
        plain = _cipher(name).decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], kind.kind.encode("ascii"))
        return json_object(plain, bytes_max=SEALED_MAX)
    except (InvalidTag, Malformed, ValueError):
        raise Fault("a session in the store is not as it was") from None


def _cipher(name: str) -> AESGCM:
    return AESGCM(HKDF(algorithm=SHA256(), length=32, salt=None, info=_INFO).derive(name.encode("ascii")))


# --- sessions -------------------------------------------------------------------------------------------------------


async def begin(held: Held, life: Seconds, env: Env) -> str:
    """A new session under a name that nobody has ever seen."""
    now, name = env.clock(), env.random(NAME_BITS)
    made = BffSession(
        key=key_of(name),
        expires_at=Instant(now + life),
        sealed=sealed(name, BffSession, held.as_json(), env),
    )
    if not await env.store.commit(Add(made)):
        raise Fault("a fresh name was there already", retry=True)
    return name


async def found(name: str, env: Env) -> tuple[BffSession, Held] | None:
    """The living session of this name."""
    session = await env.store.read(BffSession, key_of(name))
    if session is None or session.ended_at is not None or (session.expires_at or 0) <= env.clock():
        return None
    return session, Held.read(opened(name, BffSession, session.sealed))


async def renewed(name: str, before: BffSession, held: Held, env: Env) -> bool:
    """Keep new tokens; False where the session was changed meanwhile."""
    text = sealed(name, BffSession, held.as_json(), env)
    return await env.store.commit(Replace(before, replace(before, sealed=text, renewing_until=Instant(0))))


async def end(session: BffSession | None, env: Env) -> None:
    """End a session, whoever changes it meanwhile: what it held is gone from the store."""
    while session is not None and session.ended_at is None:
        if await env.store.commit(Replace(session, replace(session, ended_at=env.clock(), sealed=""))):
            return
        session = await env.store.read(BffSession, session.key)


def text_of(told: JsonObject, name: str) -> str:
    """A member that is a text."""
    value: Any = told.get(name)
    return value if isinstance(value, str) else ""
