"""A statement of ours that a browser brings back: bound to it, for one purpose, for a while, and used once.

Nothing is stored until one is used, so that strangers cannot fill the store by opening pages.
"""

import hashlib
import hmac
from dataclasses import dataclass
from typing import ClassVar, Final

from deputize.core.ports import Add, Env, Record
from deputize.core.rules import Rule
from deputize.core.values import Instant, Seconds
from deputize.core.wire import JsonObject, Malformed, b64u, b64u_bytes, json_bytes, json_object
from deputize.oauth import nonces

_KEY: Final = "tickets"
LIFE: Final = Seconds(600)

OUR_TICKET = Rule("Deputize", "sign-in", "A step of signing in is the next one after a step in this browser, in time.")


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketUsed(Record):
    """A ticket that was used. `key` is a hash of it."""

    kind: ClassVar[str] = "ticket_used"


@dataclass(frozen=True, slots=True)
class Ticket:
    """What was said in it, its own digest, and the mark that makes it a used one."""

    told: JsonObject
    digest: bytes
    used: Add


async def give(about: str, told: JsonObject, browser: str, env: Env, *, life: Seconds = LIFE) -> str:
    """A ticket for this purpose, good in the browser that keeps this cookie value."""
    until = env.clock() + life
    said = json_bytes({"about": about, "told": told, "until": until, "nonce": env.random(128)})
    return f"{b64u(said)}.{b64u(await _seal(said, browser, env))}"


async def read(text: str, about: str, browser: str, env: Env) -> Ticket:
    """What a ticket says. Refuses one that is not ours, or is for another purpose or browser, or is too old."""
    said, seal = _parts(text)
    if not browser or not hmac.compare_digest(await _seal(said, browser, env), seal):
        OUR_TICKET.refuse("access_denied")
    members = json_object(said)  # ours: the seal says so
    until = Instant(members["until"])
    if members["about"] != about or env.clock() >= until:
        OUR_TICKET.refuse("access_denied", about=about)
    digest = digest_of(text)
    return Ticket(members["told"], digest, Add(TicketUsed(key=b64u(digest), expires_at=until)))


def digest_of(text: str) -> bytes:
    """What stands for a ticket where a short text is needed: unguessable, as it is."""
    return hashlib.sha256(text.encode("ascii")).digest()


def _parts(text: str) -> tuple[bytes, bytes]:
    said, _, seal = text.partition(".")
    try:
        return b64u_bytes(said), b64u_bytes(seal)
    except Malformed:
        OUR_TICKET.refuse("access_denied", malformed=True)


async def _seal(said: bytes, browser: str, env: Env) -> bytes:
    secret = await nonces.secret_of(_KEY, env)
    return hmac.digest(secret.encode("ascii"), hashlib.sha256(browser.encode()).digest() + said, "sha256")
