"""The verbs of `deputize person`: who can sign in, and a one-time link for who is to."""

from dataclasses import asdict, dataclass
from pathlib import Path

from deputize.cli.serving import with_records
from deputize.compose.parts import ServerParts
from deputize.core.ports import Env
from deputize.core.values import Instant, Seconds
from deputize.core.wire import JsonObject
from deputize.oauth.client import Person
from deputize.server import codes, invitations, passkeys
from deputize.server.invitations import Invitation
from deputize.server.people import Password

_ROWS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A person as the command line shows one. `invited_until` is when an open link ends (0: there is none)."""

    login: str
    name: str
    password: bool = False
    authenticator: bool = False
    passkeys: int = 0
    disabled: bool = False
    invited_until: Instant = Instant(0)

    def as_json(self) -> JsonObject:
        return asdict(self)

    def line(self) -> str:
        ways = [
            *(["password"] if self.password else []),
            *(["authenticator"] if self.authenticator else []),
            *([f"{self.passkeys} passkey{'s' if self.passkeys > 1 else ''}"] if self.passkeys else []),
            *(["invited"] if self.invited_until else []),
            *(["disabled"] if self.disabled else []),
        ]
        return f"{self.login}  {self.name}: {', '.join(ways) or 'no way in'}"


def invite(config: Path | None, login: str, *, name: str, hours: int, dev: bool) -> str:
    """The one-time link for this person: told here, and kept nowhere."""

    async def work(parts: ServerParts) -> str:
        secret = await invitations.invite(parts.env, login=login, name=name, life=Seconds(hours * 3600))
        return parts.here.issuer.at(f"/welcome/{secret.reveal()}")

    return with_records(config, work, dev=dev)


def listed(config: Path | None, *, dev: bool) -> list[Shown]:
    """Everybody who can sign in, or is invited to."""
    return with_records(config, lambda parts: _listed(parts.env), dev=dev)


async def _listed(env: Env) -> list[Shown]:
    now, shown = env.clock(), {}
    open_links: dict[str, Invitation] = {}
    after = ""
    while page := await env.store.select(Invitation, "", "", after=after, limit=_ROWS):
        open_links |= {one.person: one for one in page if one.over_at is None and now < one.until}
        after = page[-1].key
    after = ""
    while people := await env.store.select(Person, "", "", after=after, limit=_ROWS):
        for one in people:
            shown[one.key] = await _shown(one, open_links.pop(one.key, None), env)
        after = people[-1].key
    for link in open_links.values():
        shown[link.person] = Shown(login=link.person, name=link.name, invited_until=link.until)
    return [shown[key] for key in sorted(shown)]


async def _shown(person: Person, link: Invitation | None, env: Env) -> Shown:
    password = await env.store.read(Password, person.key)
    return Shown(
        login=person.login,
        name=person.name,
        password=password is not None and bool(password.argon2id),
        authenticator=await codes.of(person, env) is not None,
        passkeys=len(await passkeys.of(person, env)),
        disabled=person.disabled_at is not None,
        invited_until=link.until if link else Instant(0),
    )
