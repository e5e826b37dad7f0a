"""What a client says of itself when it registers, held against the rules and the policy: what of it is kept."""

import json
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from deputize.core.rules import Refusal, Rule
from deputize.core.values import Seconds, scope, scope_text
from deputize.core.wire import JsonObject, Malformed
from deputize.jose import jwt
from deputize.jose.algorithms import ALL
from deputize.jose.keys import PublicKey
from deputize.oauth import client_document as documents
from deputize.oauth.client import Client, Resource, secret_hash
from deputize.oauth.redirects import NATIVE, is_fit
from deputize.oauth.requested import CODE_ONLY

BYTES_MAX: Final = 32 * 1024
KEYS_MAX: Final = 20
DEFAULT_METHOD: Final = "client_secret_basic"  # RFC 7591, 2
WEB: Final = "web"
BY_PEOPLE: Final = frozenset({"authorization_code", "refresh_token"})

STATEMENT = Rule("RFC 7591", "2.3", "A software statement is by an issuer that is trusted here; so far, none is.")
LINKS = Rule("RFC 7591", "5", "The URLs that a client tells of itself are https.")
METHOD = Rule("RFC 7591", "2", "The authentication method is one that clients may register for here.")
GRANTS = Rule("RFC 7591", "2", "At least one of the grant types is one that clients may register for here.")
KEYS_HERE = Rule("Deputize", "registration", "A client that signs registers its keys themselves, as jwks.")
KEYS_FIT = Rule("RFC 7517", "5", "Each key is public, strong and of a known kind, and there are at most 20.")
WEB_HTTPS = Rule("OpenID Connect Dynamic Client Registration 1.0", "2", "A web client's redirect URIs are https.")
AFTER_LOGOUT = Rule(
    "OpenID Connect RP-Initiated Logout 1.0", "3.1", "A place to go on to after logout is fit to be a redirect URI."
)
TOLD_OF_LOGOUT = Rule(
    "OpenID Connect Back-Channel Logout 1.0", "2.2", "Where a client hears of a logout is an https URL of its own."
)
KIND = Rule("OpenID Connect Dynamic Client Registration 1.0", "2", "The application type is web or native.")
SUBJECTS = Rule("OpenID Connect Dynamic Client Registration 1.0", "2", "The subject type is public.")
ALGORITHMS = Rule("RFC 7591", "2", "The algorithms are ones that this server uses.")

Mode = Literal["off", "approval", "initial-token", "open"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Who may register a client, and what such a client may ask people for.

    In `approval` a client waits until an operator lets it in, for `initial-token` an operator has given a token out,
    `open` takes anyone. `audiences` are the resources (`*`: all) that such a client may lead to. `per_source` and
    `per_hour` bound how many register in an hour, from one network and in all; `most` how many there are at once. A
    client that obtains no token for `unused_life` is forgotten. With `step_up`, a client that only people give tokens
    to may ask them for all scope of its audiences, whatever it registered: MCP's register what they ask for first.
    """

    mode: Mode = "off"
    audiences: tuple[str, ...] = ()
    grant_types: tuple[str, ...] = ("authorization_code", "refresh_token")
    methods: tuple[str, ...] = ("none", "private_key_jwt", "client_secret_basic", "client_secret_post")
    per_source: int = 10
    per_hour: int = 100
    most: int = 1000
    unused_life: Seconds = Seconds(90 * 24 * 3600)
    step_up: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What this server can give to a client that registers; `signs_with` is the algorithm of its ID tokens.

    With `step_up`, the scope that it asks for is where it begins, and no bound.
    """

    grant_types: frozenset[str]
    methods: frozenset[str]
    resources: tuple[Resource, ...]
    signs_with: str
    step_up: bool = False


_KEPT: Final = ("client_uri", "tos_uri", "policy_uri", "contacts", "software_id", "software_version")
_BOUND, _CERTIFIED, _PUSHES, _SIGNS = documents.SWITCHES
_ALGS: Final = ("_alg", "_enc")
_WE_SIGN: Final = frozenset(f"{what}_signed_response_alg" for what in ("id_token", "authorization", "introspection"))


def registered(members: JsonObject, offer: Offer) -> JsonObject:
    """What is registered of these members: checked, narrowed to the offer, and nothing that is not used here."""
    _hold_statement(members)
    for finding in documents.findings_of_members(members):
        if finding.rule is documents.SHOWN_URLS:
            LINKS.refuse("invalid_client_metadata", where=finding.where)
        if finding.must or finding.rule is documents.MEMBERS:
            error = "invalid_redirect_uri" if finding.rule is documents.REDIRECTS else "invalid_client_metadata"
            finding.rule.refuse(error, where=finding.where)
    method = members.get("token_endpoint_auth_method", DEFAULT_METHOD)
    if method not in offer.methods:
        METHOD.refuse("invalid_client_metadata", method=method[:80])
    _hold_algorithms(members, offer)
    kind = _kind(members)
    grants = documents.grant_types(members) & offer.grant_types
    if not grants - {"refresh_token"}:
        GRANTS.refuse("invalid_client_metadata")
    _hold_responses(members)
    possible = frozenset(name for one in offer.resources for name in one.scopes)
    wanted = possible & scope(members["scope"]) if members.get("scope") else possible
    if offer.step_up and grants <= BY_PEOPLE:
        wanted = possible
    told: JsonObject = {
        "redirect_uris": list(members.get("redirect_uris", ())),
        "grant_types": sorted(grants),
        "response_types": ["code"] if documents.CODE in grants else [],
        "token_endpoint_auth_method": method,
        "application_type": kind,
        "scope": scope_text(wanted),
    }
    if name := documents.calls_itself(members):
        told["client_name"] = name
    told |= {name: members[name] for name in _KEPT if members.get(name)}
    told |= {name: True for name in documents.SWITCHES if members.get(name) is True}
    told |= _of_logout(members, kind)
    if keys := keys_told(members, needed=method == documents.PRIVATE_KEY_JWT or _SIGNS in told):
        told["jwks"] = keys
    return told


def _of_logout(members: JsonObject, kind: str) -> JsonObject:
    places, hears = members.get("post_logout_redirect_uris", []), members.get("backchannel_logout_uri")
    if not all(is_fit(uri, kind) and (kind == NATIVE or uri.startswith("https:")) for uri in places):
        AFTER_LOGOUT.refuse("invalid_client_metadata")
    if hears and (not hears.startswith("https:") or not is_fit(hears, WEB)):
        TOLD_OF_LOGOUT.refuse("invalid_client_metadata")
    session = members.get("backchannel_logout_session_required") is True  # every logout token has a sid
    told = {"post_logout_redirect_uris": list(places), "backchannel_logout_uri": hears}
    told["backchannel_logout_session_required"] = session
    return {name: value for name, value in told.items() if value}


def _hold_statement(members: JsonObject) -> None:
    statement = members.get("software_statement")
    if statement is None:
        return
    try:
        jwt.peek(statement if isinstance(statement, str) else "", "invalid_software_statement")
    except Refusal:
        STATEMENT.refuse("invalid_software_statement")
    STATEMENT.refuse("unapproved_software_statement")


def _hold_algorithms(members: JsonObject, offer: Offer) -> None:
    if members.get("subject_type", "public") != "public":
        SUBJECTS.refuse("invalid_client_metadata")
    for name, told in members.items():
        if name.endswith(_ALGS) and not (isinstance(told, str) and told in _known(name, offer)):
            ALGORITHMS.refuse("invalid_client_metadata", where=name[:80])


def _known(name: str, offer: Offer) -> frozenset[str]:
    """What an algorithm may be: what we sign with, what a client may sign with; and nothing is encrypted."""
    if name.endswith("_signing_alg"):
        return ALL
    return frozenset({offer.signs_with}) if name in _WE_SIGN else frozenset()


def _kind(members: JsonObject) -> str:
    told = members.get("application_type", NATIVE if documents.is_native(members) else WEB)
    if told not in {WEB, NATIVE}:
        KIND.refuse("invalid_client_metadata")
    if told == WEB and not all(uri.startswith("https:") for uri in members.get("redirect_uris", ())):
        WEB_HTTPS.refuse("invalid_redirect_uri")
    return str(told)


def _hold_responses(members: JsonObject) -> None:
    responses = members.get("response_types", ["code"])
    if not set(responses) <= {"code"}:
        CODE_ONLY.refuse("invalid_client_metadata")
    if "response_types" in members and "code" in responses and documents.CODE not in documents.grant_types(members):
        documents.MEMBERS.refuse("invalid_client_metadata")


def keys_told(members: JsonObject, *, needed: bool) -> JsonObject | None:
    """The keys that are told, each looked at."""
    jwks: Any = members.get("jwks")
    if jwks is None:
        if needed:
            KEYS_HERE.refuse("invalid_client_metadata")
        return None
    try:
        if len(jwks["keys"]) > KEYS_MAX:
            raise Malformed("too many keys")
        for entry in jwks["keys"]:
            if entry.get("use") != "enc":  # one to encrypt with is nothing that we look at
                PublicKey.from_jwk(entry)
    except (Malformed, AttributeError, KeyError, TypeError):
        KEYS_FIT.refuse("invalid_client_metadata")
    return {"keys": jwks["keys"]}


def as_client(told: JsonObject, before: Client, resources: tuple[Resource, ...]) -> Client:
    """The client with what it has registered; who it is, and whether it is let in, stays."""
    text = json.dumps(told, sort_keys=True, separators=(",", ":"))
    return replace(
        before,
        name=told.get("client_name", before.key),
        auth_method=told["token_endpoint_auth_method"],
        grant_types=frozenset(told["grant_types"]),
        audiences=frozenset(one.key for one in resources),
        scope=scope(told["scope"]),
        jwks=json.dumps(told.get("jwks", {"keys": []})),
        redirect_uris=tuple(told["redirect_uris"]),
        application_type=told["application_type"],
        post_logout_redirect_uris=tuple(told.get("post_logout_redirect_uris", ())),
        backchannel_logout_uri=told.get("backchannel_logout_uri", ""),
        dpop_bound=_BOUND in told,
        certificate_bound=_CERTIFIED in told,
        pushes=_PUSHES in told,
        signs=_SIGNS in told,
        said=secret_hash(text),
    )
