"""Authorization server and resource metadata, both ends, made from the tables."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from deputize.core.values import IssuerIdentifier, WebUrl
from deputize.core.wire import JsonObject, Malformed
from deputize.jose.algorithms import ALL
from deputize.oauth import details, requested
from deputize.oauth.authentication import ACRS
from deputize.oauth.client import OWN_SCOPES
from deputize.oauth.clients import document
from deputize.oauth.device import TYPE as _DEVICE_CODE
from deputize.oauth.login import NONE
from deputize.oauth.server import REGISTRATION_PATH, TOKEN_PATH, AuthorizationServer
from deputize.oauth.statuses import PATH as STATUS

OAUTH_WELL_KNOWN: Final = "/.well-known/oauth-authorization-server"
OPENID_WELL_KNOWN: Final = "/.well-known/openid-configuration"
RESOURCE_WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"

TOKEN: Final = TOKEN_PATH
JWKS: Final = "/jwks"
INTROSPECTION: Final = "/introspect"
REVOCATION: Final = "/revoke"
AUTHORIZATION: Final = "/authorize"
PAR: Final = "/par"
USERINFO: Final = "/userinfo"
END_SESSION: Final = "/end-session"
BACKCHANNEL: Final = "/backchannel"
DEVICE_AUTHORIZATION: Final = "/device_authorization"
TRANSACTION: Final = "/transaction"
REGISTRATION: Final = REGISTRATION_PATH
CODE: Final = "authorization_code"
PRE_AUTHORIZED: Final = "urn:ietf:params:oauth:grant-type:pre-authorized_code"
CIBA: Final = "urn:openid:params:grant-type:ciba"
DEVICE_CODE: Final = _DEVICE_CODE


def well_known(identifier: str, suffix: str) -> str:
    """The URL of a metadata document: the suffix goes between host and path (RFC 8414, 3.1; RFC 9728, 3.1)."""
    parts = urlsplit(identifier)
    path = "" if parts.path == "/" else parts.path
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc}{suffix}{path}{query}"


def of_server(here: AuthorizationServer, *, signing: frozenset[str] = frozenset()) -> JsonObject:
    """What this server says of itself: only what its tables hold. `signing` are the algorithms of its keys."""
    at = here.issuer.at
    methods = list(here.method_names)
    algs = sorted(here.algs)
    has_ciba = any(grant.type == CIBA for grant in here.grants)
    has_offers = any(grant.type == PRE_AUTHORIZED for grant in here.grants)
    has_code = any(grant.type == CODE for grant in here.grants)
    told: JsonObject = {
        "issuer": here.issuer.text,
        "token_endpoint": at(TOKEN),
        "jwks_uri": at(JWKS),
        "introspection_endpoint": at(INTROSPECTION),
        "revocation_endpoint": at(REVOCATION),
        "grant_types_supported": [grant.type for grant in here.grants],
        "response_types_supported": ["code"] if has_code else [],
        "dpop_signing_alg_values_supported": algs,
        "authorization_details_types_supported": [
            row.name for row in details.TYPES if has_offers or row.name != details.OPENID_CREDENTIAL
        ],
    }
    if has_offers:
        told["pre-authorized_grant_anonymous_access_supported"] = bool(here.anonymous)
    if "tls_client_auth" in methods:
        told["tls_client_certificate_bound_access_tokens"] = True
    if signing:
        told["introspection_signing_alg_values_supported"] = sorted(signing)
    for endpoint in ("token", "introspection", "revocation"):
        confidential = [name for name in methods if name != NONE]  # who keeps no secret is told nothing of tokens
        told[f"{endpoint}_endpoint_auth_methods_supported"] = confidential if endpoint == "introspection" else methods
        if "private_key_jwt" in methods:
            told[f"{endpoint}_endpoint_auth_signing_alg_values_supported"] = algs
    if has_ciba:
        told["backchannel_authentication_endpoint"] = at(BACKCHANNEL)
        told["backchannel_token_delivery_modes_supported"] = ["poll"]
        told["backchannel_user_code_parameter_supported"] = False
    if any(grant.type == DEVICE_CODE for grant in here.grants):
        told["device_authorization_endpoint"] = at(DEVICE_AUTHORIZATION)
    if has_code:
        told |= _of_authorization(here, at)
        if signing:
            told["authorization_signing_alg_values_supported"] = sorted(signing)
    if has_code or has_ciba:  # it issues ID tokens, so it says what OpenID Discovery wants
        told["subject_types_supported"] = ["public"]
        told["id_token_signing_alg_values_supported"] = sorted(signing)
    if any(way.name == document.NAME for way in here.ways):
        told["client_id_metadata_document_supported"] = True
    if here.statuses is not None:
        told["status_list_aggregation_endpoint"] = at(STATUS)
    if here.registration.mode != "off":
        told["registration_endpoint"] = at(REGISTRATION)
    if "txn-challenge" in here.drafts:
        told["transaction_authorization_endpoint"] = at(TRANSACTION)
    return told


def _of_authorization(here: AuthorizationServer, at: Callable[[str], str]) -> JsonObject:
    return {
        "authorization_endpoint": at(AUTHORIZATION),
        "authorization_response_iss_parameter_supported": True,
        "code_challenge_methods_supported": ["S256"],
        "response_modes_supported": list(requested.MODES),
        "prompt_values_supported": sorted(requested.PROMPTS),
        "acr_values_supported": list(ACRS),  # RFC 9470, 7; the surest first
        "pushed_authorization_request_endpoint": at(PAR),
        "require_pushed_authorization_requests": here.pushed_only,
        "userinfo_endpoint": at(USERINFO),
        "end_session_endpoint": at(END_SESSION),
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
        "scopes_supported": sorted(OWN_SCOPES),
        "claims_supported": ["acr", "amr", "aud", "auth_time", "exp", "iat", "iss", "name", "nonce", "sub"],
        "claims_parameter_supported": False,
        "request_parameter_supported": True,
        "request_object_signing_alg_values_supported": sorted(here.algs),
        "require_signed_request_object": here.authorize.signed_only,
        "request_uri_parameter_supported": False,  # none but those that we gave out ourselves (RFC 9126, 5)
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerMetadata:
    """Another server's document, as far as a client acts on it. Endpoints lie at the issuer's own origin, or as told.

    `scopes_supported` is None where the server does not tell.
    """

    issuer: str
    token_endpoint: str
    jwks_uri: str | None = None
    authorization_endpoint: str | None = None
    pushed_authorization_request_endpoint: str | None = None
    registration_endpoint: str | None = None
    introspection_endpoint: str | None = None
    revocation_endpoint: str | None = None
    backchannel_authentication_endpoint: str | None = None
    device_authorization_endpoint: str | None = None
    transaction_authorization_endpoint: str | None = None
    authorization_response_iss_parameter_supported: bool = False
    client_id_metadata_document_supported: bool = False
    code_challenge_methods_supported: frozenset[str] = frozenset()
    dpop_signing_alg_values_supported: frozenset[str] = frozenset()
    token_endpoint_auth_methods_supported: frozenset[str] = frozenset({"client_secret_basic"})  # RFC 8414, 2
    scopes_supported: frozenset[str] | None = None


_FLAGS: Final = ("authorization_response_iss_parameter_supported", "client_id_metadata_document_supported")
_LISTS: Final = (
    "code_challenge_methods_supported",
    "dpop_signing_alg_values_supported",
    "token_endpoint_auth_methods_supported",
    "scopes_supported",
)


def read_server(document: Mapping[str, object], elsewhere: Collection[str] = ()) -> ServerMetadata:
    """Read a server's document. Raises ValueError. That `issuer` is the expected one, the caller has held.

    `elsewhere` are other origins at which this server's endpoints may lie, as somebody has said who knows it.
    """
    issuer = IssuerIdentifier(_text(document, "issuer"))
    found: dict[str, Any] = {}
    for name in ServerMetadata.__dataclass_fields__:
        if name == "issuer" or document.get(name) is None:
            continue
        if name in _FLAGS:
            found[name] = document[name] is True
        elif name in _LISTS:
            found[name] = texts(document, name)
        else:
            url = WebUrl(_text(document, name))
            # Audience injection and mix-up begin with an endpoint that belongs to somebody else.
            if url.origin != issuer.origin and url.origin not in elsewhere:
                raise Malformed(f"{name} is not at the issuer's own origin")
            found[name] = url.text
    if "token_endpoint" not in found:
        raise Malformed("a token_endpoint is needed")
    return ServerMetadata(issuer=issuer.text, **found)


def texts(document: Mapping[str, object], name: str) -> frozenset[str]:
    """A member that is an array of texts; absent, it has none. Raises Malformed."""
    value = document.get(name, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise Malformed(f"{name} is an array of texts")
    return frozenset(value)


def _text(document: Mapping[str, object], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str):
        raise Malformed(f"{name} is a text")
    return value


def of_resource(
    resource: str, *, issuer: str, name: str, scopes: frozenset[str], jwks_uri: str | None, dpop_required: bool
) -> JsonObject:
    """What a protected resource says of itself (RFC 9728, 2). Members without elements are left out."""
    told: JsonObject = {
        "resource": resource,
        "authorization_servers": [issuer],
        "resource_name": name,
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": sorted(ALL),
    }
    if scopes:
        told["scopes_supported"] = sorted(scopes)
    if dpop_required:
        told["dpop_bound_access_tokens_required"] = True
    if jwks_uri is not None:
        told["jwks_uri"] = jwks_uri
        told["txn_challenge_jwks_uri"] = jwks_uri
        told["txn_challenge_signing_alg_values_supported"] = sorted(ALL)
        told["authorization_details_types_supported"] = [
            row.name for row in details.TYPES if row.name != details.OPENID_CREDENTIAL
        ]
    return told
