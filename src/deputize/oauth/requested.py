"""An authorization request, parsed once: the same whether a browser brought it, it was pushed, or it was signed."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from deputize.core.ports import Env
from deputize.core.rules import Rule
from deputize.core.values import Issuer, Seconds
from deputize.core.wire import Form
from deputize.oauth import offers, tokens
from deputize.oauth.asked import OPENID, SCOPE_ALLOWED, TARGET_NAMED, asked_scope
from deputize.oauth.client import OWN_SCOPES, Client, Resource
from deputize.oauth.details import Detail, details
from deputize.oauth.redirects import Destination
from deputize.oauth.tokens import TARGET_KNOWN

QUERY, FORM_POST = "query", "form_post"
SIGNED_MODES: Final = ("jwt", "query.jwt", "form_post.jwt")  # JARM
MODES: Final = (QUERY, FORM_POST, *SIGNED_MODES)
PROMPTS: Final = frozenset({"none", "login", "consent", "select_account"})
RESOURCES_MAX: Final = 8
TEXT_MAX: Final = 1024  # a nonce, a hint

_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")  # S256: the base64url of a SHA-256
_SECONDS: Final = re.compile(r"[0-9]{1,9}")

CODE_ONLY = Rule("RFC 9700", "2.1.2", "The response type is code: no token travels through the browser.")
MODE = Rule("OAuth 2.0 Form Post Response Mode", "2", "The response mode is one that this server supports.")
PKCE = Rule("RFC 7636", "4.4.1", "The request has a code challenge, made by S256.")
PROMPT = Rule("OpenID Connect Core 1.0", "3.1.2.1", "The prompt has known values, and none stands alone.")
MAX_AGE = Rule("OpenID Connect Core 1.0", "3.1.2.1", "The max_age is a whole number of seconds.")
THUMBPRINT = Rule("RFC 9449", "10", "The dpop_jkt is a SHA-256 thumbprint of a key.")
BRIEF = Rule("Deputize", "bounds", "A nonce and a login_hint have at most 1024 characters.")
ONCE = Rule("RFC 6749", "3.1", "No parameter of an authorization request is there twice.")
REGISTERED_CODE = Rule("RFC 6749", "4.1.2.1", "The client is registered for the authorization code.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How authorization requests are taken.

    `life` is how long a person has for an answer, `pushed_life` how long a pushed request waits for a browser.
    `pushed_only` refuses those that were not pushed, `signed_only` those that are no signed request objects.
    """

    life: Seconds = Seconds(600)
    pushed_life: Seconds = Seconds(60)
    pushed_only: bool = False
    signed_only: bool = False

    def __post_init__(self) -> None:
        if not 5 <= self.pushed_life < 600 or not 10 <= self.life <= 3600:
            raise ValueError("a pushed request waits for 5 to 599 seconds, and a page for 10 seconds to an hour")


@dataclass(frozen=True, slots=True, kw_only=True)
class Requested:
    """What a client asks, and how it wants to be answered. It fits the registration; nobody has allowed it yet.

    `audience` are the resources that it leads to. `prompt`, `max_age`, `login_hint` and `acr_values` are for the pages.
    `hinted` is the person whom an ID token names, and who alone may answer (empty: anybody). `rests_on` stands for the
    client as it was then.
    """

    client: str
    destination: Destination
    mode: str
    state: str | None
    audience: frozenset[str]
    scope: frozenset[str]
    details: tuple[Detail, ...]
    code_challenge: str
    dpop_jkt: str | None = None
    nonce: str | None = None
    prompt: frozenset[str] = frozenset()
    max_age: Seconds | None = None
    login_hint: str = ""
    hinted: str = ""
    acr_values: tuple[str, ...] = ()
    rests_on: str = ""

    @property
    def openid(self) -> bool:
        return OPENID in self.scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """Where the answer to a request goes, how, and the state that goes back with it; known before the rest is."""

    client: str
    destination: Destination
    mode: str
    state: str | None


def answering(form: Form, client: Client, destination: Destination) -> Answering:
    """How to answer; in the default mode where the one asked for is none of ours (which `read` then refuses)."""
    mode = form.get("response_mode") or QUERY
    known = mode if mode in MODES else QUERY
    return Answering(client=client.key, destination=destination, mode=known, state=form.get("state"))


async def read(form: Form, client: Client, where: Answering, issuer: Issuer, env: Env) -> Requested:
    """Read a request. A refusal may be sent to where the answer goes."""
    if form.one("response_type") != "code":
        CODE_ONLY.refuse("unsupported_response_type")
    if form.get("response_mode") not in {None, *MODES}:
        MODE.refuse("invalid_request")
    if "authorization_code" not in client.grant_types:
        REGISTERED_CODE.refuse("unauthorized_client")
    challenge = form.get("code_challenge") or ""
    if form.get("code_challenge_method") != "S256" or not _CHALLENGE.fullmatch(challenge):
        PKCE.refuse("invalid_request")
    jkt = form.get("dpop_jkt")
    if jkt is not None and not _CHALLENGE.fullmatch(jkt):
        THUMBPRINT.refuse("invalid_request")
    shown = form.get("id_token_hint")
    nonce, hint = form.get("nonce"), form.get("login_hint") or ""
    if len(nonce or "") > TEXT_MAX or len(hint) > TEXT_MAX:
        BRIEF.refuse("invalid_request")
    told = form.get("authorization_details")
    wanted = () if told is None else details(told)
    audience, scope = await leads_to(form, client, has_details=bool(wanted), issuer=issuer.text, env=env)
    hinted = tokens.hinted(shown, issuer, client, env, error="invalid_request") if shown else ""
    offered = form.get("issuer_state")
    if offered is not None:
        hinted = await offers.person_of(offered, hinted, env)
    return Requested(
        client=client.key,
        destination=where.destination,
        mode=where.mode,
        state=where.state,
        audience=audience,
        scope=scope,
        details=wanted,
        code_challenge=challenge,
        dpop_jkt=jkt,
        nonce=nonce,
        prompt=_prompt(form),
        max_age=_max_age(form),
        login_hint=hint,
        hinted=hinted,
        acr_values=tuple((form.get("acr_values") or "").split()),
        rests_on=client.rests_on,
    )


def _prompt(form: Form) -> frozenset[str]:
    told = frozenset((form.get("prompt") or "").split())
    if not told <= PROMPTS or (len(told) > 1 and "none" in told):
        PROMPT.refuse("invalid_request")
    return told


def _max_age(form: Form) -> Seconds | None:
    told = form.get("max_age")
    if told is None:
        return None
    if not _SECONDS.fullmatch(told):
        MAX_AGE.refuse("invalid_request")
    return Seconds(int(told))


# --- where it leads, and how far ------------------------------------------------------------------------------------


async def leads_to(
    form: Form, client: Client, *, has_details: bool, issuer: str, env: Env
) -> tuple[frozenset[str], frozenset[str]]:
    """The resources and the scope: what of them the client may have. A scope that is not known is left out."""
    asked, named = asked_scope(form), form.all("resource")
    found = await _resources(named or tuple(sorted(client.audiences)), client, env, must=bool(named))
    apis = [one for one in found if not one.own]
    if asked is None:
        targets = found if named else apis
        if not targets or (len(targets) > 1 and not named):
            TARGET_NAMED.refuse("invalid_target", named=len(targets))
        return _keys(targets), frozenset() if has_details else _default(targets, client)
    allowed = asked & client.scope
    # Who a person is may be asked for beside any resource; the token is for our own only where no other was named.
    own = allowed & OWN_SCOPES.keys() if issuer in client.audiences else frozenset[str]()
    scope = own.union(*(allowed & frozenset(one.scopes) for one in found))
    if not scope and not has_details:
        SCOPE_ALLOWED.refuse("invalid_scope", asked=sorted(asked))
    if named:
        return _keys(found), scope
    fitting = [one for one in apis if scope & frozenset(one.scopes)] or (apis if has_details else [])
    if len(fitting) > 1 or not (fitting or own):  # the resource that the scope belongs to (RFC 9068, 3)
        TARGET_NAMED.refuse("invalid_target", named=len(fitting))
    return _keys(fitting) | ({issuer} if own else set()), scope


async def _resources(names: Iterable[str], client: Client, env: Env, *, must: bool) -> list[Resource]:
    found, unique = [], tuple(dict.fromkeys(names))
    if must and len(unique) > RESOURCES_MAX:
        TARGET_NAMED.refuse("invalid_target", named=len(unique))
    for name in unique:
        resource = await env.store.read(Resource, name) if name in client.audiences else None
        if resource is not None and resource.disabled_at is None:
            found.append(resource)
        elif must:
            TARGET_KNOWN.refuse("invalid_target", audience=name[:200])
    return found


def _keys(resources: Iterable[Resource]) -> frozenset[str]:
    return frozenset(one.key for one in resources)


def _default(resources: list[Resource], client: Client) -> frozenset[str]:
    scope = frozenset(name for one in resources for name in (one.default_scope or one.scopes)) & client.scope
    if not scope:
        SCOPE_ALLOWED.refuse("invalid_scope")
    return scope
