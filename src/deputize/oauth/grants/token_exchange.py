"""Token exchange (RFC 8693), as far as access tokens of our own go.

Narrower, for one of the same resources, or with one more actor; never wider, never longer. Or a mandate for what the
token rests on: that lives as long as the person's word, and never wider than the token either.
"""

from dataclasses import dataclass, replace
from typing import Final

from deputize.core.ports import Env
from deputize.core.rules import Rule
from deputize.core.values import Issuer, Subject
from deputize.core.wire import Form
from deputize.oauth import tokens
from deputize.oauth.approval import ACCESS_TOKEN, MANDATE, Approval
from deputize.oauth.asked import asked_scope
from deputize.oauth.authority import FOREVER, Authority
from deputize.oauth.delegation import Actor
from deputize.oauth.details import Detail, details
from deputize.oauth.grant import Grant
from deputize.oauth.login import AuthenticatedClient
from deputize.oauth.standing import Standing

TYPE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"

SUBJECT_TYPE = Rule("RFC 8693", "2.1", "The subject token is an access token of this server, and its type says so.")
ACTOR_TYPE = Rule(
    "RFC 8693", "2.1", "An actor token and its type come together, and it is an access token of this server."
)
REQUESTED = Rule("RFC 8693", "2.1", "What is requested is an access token, or a mandate of a server that gives them.")
PRESENTER = Rule("RFC 8693", "2.1", "The subject token was issued to the client that presents it.")
ACTOR_ITSELF = Rule("RFC 8693", "2.1", "The actor token is for the client that presents it, and not for a person.")
KEY_SHOWN = Rule("RFC 9449", "5", "A bound token is exchanged by one who shows its key.")
FOR_A_PERSON = Rule(
    "Deputize", "exchange", "The subject token is on behalf of a person: the exchange keeps that person."
)
STANDS = Rule(
    "Deputize agent-mandate",
    "issuance",
    "A mandate is for what the person has allowed until further notice, and not for what was approved once.",
)
ROOTS = Rule("Deputize", "exchange", "A token is derived in at most eight steps.")
ROOTS_MAX: Final = 8


@dataclass(frozen=True, slots=True)
class Request:
    """What this grant asks."""

    subject_token: str
    actor_token: str | None
    targets: frozenset[str] | None
    scope: frozenset[str] | None
    details: tuple[Detail, ...] | None
    wanted: str = ACCESS_TOKEN


def parse(form: Form) -> Request:
    subject_token = form.one("subject_token")
    if form.one("subject_token_type") != ACCESS_TOKEN:
        SUBJECT_TYPE.refuse("invalid_request")
    actor_token, actor_type = form.get("actor_token"), form.get("actor_token_type")
    if (actor_token is None) != (actor_type is None) or actor_type not in {None, ACCESS_TOKEN}:
        ACTOR_TYPE.refuse("invalid_request")
    wanted = form.get("requested_token_type") or ACCESS_TOKEN
    if wanted not in {ACCESS_TOKEN, MANDATE}:
        REQUESTED.refuse("invalid_request")
    told = form.get("authorization_details")
    return Request(
        subject_token=subject_token,
        actor_token=actor_token,
        targets=frozenset(form.all("resource") + form.all("audience")) or None,
        scope=asked_scope(form),
        details=None if told is None else details(told),
        wanted=wanted,
    )


async def approve(request: Request, client: AuthenticatedClient, issuer: Issuer, env: Env) -> Approval:
    subject = await tokens.read(request.subject_token, issuer, env, error="invalid_request")
    _hold_key(subject, client)
    if subject.client != client.id:
        PRESENTER.refuse("invalid_request", issued_to=subject.client)
    if subject.approval.subject is None:
        FOR_A_PERSON.refuse("invalid_request")
    actor = subject.approval.actor
    roots = (*subject.roots, subject.jti)
    if request.actor_token is not None:
        acting = await tokens.read(request.actor_token, issuer, env, error="invalid_request")
        _hold_key(acting, client)
        if acting.client != client.id or acting.approval.subject is not None:
            ACTOR_ITSELF.refuse("invalid_request")
        if actor is None or not actor.is_of(issuer, client.id):
            named = Subject(client.id)
            actor = actor.followed_by(named, error="invalid_request") if actor else Actor(subject=named)
        roots = (*roots, *acting.roots, acting.jti)
    if len(roots) > ROOTS_MAX:
        ROOTS.refuse("invalid_request")
    narrowed = subject.approval.authority.narrowed(
        audience=request.targets, scope=request.scope, details=request.details
    )
    if request.wanted == MANDATE:
        narrowed = await _lasting(narrowed, subject, client, env)
    return Approval(
        client=client.id,
        subject=subject.approval.subject,
        actor=actor,
        authority=narrowed,
        standing=subject.approval.standing,
        txn=subject.approval.txn,
        auth_time=subject.approval.auth_time,
        acr=subject.approval.acr,
        amr=subject.approval.amr,
        allowed_at=subject.issued_at,
        issued_token_type=request.wanted,
        roots=roots,
    )


async def _lasting(narrowed: Authority, subject: tokens.Token, client: AuthenticatedClient, env: Env) -> Authority:
    """The same for as long as the person's word to it runs: what the token was made of, and not the token's own end."""
    standing = None
    if subject.approval.standing is not None:
        standing = await env.store.read(Standing, subject.approval.standing)
    wanted = replace(narrowed, until=FOREVER)
    lasting = standing.covering(wanted, client.client, env.clock()) if standing is not None else None
    if lasting is None or lasting.is_bound:
        STANDS.refuse("invalid_request")
    return lasting


def _hold_key(token: tokens.Token, client: AuthenticatedClient) -> None:
    if token.jkt is not None and (client.key is None or client.key.name != token.jkt):
        KEY_SHOWN.refuse("invalid_request")


GRANT = Grant(TYPE, parse, approve)
