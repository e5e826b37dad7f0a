"""Refresh (RFC 6749, 6): rotation; a replay ends the family; what is issued may only narrow."""

from dataclasses import dataclass
from typing import Final

from deputize.core.ports import Env
from deputize.core.values import Issuer, Secret
from deputize.core.wire import Form
from deputize.oauth import families
from deputize.oauth.approval import Approval
from deputize.oauth.asked import OPENID, asked_scope
from deputize.oauth.details import Detail, details
from deputize.oauth.grant import Grant
from deputize.oauth.login import AuthenticatedClient

TYPE: Final = "refresh_token"


@dataclass(frozen=True, slots=True)
class Request:
    """What this grant asks: a token, and a narrowing of what comes of it."""

    token: Secret
    scope: frozenset[str] | None
    resources: frozenset[str] | None
    details: tuple[Detail, ...] | None


def parse(form: Form) -> Request:
    told = form.get("authorization_details")
    scope = asked_scope(form)
    return Request(
        token=Secret(form.one("refresh_token")),
        scope=None if scope is None else scope - {OPENID},
        resources=frozenset(form.all("resource")) or None,
        details=None if told is None else details(told),
    )


def grant(settings: families.Settings) -> Grant:
    """The row, with its settings."""

    async def approve(request: Request, client: AuthenticatedClient, __: Issuer, env: Env) -> Approval:
        family, secret = await families.hold(request.token.reveal(), client, settings, env)
        authority = family.authority.narrowed(
            audience=request.resources, scope=request.scope, details=request.details, until=family.lives_until
        )
        rotation, fresh = families.rotated(family, secret, settings, env)
        return families.approval_of(family, authority, fresh, rotation)

    return Grant(TYPE, parse, approve, public=True, gone="invalid_grant")
