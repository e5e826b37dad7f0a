"""Calls to a protected resource: what goes along with each, and what is done when the resource says no. No I/O here."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from deputize.core.rules import Fault, Rule
from deputize.core.values import Instant, IssuerIdentifier, Seconds, WebUrl
from deputize.core.wire import Headers
from deputize.oauth import dpop
from deputize.oauth.metadata import ServerMetadata
from deputize.sdk.answers import Refused, TokenSet
from deputize.sdk.authorize import authorize, refresh
from deputize.sdk.challenges import (
    INSUFFICIENT_AUTHENTICATION,
    INSUFFICIENT_SCOPE,
    USE_NONCE,
    Challenged,
    challenged,
)
from deputize.sdk.connection import Connection, arrives_at
from deputize.sdk.discover import ResourceMetadata, choose_server, find_legacy, find_resource, find_server
from deputize.sdk.flow import Flow
from deputize.sdk.login import ClientLogin
from deputize.sdk.obtain import client_credentials
from deputize.sdk.register import Application, Registered, become_client
from deputize.sdk.tokens import Purpose, TokenCache

OFFLINE: Final = "offline_access"
STEP_UP_REST: Final = Seconds(60)  # before a person is asked for the same again: a resource may never be content
JTI_BITS: Final = 128
NONCE_HEADER: Final = "dpop-nonce"

APART = Rule("RFC 9700", "4.4.2", "Of several servers, each answers with its iss, or at a redirect URI of its own.")

_NONCE: Final = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]{1,256}")


@dataclass(slots=True)
class Attempt:
    """One request of the program's, however often it is sent."""

    used: TokenSet | None = None
    proven_anew: bool = False
    obtained: bool = False
    stepped_up: bool = False


@dataclass(slots=True)
class _Place:
    """A resource that was found, its server, and what this program is there."""

    resource: ResourceMetadata
    server: ServerMetadata
    login: ClientLogin
    client: Registered
    connection: Connection
    scope: frozenset[str]
    stepped: dict[tuple[frozenset[str], tuple[str, ...], int | None], Instant] = field(default_factory=dict)

    @property
    def purpose(self) -> Purpose:
        key = self.login.dpop_key
        return Purpose(
            issuer=self.server.issuer,
            client_id=self.login.client_id,
            resource=self.resource.resource,
            tenant=self.connection.tenant,
            scope=self.scope,
            key=key.public().thumbprint if key is not None else None,
        )


@dataclass(slots=True, kw_only=True)
class Access:
    """One person's (or, with `person=False`, the program's own) access to the resources that it calls.

    `scope` is asked for in any case, beside what the resource wants. `servers` are the issuers that may be used; empty:
    whichever a resource names. `elsewhere` has, by issuer, other origins at which that server's endpoints may lie: one
    of which nothing is said there is used at its own origin alone. What is asked for another `tenant` takes another
    Access: nothing is shared.
    With `legacy_2025_03_26`, an MCP server that publishes no metadata is taken for its own authorization server.
    """

    application: Application
    scope: frozenset[str] = frozenset()
    servers: Collection[str] = ()
    elsewhere: Mapping[str, Collection[str]] = field(default_factory=dict)
    tenant: str = ""
    person: bool = True
    legacy_2025_03_26: bool = False
    tokens: TokenCache = field(default_factory=TokenCache)
    _places: dict[str, _Place] = field(default_factory=dict, repr=False)
    _registered: dict[tuple[str, str], Registered] = field(default_factory=dict, repr=False)
    _nonces: dict[str, str] = field(default_factory=dict, repr=False)

    def shown(self, attempt: Attempt, method: str, url: str) -> Flow[tuple[tuple[str, str], ...]]:
        """The headers for a call, with a token if there is one for this resource; it is renewed before it ends."""
        place = self._place(url)
        if place is None:
            return ()
        token = self.tokens.live(place.purpose, self.application.clock())
        if token is None:
            token = yield from self._renewed(place)
        attempt.used = token
        if token is None:
            return ()
        return self._headers(token, method, url)

    def told(self, attempt: Attempt, url: str, status: int, headers: Headers) -> Flow[bool]:
        """Read an answer; whether the call is to be sent again. Each reason counts once a request."""
        learned = self._learns_nonce(url, headers)
        if status not in {401, 403}:
            return False
        said = challenged(headers)
        if status == 401 and USE_NONCE in said.errors:
            again, attempt.proven_anew = learned and not attempt.proven_anew, True
            return again
        if INSUFFICIENT_AUTHENTICATION in said.errors or (status == 403 and INSUFFICIENT_SCOPE in said.errors):
            return (yield from self._steps_up(attempt, url, said))
        if status == 403 or attempt.obtained:
            return False
        attempt.obtained = True
        yield from self._obtains(attempt, url, said)
        return True

    # --- obtaining --------------------------------------------------------------------------------------------------

    def _obtains(self, attempt: Attempt, url: str, said: Challenged) -> Flow[None]:
        place = self._place(url)
        if place is not None:
            held = self.tokens.held(place.purpose)
            if held is not None and held is not attempt.used:
                return  # somebody else was here meanwhile
            if held is not None and (yield from self._renewed(place)) is not None:
                return
        place = yield from self._found(url, said)
        yield from self._authorized(place)

    def _found(self, url: str, said: Challenged) -> Flow[_Place]:
        """Look everything up anew: whoever guards the resource now need not be who guarded it before."""
        before = self._place(url)
        legacy = None
        if self.legacy_2025_03_26 and said.resource_metadata is None:
            legacy = yield from find_legacy(url)
        resource = legacy[0] if legacy else (yield from find_resource(url, said.resource_metadata))
        known = self.servers or (() if before is None else (before.server.issuer,))
        named = resource.authorization_servers
        if self.servers and not set(self.servers) & set(named):
            raise Fault(f"{resource.resource} names no server that this program uses")
        issuer = choose_server(resource, [one for one in known if one in named])
        server = legacy[1] if legacy else (yield from find_server(issuer, self.elsewhere.get(issuer, ())))
        connection = Connection(issuer=IssuerIdentifier(issuer), resource=resource.resource, tenant=self.tenant)
        client = self._registered.get((issuer, connection.id))
        if client is None:
            client = yield from become_client(self.application, server, connection)
            self._registered[issuer, connection.id] = client
        login = before.login if before is not None and before.client is client else None
        login = login or self.application.login(server, client)
        if resource.dpop_bound_access_tokens_required and login.dpop_key is None:
            raise Fault(f"{resource.resource} wants tokens that are bound to a key, and there is none")
        same = before is not None and before.server.issuer == issuer
        had = before.scope if before is not None and same else frozenset[str]()
        scope = self.scope | (said.scope or frozenset()) | had
        scope = scope or resource.scopes_supported
        if self.person and OFFLINE in (server.scopes_supported or frozenset()):
            scope |= {OFFLINE}
        place = _Place(resource, server, login, client, connection, scope)
        if before is not None and same:
            place.stepped = before.stepped
        self._places[resource.resource] = place
        return place

    def _authorized(
        self, place: _Place, acr_values: tuple[str, ...] = (), max_age: Seconds | None = None
    ) -> Flow[TokenSet]:
        server, login, resource = place.server, place.login, place.resource.resource
        if self.person:
            self._hold_apart(place)
            token = yield from authorize(
                server,
                login,
                redirect_uri=arrives_at(place.client.redirect_uri, self.application.redirect_base),
                scope=place.scope,
                resource=resource,
                acr_values=acr_values,
                max_age=max_age,
            )
        else:
            token = yield from client_credentials(server, login, scope=place.scope, resource=resource)
        self.tokens.keep(place.purpose, token)
        return token

    def _hold_apart(self, place: _Place) -> None:
        """Hold that an answer of this server cannot be taken for one of another's that this program uses as well."""
        promised = place.server.authorization_response_iss_parameter_supported
        others = any(issuer != place.server.issuer for issuer, _ in self._registered)
        if others and not promised and place.client.redirect_uri is None:
            APART.refuse("invalid_issuer", issuer=place.server.issuer)

    def _renewed(self, place: _Place) -> Flow[TokenSet | None]:
        """A new token by the refresh token; None where there is none, or the server wants it no more."""
        purpose = place.purpose
        held = self.tokens.held(purpose)
        if held is None or held.refresh_token is None:
            self.tokens.drop(purpose)
            return None
        try:
            told = yield from refresh(place.server, place.login, held.refresh_token, resource=place.resource.resource)
        except Refused:
            self.tokens.drop(purpose)
            return None
        self.tokens.keep(purpose, told)
        return told

    def _steps_up(self, attempt: Attempt, url: str, said: Challenged) -> Flow[bool]:
        """Ask for what was missing, beside what was there: once a request, and not again while that is fresh."""
        before = self._place(url)
        if attempt.stepped_up or attempt.used is None or before is None or not self.person:
            return False
        attempt.stepped_up = True
        held = self.tokens.held(before.purpose)
        if held is not None and held is not attempt.used:
            return True
        now = self.application.clock()
        wanted = (before.scope | (said.scope or frozenset()), said.acr_values, said.max_age)
        at = before.stepped.get(wanted)
        if at is not None and 0 <= now - at < STEP_UP_REST:
            return False
        place = yield from self._found(url, said)
        place.stepped[wanted] = now
        yield from self._authorized(place, said.acr_values, said.max_age)
        if before.purpose != place.purpose:
            self.tokens.drop(before.purpose)
        return True

    # --- one call ---------------------------------------------------------------------------------------------------

    def _place(self, url: str) -> _Place | None:
        """The closest of the resources that this is a call to: a token goes nowhere else."""
        covering = [place for place in self._places.values() if place.resource.covers(url)]
        return max(covering, key=lambda place: len(place.resource.resource), default=None)

    def _headers(self, token: TokenSet, method: str, url: str) -> tuple[tuple[str, str], ...]:
        text = token.access_token.reveal()
        shown = (("authorization", f"{token.token_type} {text}"),)
        key = self.application.key
        if token.token_type != "DPoP" or key is None:  # noqa: S105 (a type, no secret)
            return shown
        proof = dpop.prove(
            key,
            method=method,
            url=url,
            jti=self.application.random(JTI_BITS),
            now=self.application.clock(),
            access_token=text,
            nonce=self._nonces.get(WebUrl(url).origin),
        )
        return (*shown, ("dpop", proof))

    def _learns_nonce(self, url: str, headers: Headers) -> bool:
        told = headers.all(NONCE_HEADER)
        if len(told) != 1 or not _NONCE.fullmatch(told[0]):
            return False
        origin = WebUrl(url).origin
        before, self._nonces[origin] = self._nonces.get(origin), told[0]
        return before != told[0]
