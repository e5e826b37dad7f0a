"""Client secrets are made here, never chosen; and changed while the old one still works for a while."""

from dataclasses import replace
from typing import Final

from deputize.core.ports import Append, Env, Event, Replace
from deputize.core.rules import Fault
from deputize.core.values import ClientId, Instant, Seconds, Secret
from deputize.oauth.client import Client, SecretHash, secret_hash

BITS: Final = 256
OVERLAP: Final = Seconds(24 * 3600)
METHODS: Final = frozenset({"client_secret_basic", "client_secret_post"})


async def rotate(client_id: ClientId, env: Env, *, overlap: Seconds = OVERLAP) -> Secret:
    """Give a client a new secret: the one before works for `overlap` longer, any older one ends now.

    The text is told this once, and kept nowhere. Raises Fault where there is no such client, or none with a secret.
    """
    client = await env.store.read(Client, client_id)
    if client is None or client.auth_method not in METHODS:
        raise Fault("there is no client of this name that has a secret")
    now, fresh = env.clock(), env.random(BITS)
    live = [kept for kept in client.secrets if kept.until is None or now < kept.until]
    ends = Instant(now + overlap)
    before = [replace(kept, until=ends if kept.until is None else min(kept.until, ends)) for kept in live[-1:]]
    after = replace(client, secrets=(*(before if overlap > 0 else ()), SecretHash(secret_hash(fresh))))
    event = Event(key="", at=now, what="secret_rotated", client=client_id, told={"before_until": str(ends)})
    if not await env.store.commit(Replace(client, after), Append(event)):
        raise Fault("the client was changed at the same time", retry=True)
    return Secret(fresh)
