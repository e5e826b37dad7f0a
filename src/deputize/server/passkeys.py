"""Passkeys (WebAuthn): a key that a device keeps, unlocks for its person, and uses at our address alone."""

import hashlib
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from deputize.core.ports import Add, Append, Change, Env, Event, Record, Replace
from deputize.core.rules import Rule
from deputize.core.values import Instant, Issuer
from deputize.core.wire import JsonObject, Malformed, b64u, b64u_bytes, json_object
from deputize.oauth.client import Person
from deputize.server import tickets
from deputize.server.tickets import Ticket

NAME_LENGTH_MAX: Final = 60
PASSKEYS_MAX: Final = 20
_TIMEOUT: Final = tickets.LIFE * 1000  # milliseconds
_SELF_MADE: Final = ("none", "packed")

KNOWN_PASSKEY = Rule(
    "WebAuthn Level 3", "7.2", "A passkey that is registered here signed our challenge, its person verified."
)
NEW_PASSKEY = Rule(
    "WebAuthn Level 3", "7.1", "A new passkey answers our challenge, made for us, with its person verified."
)
NOT_TOO_MANY = Rule("Deputize", "sign-in", "A person has at most 20 passkeys, each registered once.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Passkey(Record):
    """A passkey. `key` is a hash of the credential's id; `public_key` is COSE in base64url.

    `counter` is what the device last counted (0: it does not). `removed_at` makes it a tombstone.
    """

    kind: ClassVar[str] = "passkey"
    indexed: ClassVar[tuple[str, ...]] = ("person",)

    person: str
    credential: str
    public_key: str
    counter: int
    name: str
    made_at: Instant
    used_at: Instant | None = None
    synced: bool = False
    removed_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where passkeys are made for: the host of the issuer, and its origin. None for a host that is an address."""

    host: str
    origin: str

    @classmethod
    def of(cls, issuer: Issuer) -> "Place | None":
        """WebAuthn wants a name: browsers make no passkey for an IP address."""
        host = urlsplit(issuer.text).hostname or ""
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return cls(host, issuer.origin)
        return None


async def of(person: Person, env: Env) -> list[Passkey]:
    """The passkeys of this person, the oldest first."""
    found = await env.store.select(Passkey, "person", person.key, limit=10 * PASSKEYS_MAX)
    return sorted((one for one in found if one.removed_at is None), key=lambda one: (one.made_at, one.key))


# --- signing in -----------------------------------------------------------------------------------------------------


def to_sign_in(place: Place, ticket: str) -> JsonObject:
    """What the browser is to ask for: any passkey that it has for this place, with its person verified."""
    import webauthn  # noqa: PLC0415 (a server starts without it, a tenth sooner)
    from webauthn.helpers import structs  # noqa: PLC0415 (the same)

    options = webauthn.generate_authentication_options(
        rp_id=place.host,
        challenge=tickets.digest_of(ticket),
        timeout=_TIMEOUT,
        user_verification=structs.UserVerificationRequirement.REQUIRED,
    )
    return webauthn.helpers.options_to_json_dict(options)


async def check(place: Place, credential: str, ticket: Ticket, env: Env) -> tuple[Person, tuple[Change, ...]]:
    """Whose passkey answered the challenge of this ticket; and what is to be committed with what it opens."""
    import webauthn  # noqa: PLC0415 (the same)

    told = _told(credential, KNOWN_PASSKEY)
    kept = await env.store.read(Passkey, _key_of(told["rawId"]))
    if kept is None or kept.removed_at is not None:
        KNOWN_PASSKEY.refuse("access_denied", known=kept is not None)
    try:
        seen = webauthn.verify_authentication_response(
            credential=told,
            expected_challenge=ticket.digest,
            expected_rp_id=place.host,
            expected_origin=place.origin,
            credential_public_key=b64u_bytes(kept.public_key),
            credential_current_sign_count=kept.counter,
            require_user_verification=True,
        )
    except Exception as problem:  # noqa: BLE001 (whatever is wrong with a stranger's bytes, they open nothing)
        await env.store.commit(Append(Event(key="", at=env.clock(), what="passkey_refused", person=kept.person)))
        KNOWN_PASSKEY.refuse("access_denied", why=type(problem).__name__)
    person = await env.store.read(Person, kept.person)
    handle = told["response"].get("userHandle")
    if person is None or person.disabled_at is not None or handle not in {None, "", b64u(_handle(person, place))}:
        KNOWN_PASSKEY.refuse("access_denied", person=kept.person)
    now = env.clock()
    after = replace(kept, counter=seen.new_sign_count, used_at=now, synced=seen.credential_backed_up)
    return person, (Replace(kept, after), ticket.used)


# --- registering ----------------------------------------------------------------------------------------------------


def to_register(place: Place, person: Person, there: Iterable[Passkey], ticket: str) -> JsonObject:
    """What the browser is to make: a passkey that finds its person by itself, on a device that has none yet."""
    import webauthn  # noqa: PLC0415 (the same)
    from webauthn.helpers import structs  # noqa: PLC0415 (the same)

    options = webauthn.generate_registration_options(
        rp_id=place.host,
        rp_name="Deputize",
        user_id=_handle(person, place),
        user_name=person.login,
        user_display_name=person.name,
        challenge=tickets.digest_of(ticket),
        timeout=_TIMEOUT,
        authenticator_selection=structs.AuthenticatorSelectionCriteria(
            resident_key=structs.ResidentKeyRequirement.REQUIRED,
            user_verification=structs.UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=[structs.PublicKeyCredentialDescriptor(id=b64u_bytes(one.credential)) for one in there],
    )
    return webauthn.helpers.options_to_json_dict(options)


async def register(
    place: Place, person: Person, credential: str, ticket: Ticket, name: str, env: Env
) -> tuple[Change, ...]:
    """The changes that give this person the passkey which answered the challenge of this ticket."""
    import webauthn  # noqa: PLC0415 (the same)

    told = _told(credential, NEW_PASSKEY)
    try:
        made = webauthn.verify_registration_response(
            credential=told,
            expected_challenge=ticket.digest,
            expected_rp_id=place.host,
            expected_origin=place.origin,
            require_user_verification=True,
        )
    except Exception as problem:  # noqa: BLE001 (whatever is wrong with a stranger's bytes, they open nothing)
        NEW_PASSKEY.refuse("access_denied", why=type(problem).__name__)
    if made.fmt not in _SELF_MADE:  # we asked for no word of its maker, and trust none
        NEW_PASSKEY.refuse("access_denied", format=made.fmt)
    there = await of(person, env)
    key = _key_of(b64u(made.credential_id))
    if len(there) >= PASSKEYS_MAX or await env.store.read(Passkey, key) is not None:
        NOT_TOO_MANY.refuse("access_denied")
    now = env.clock()
    kept = Passkey(
        key=key,
        person=person.key,
        credential=b64u(made.credential_id),
        public_key=b64u(made.credential_public_key),
        counter=made.sign_count,
        name=name_of(name) or f"Passkey {len(there) + 1}",
        made_at=now,
        synced=made.credential_backed_up,
    )
    return Add(kept), Append(Event(key="", at=now, what="passkey_added", person=person.key)), ticket.used


def name_of(typed: str) -> str:
    """What a person calls a passkey."""
    return " ".join("".join(one if one.isprintable() else " " for one in typed).split())[:NAME_LENGTH_MAX]


def removed(passkey: Passkey, now: Instant) -> tuple[Change, ...]:
    """The changes after which it opens nothing."""
    event = Event(key="", at=now, what="passkey_removed", person=passkey.person)
    return Replace(passkey, replace(passkey, removed_at=now)), Append(event)


# --- what the browser sends -----------------------------------------------------------------------------------------


def _handle(person: Person, place: Place) -> bytes:
    """What a device knows a person by: it tells nobody who that is."""
    return hashlib.sha256(f"{place.origin}\0{person.key}".encode()).digest()


def _key_of(credential: str) -> str:
    return b64u(hashlib.sha256(credential.encode("utf-8", "surrogatepass")).digest())


def _told(credential: str, rule: Rule) -> dict[str, Any]:
    """The credential as the browser tells of it. One that was used inside another site's page is refused (framing)."""
    try:
        told = json_object(credential.encode("utf-8", "surrogatepass"))
        _text(told, "rawId")
        client_data = json_object(b64u_bytes(_text(told.get("response"), "clientDataJSON")))
    except Malformed:
        rule.refuse("access_denied", malformed=True)
    if client_data.get("crossOrigin", False) is not False or "topOrigin" in client_data:
        rule.refuse("access_denied", framed=True)
    return told


def _text(members: object, name: str) -> str:
    value = members.get(name) if isinstance(members, dict) else None
    if not isinstance(value, str):
        raise Malformed(f"{name} is no text")
    return value
