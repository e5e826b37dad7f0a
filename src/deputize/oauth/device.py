"""The device flow: begun by a device, taken up by the person who types its code (RFC 8628, as RFC 10027 wants it)."""

import hashlib
import hmac
import re
from dataclasses import dataclass, replace
from typing import ClassVar, Final, NoReturn

from deputize.core.ports import Add, Append, Env, Event, Record, Replace
from deputize.core.rules import Fault, Refusal, Rule
from deputize.core.values import Instant, Seconds, Secret
from deputize.core.wire import b64u
from deputize.oauth import asking, throttle
from deputize.oauth.asking import Ask, Waiting
from deputize.oauth.authority import Authority
from deputize.oauth.client import Person
from deputize.oauth.details import Detail

TYPE: Final = "urn:ietf:params:oauth:grant-type:device_code"
PATH: Final = "/device"
LETTERS: Final = "BCDFGHJKLMNPQRSTVWXZ"  # RFC 8628, 6.1: no vowel, so no word, and nothing that looks like a figure
LENGTH: Final = 8
RISK: Final = (
    "Go on only if you have just started this yourself, on a device before you. Whoever sends you a code or a link "
    "wants to act in your name."
)
_TYPED: Final = re.compile(r"[A-Za-z \-._\u2010-\u2015]{8,40}")  # letters of ASCII, and what people put between them
_LIFE_MAX: Final = Seconds(600)
_ALLOWED_LIFE_MAX: Final = Seconds(3600)
_TRIES: Final = 20
_FREE: Final = 5  # wrong codes of one person that cost nothing (RFC 8628, 5.1)

USER_CODE = Rule("RFC 8628", "6.1", "A user code is eight letters of its alphabet, in any case, dashes aside.")
KNOWN_CODE = Rule("RFC 8628", "3.3", "The user code is of a request that waits, and that nobody else has taken up.")
CONFIRMED = Rule("RFC 8628", "3.3.1", "Who came by a link picks the code that the device shows.")
SAME_NETWORK = Rule("RFC 10027", "6.1.1", "Where it is wanted, the person is on the network that the device is on.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the device flow is offered: not at all unless it is `on`, and then to clients that it was assessed for.

    `life` is how long a code can be typed and answered, `interval` how often the device may look. What was allowed ends
    after `allowed_life`; where it is `lasting`, it stands like any other yes, and a refresh token may go along. `never`
    are scopes that no device is given. `link` lets a link or a QR code carry the user code; with `number_match` the
    person then picks, out of three, the one that the device shows. `same_network` refuses a person who is on another
    network than the device. `risk` is what the pages warn of. So many requests as `waiting_max` wait for one client
    from one network.
    """

    on: bool = False
    life: Seconds = Seconds(300)
    interval: Seconds = Seconds(5)
    allowed_life: Seconds = Seconds(600)
    lasting: bool = False
    never: tuple[str, ...] = ()
    link: bool = False
    number_match: bool = True
    same_network: bool = False
    risk: str = RISK
    waiting_max: int = 20

    def __post_init__(self) -> None:
        if not 30 <= self.life <= _LIFE_MAX or not 1 <= self.interval <= self.life:
            raise ValueError("a code lives for 30 seconds to 10 minutes, and is looked after within that time")
        if not 30 <= self.allowed_life <= _ALLOWED_LIFE_MAX:
            raise ValueError("what was allowed ends after 30 seconds to an hour, unless it is lasting")
        if not self.risk.strip() or self.waiting_max < 1:
            raise ValueError("the pages warn of something, and at least one request may wait")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRequest(Record):
    """What a device asks for, until a person has typed its code: from then on, the ask of the same key is what counts.

    `key` is the user code, without its dash; `sha256` is of the device code's secret part. `begun_by` counts what waits
    for one client from one network. `source` is the address that the device began from, `person` who has taken it up.
    `ended_at` says that somebody who came by a link saw another code at their device.
    """

    kind: ClassVar[str] = "device_request"
    indexed: ClassVar[tuple[str, ...]] = ("begun_by",)

    sha256: str
    client: str
    audience: frozenset[str]
    scope: frozenset[str]
    details: tuple[Detail, ...]
    openid: bool
    jkt: str | None
    created_at: Instant
    lives_until: Instant
    waiting: Waiting
    source: str
    begun_by: str
    person: str = ""
    ended_at: Instant | None = None

    @property
    def shown(self) -> str:
        """The user code as people read it."""
        return shown(self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceClient(Record):
    """A client that may use the device flow. `risk` is why the operator thinks so (RFC 10027, 2); `key` is its id."""

    kind: ClassVar[str] = "device_client"
    kept: ClassVar[bool] = True

    risk: str
    assessed_at: Instant
    withdrawn_at: Instant | None = None


# --- codes ----------------------------------------------------------------------------------------------------------


def letters_of(text: str) -> str:
    """Eight letters made of a text: as hard to guess as it is, up to 34 bits."""
    number, told = int.from_bytes(hashlib.sha256(text.encode()).digest()), ""
    for _ in range(LENGTH):
        number, index = divmod(number, len(LETTERS))
        told += LETTERS[index]
    return told


def shown(code: str) -> str:
    return f"{code[:4]}-{code[4:]}"


def read_code(typed: str) -> str:
    """The user code that a person typed. Letters of other alphabets are none, however alike they look."""
    code = "".join(letter for letter in typed.upper() if letter in LETTERS) if _TYPED.fullmatch(typed) else ""
    if len(code) != LENGTH or len(code) != sum(letter.isalpha() for letter in typed):
        USER_CODE.refuse("invalid_request")
    return code


def choices(code: str) -> tuple[str, ...]:
    """The code and two others, in an order that tells nothing: the same however often the page is opened."""
    return tuple(sorted({code, letters_of(f"one {code}"), letters_of(f"two {code}")}))


def hash_of(secret: Secret) -> str:
    return b64u(hashlib.sha256(secret.reveal().encode("utf-8", "surrogatepass")).digest())


async def find(device_code: Secret, env: Env) -> DeviceRequest | None:
    """The request of a device code, which is its user code and a secret."""
    code, _, secret = device_code.reveal().partition(".")
    found = await env.store.read(DeviceRequest, code) if len(code) == LENGTH and code.isascii() else None
    if found is None or not hmac.compare_digest(found.sha256, hash_of(Secret(secret))):
        return None
    return found


def looked(request: DeviceRequest, now: Instant) -> tuple[DeviceRequest, Refusal]:
    """One poll before anybody has typed the code: what we remember of it, and what we say."""
    if request.ended_at is not None:
        asking.DENIED.refuse("access_denied")
    if now >= request.lives_until:
        asking.IN_TIME.refuse("expired_token")
    waiting, says = asking.looked(request.waiting, now)
    return replace(request, waiting=waiting), says


# --- the person -----------------------------------------------------------------------------------------------------


async def take_up(code: str, person: Person, source: str, settings: Settings, standing_life: Seconds, env: Env) -> Ask:
    """A person has typed a code: from now on it is their ask, and nobody else's.

    Each attempt is counted for the person and for where they are, before it is looked at.
    """
    meters = _meters(person, source)
    await throttle.attempt(*meters, env=env)
    for _ in range(_TRIES):
        found, now = await env.store.read(DeviceRequest, code), env.clock()
        if found is None or found.ended_at is not None or now >= found.lives_until:
            KNOWN_CODE.refuse("access_denied")
        if found.person:
            return await _again(found, person, env)
        if settings.same_network and not same_network(found, source):
            SAME_NETWORK.refuse("access_denied", source=source, device=found.source)
        ask = _ask_of(found, person, settings, standing_life, now)
        await asking.admitted(ask, env)
        told = {"page": ask.page, "door": TYPE, "device": found.source, "person": source}
        event = Event(key="", at=now, what="ask_opened", client=ask.client, person=person.key, told=told)
        taken = replace(found, person=person.key, begun_by="")
        if await env.store.commit(Replace(found, taken), Add(ask), Append(event)):
            await throttle.taken_back(*meters, env=env)
            return ask
    raise Fault("this code was looked after too often at once", retry=True)


def _meters(person: Person, source: str) -> tuple[throttle.Meter, throttle.Meter]:
    return throttle.meter("user code", person.key, _FREE), throttle.of_source(source)


async def _again(found: DeviceRequest, person: Person, env: Env) -> Ask:
    """The same person types the same code again, as after going back."""
    ask = await env.store.read(Ask, found.key) if found.person == person.key else None
    if ask is None:
        KNOWN_CODE.refuse("access_denied", taken_up=True)
    return ask


def _ask_of(request: DeviceRequest, person: Person, settings: Settings, standing_life: Seconds, now: Instant) -> Ask:
    remember = settings.lasting and not request.details
    until = Instant(now + (standing_life if remember else settings.allowed_life))
    return Ask(
        key=request.key,
        client=request.client,
        person=person.key,
        page=request.sha256,  # who holds the device code's secret could know it; it opens nothing but to that person
        door=TYPE,
        wanted=Authority(audience=request.audience, scope=request.scope, details=request.details, until=until),
        created_at=now,
        lives_until=request.lives_until,
        expires_at=request.expires_at,
        state=request.waiting,
        remember=remember,
        jkt=request.jkt,
        openid=request.openid,
    )


def same_network(request: DeviceRequest, source: str) -> bool:
    """Whether the person is where the device is, as far as an address tells (RFC 10027, 6.1.1)."""
    return throttle.network(request.source) == throttle.network(source) != "unknown"


async def mismatched(code: str, person: Person, source: str, env: Env) -> NoReturn:
    """Who came by a link does not see its code at their device: it is somebody else's device, which is turned away."""
    await throttle.attempt(*_meters(person, source), env=env)
    for _ in range(_TRIES):
        found, now = await env.store.read(DeviceRequest, code), env.clock()
        if found is None or found.person or found.ended_at is not None or now >= found.lives_until:
            break
        event = Event(key="", at=now, what="device_mismatched", client=found.client, told={"device": found.source})
        if await env.store.commit(Replace(found, replace(found, ended_at=now, begun_by="")), Append(event)):
            break
    CONFIRMED.refuse("access_denied")
