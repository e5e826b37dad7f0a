"""What a grant decides."""

from dataclasses import dataclass
from typing import Final

from deputize.core.ports import Change
from deputize.core.values import ClientId, Instant, Secret, Subject
from deputize.oauth.authority import Authority
from deputize.oauth.delegation import Actor

GONE: Final = "access_denied"  # the error where a person, or what they allowed, is no more
ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 (a name, not a secret)
MANDATE: Final = "urn:deputize:token-type:mandate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """This client may have this. `subject` None: for itself.

    `standing` is the key of the Standing that it rests on: where that is taken back, what was issued ends. `txn`
    ties the token to one transaction. `issued_token_type` is told where the grant is an exchange. `auth_time` is
    when the person was authenticated, where one was, `acr` and `amr` how; `allowed_at` when they allowed this, which
    may be without them where an earlier yes covered it. `roots` are the tokens that this was derived from;
    `openid` says that an ID token belongs to the answer, `refreshable` that a refresh token may, for a client that is
    registered for them; `refresh_token` is one that is to go along. `whole` is what a refresh token stands for where
    this is less; `nonce` and `sid` go into the ID token. `once` is committed with what is issued: where it fails, the
    grant decides anew.
    """

    client: ClientId
    authority: Authority
    subject: Subject | None = None
    actor: Actor | None = None
    standing: str | None = None
    txn: str | None = None
    issued_token_type: str | None = None
    auth_time: Instant | None = None
    acr: str | None = None
    amr: tuple[str, ...] = ()
    allowed_at: Instant | None = None
    roots: tuple[str, ...] = ()
    openid: bool = False
    refreshable: bool = False
    refresh_token: Secret | None = None
    whole: Authority | None = None
    nonce: str | None = None
    sid: str | None = None
    once: tuple[Change, ...] = ()
