"""The pipeline with one hole; and the endpoints that begin what the token endpoint ends."""

from dataclasses import replace
from typing import Final

from deputize.core.ports import Add, Change, Env
from deputize.core.rules import Fault
from deputize.core.values import Instant
from deputize.core.wire import Inbound, JsonObject
from deputize.oauth import families, fapi2, mandates, newcomers, tokens
from deputize.oauth.approval import GONE, MANDATE, Approval
from deputize.oauth.client_auth import authenticate
from deputize.oauth.grants import (
    ciba,
    device_code,
    pre_authorized_code,
    refresh_token,
    token_exchange,
    transaction,
)
from deputize.oauth.login import AuthenticatedClient
from deputize.oauth.server import AuthorizationServer
from deputize.oauth.statuses import Statuses

TRIES: Final = 20


async def token(request: Inbound, here: AuthorizationServer, env: Env) -> JsonObject:
    """POST /token (RFC 6749, 3.2)."""
    form = pre_authorized_code.named(request, here.anonymous)
    client = await authenticate(request, form, here, env)
    grant = here.grant_for(form.one("grant_type"), client)
    question = grant.parse(form)
    _hold_bound(client, here)
    for _ in range(TRIES):
        approval = await grant.approve(question, client, here.issuer, env)
        await newcomers.used(client.client, here.registration, env)
        members = await _issue(approval, client, here, env, gone=grant.gone)
        if members is not None:
            return members
        # Somebody else was faster with the same: the grant sees what has become of it, and decides anew.
    raise Fault("this was used too often at once", retry=True)


async def backchannel(request: Inbound, here: AuthorizationServer, env: Env) -> JsonObject:
    """POST /backchannel (CIBA, 7)."""
    form = request.form()
    client = await authenticate(request, form, here, env)
    return await ciba.begin(ciba.parse_begin(form), client, here.asks, env)


async def device_authorization(request: Inbound, here: AuthorizationServer, env: Env) -> JsonObject:
    """POST /device_authorization (RFC 8628, 3.1)."""
    form = request.form()
    client = await authenticate(request, form, here, env)
    return await device_code.begin(form, client, request.source, here.issuer, here.device, env)


async def transaction_authorization(request: Inbound, here: AuthorizationServer, env: Env) -> JsonObject:
    """POST /transaction (draft-rosomakho-oauth-txn-challenge): present a challenge, or poll for what came of it."""
    form = request.form()
    client = await authenticate(request, form, here, env)
    question = transaction.parse(form)
    if isinstance(question, transaction.Begin):
        return await transaction.begin(question, client, here.issuer, here.asks, env)
    _hold_bound(client, here)
    members = await _issue(await transaction.collect(question, client, env), client, here, env)
    if members is None:
        raise Fault("there is a family of this name already")
    return members


def _hold_bound(client: AuthenticatedClient, here: AuthorizationServer) -> None:
    """Asked before a yes, or a code, is spent for nothing."""
    tokens.check_bound(client.client, client.key)
    if here.fapi2:
        fapi2.hold_bound(client.key)


async def _issue(
    approval: Approval,
    client: AuthenticatedClient,
    here: AuthorizationServer,
    env: Env,
    *,
    gone: str = GONE,
) -> JsonObject | None:
    """What is issued; None where what it was issued for was used at the same time, and by another."""
    if approval.issued_token_type == MANDATE:
        if here.mandates is None or here.statuses is None:
            token_exchange.REQUESTED.refuse("invalid_request")
        return await mandates.issue(approval, client.client, client.key, here.issuer, here.mandates, here.statuses, env)
    family = None
    if approval.refreshable and refresh_token.TYPE in client.client.grant_types:
        jkt = client.key.jkt if client.key else None
        family, first = families.begin(approval, jkt, here.refresh, env, rotates=not here.fapi2)
        approval = replace(approval, refresh_token=first, roots=(*approval.roots, family.root))
    # After all that may refuse, and before anybody has it: what is used up, and what comes of it, in one write.
    changes = approval.once if family is None else (*approval.once, Add(family))
    if here.statuses is not None and here.statuses.settings.tokens:
        return await _issue_told(approval, client, here, here.statuses, changes, env, gone=gone)
    response = await tokens.issue(approval, client.client, client.key, here.issuer, here.tokens, env, gone=gone)
    if changes and not await env.store.commit(*changes):
        return None
    return response.members


async def _issue_told(
    approval: Approval,
    client: AuthenticatedClient,
    here: AuthorizationServer,
    statuses: Statuses,
    changes: tuple[Change, ...],
    env: Env,
    *,
    gone: str,
) -> JsonObject | None:
    """The same for a token whose status is told in a list: its entry is in the same write."""
    under = approval.roots if approval.standing is None else (*approval.roots, approval.standing)
    for _ in range(TRIES):
        drawn = await statuses.draw(Instant(env.clock() + here.tokens.life), env, under=under)
        response = await tokens.issue(
            approval, client.client, client.key, here.issuer, here.tokens, env, status=drawn.claim, gone=gone
        )
        if await env.store.commit(*changes, *drawn.changes):
            break
        if not await statuses.is_taken(drawn, env):
            return None
    else:
        raise Fault("no entry of a list could be had", retry=True)
    # Whoever took something back while the token was made found no entry to tell of: so the token is looked at again.
    await tokens.read(response.members["access_token"], here.issuer, env, error="access_denied")
    return response.members
