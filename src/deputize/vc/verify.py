"""A policy and a presentation in, a `VerifiedCredential` out: whose credentials of which types a verifier takes."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar, Final

from deputize.core.ports import Add, Env, Record
from deputize.core.rules import Fault, Refusal, Rule
from deputize.core.values import Instant
from deputize.core.wire import JsonObject
from deputize.jose.algorithms import ALL
from deputize.jose.jwt import SKEW, Expectation
from deputize.jose.keys import KeySet, PublicKey
from deputize.vc.credential import LEGACY_TYP, TYP, held_protected, held_types
from deputize.vc.issuer_keys import Found, Way
from deputize.vc.presented import Asked, Opened, VerifiedSdJwt, open_sd_jwt, verify_opened
from deputize.vc.sdjwt import DEFAULT_HASH, HASHES, all_shown, digest, outline
from deputize.vc.status_check import Keys, StatusLists, hold
from deputize.vc.status_list import INFLATED_MAX, reference_in
from deputize.vc.status_token import Expected, Form, Unverified, parse
from deputize.vc.status_token import verify as verify_list
from deputize.vc.type_metadata import Catalogue, TypeMetadata, hold_claims

_SPEC: Final = "draft-ietf-oauth-sd-jwt-vc"
TRUSTED_ISSUER = Rule(_SPEC, "Issuer Authorization", "The issuer is one that this verifier trusts.")
TRUSTED_TYPE = Rule(
    _SPEC, "Issuer Authorization", "The credential is of a type that this verifier takes from this issuer."
)
NONCE_ONCE = Rule("RFC 9901", "9.5", "A nonce is good for one presentation.")
STATUS_LOOKED_AT = Rule(_SPEC, "Verification and Processing", "The status that a credential names is looked at.")

StatusCheck = Callable[[Mapping[str, object], str, Env], Awaitable[None]]
"""Looks at the `status` claim of a credential of an issuer: returns if it is good, refuses if it is not."""


async def status_ignored(status: Mapping[str, object], issuer: str, env: Env) -> None:
    """The check of a verifier that does not care whether a credential was revoked."""
    del status, issuer, env


def status_in(lists: StatusLists, keys: Keys) -> StatusCheck:
    """The check of a verifier that looks into Token Status Lists; `keys` says whose signature a list has."""

    async def check(status: Mapping[str, object], issuer: str, env: Env) -> None:
        del issuer
        reference = reference_in({"status": status}, error=lists.error)
        if reference is not None:
            await lists.hold(reference, keys, env)

    return check


def status_of_issuer(lists: StatusLists, way: Way) -> StatusCheck:
    """The check of a verifier that takes a list by the credential's own issuer, whose key is found in the same way."""

    async def check(status: Mapping[str, object], issuer: str, env: Env) -> None:
        keys = partial(_keys_of, way, issuer, env, lists.error)
        await status_in(lists, keys)(status, issuer, env)

    return check


def status_at_hand(token: bytes, way: Way, *, error: str = "invalid_request") -> StatusCheck:
    """The same where the list is at hand, as it was fetched some time ago; taken until its `exp`, in either form."""

    async def check(status: Mapping[str, object], issuer: str, env: Env) -> None:
        reference = reference_in({"status": status}, error=error)
        if reference is not None:
            told = parse(token, Form.of(token), error=error)
            expected = Expected(uri=reference.uri, algs=ALL, at=None, bytes_max=INFLATED_MAX, error=error)
            keys = await _keys_of(way, issuer, env, error, told)
            hold(verify_list(told, keys, expected, env.clock()), reference, error)

    return check


async def _keys_of(way: Way, issuer: str, env: Env, error: str, token: Unverified) -> KeySet:
    """The issuer's key for this list. The way has chosen it for this very token, whatever name the two give it."""
    found = await way.find(token.signed, issuer, env, error)
    return KeySet.of(*(replace(key, kid=token.signed.kid or "") for key in found.keys))


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedIssuer:
    """What a verifier takes from one issuer, and how it finds that issuer's keys.

    `issuer` is the `iss`, letter for letter; None is whoever a certificate names under the roots of `keys`. `types`
    are those that it may issue. `needs` are claims that have to be shown. `status` looks at the status of a
    credential that has one; None refuses it, for nobody would.
    """

    issuer: str | None
    keys: Way
    types: frozenset[str]
    algs: frozenset[str] = ALL
    needs: frozenset[str] = frozenset()
    status: StatusCheck | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Whose credentials a verifier takes. `error` is the code of its refusals.

    `catalogue`, if there is one, has the metadata of all types that are taken: a credential of another is not.
    `legacy_typ` also takes `vc+sd-jwt`, the typ before November 2024.
    """

    issuers: tuple[TrustedIssuer, ...]
    catalogue: Catalogue | None = None
    legacy_typ: bool = False
    error: str = "invalid_request"
    _rows: dict[str | None, tuple[tuple[TrustedIssuer, Expectation], ...]] = field(
        init=False, repr=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        for trusted in self.issuers:
            if trusted.issuer is not None and trusted.issuer in self._rows:
                raise ValueError("one way for one issuer: it is named twice")
            if trusted.issuer is None and not trusted.keys.vouches:
                raise ValueError("issuers without a name here are told by certificates that name them")
            self._rows[trusted.issuer] = (*self._rows.get(trusted.issuer, ()), (trusted, self._expected(trusted)))

    def _expected(self, trusted: TrustedIssuer) -> Expectation:
        return Expectation(
            typ=frozenset({TYP, LEGACY_TYP} if self.legacy_typ else {TYP}),
            algs=trusted.algs,
            issuer=None,  # the keys are that issuer's; or the certificate says who
            audience=None,
            lifetime_max=None,
            age_max=None,
            needs=trusted.needs | {"vct"},
            error=self.error,
        )

    def rows(self, iss: str | None) -> tuple[tuple[TrustedIssuer, Expectation], ...]:
        """What this issuer may do: its own row and no other, or those for whoever a certificate names."""
        return self._rows.get(iss) or self._rows.get(None, ())


@dataclass(frozen=True, slots=True)
class VerifiedCredential:
    """A proof: only this module makes one. A credential that the policy takes, as far as it was shown.

    `types` are its `vct` and all that it stands for by `aka_vcts` and by the types that its own extends. `holder` is
    the key that signed for this presentation; None where no key binding was asked for. `metadata` is what its type
    says, where the policy has a catalogue.
    """

    issuer: str
    vct: str
    types: frozenset[str]
    claims: JsonObject
    holder: PublicKey | None
    metadata: TypeMetadata | None
    shown: VerifiedSdJwt


@dataclass(frozen=True, slots=True, kw_only=True)
class NonceSpent(Record):
    """A nonce with which somebody presented something: it is good for nothing more."""

    kind: ClassVar[str] = "presentation_nonce"


@dataclass(frozen=True, slots=True)
class _Row:
    """What was found before anything is held."""

    trusted: TrustedIssuer
    expected: Expectation
    found: Found


def verify(text: str, policy: Policy, *, asked: Asked | None, now: Instant, holder: bool = False) -> VerifiedCredential:
    """Verify a credential with what is at hand: nobody is asked.

    `asked` is what the holder was asked to sign; None takes a credential that is not bound to a presentation, and no
    other. `holder`: the one who was issued it looks at it, and all of it is there. Raises Fault where keys, types or
    a status would have to be fetched: `averify` does.
    """
    opened = open_sd_jwt(text, asked, policy.error)
    row = _at_hand(opened, policy, now)
    if row is None:
        raise Fault("the issuer's keys are not at hand: averify fetches them")
    shown = verify_opened(opened, row.found.keys, row.expected, asked, now)
    said = _types(shown, policy)
    metadata = None
    if policy.catalogue is not None:
        metadata = policy.catalogue.at_hand(*_named(shown), now, policy.error)
        if metadata is None:
            raise Fault("the type's metadata is not at hand: averify fetches it")
    if "status" in shown.claims and _check_of(row.trusted, policy) is not status_ignored:
        raise Fault("the status is not at hand: averify looks at it")
    return _held(shown, row, said, metadata, policy, holder=holder)


async def averify(
    text: str, policy: Policy, *, asked: Asked | None, env: Env, holder: bool = False, spends: bool = True
) -> VerifiedCredential:
    """Verify a credential, and fetch for that what the policy allows: keys, types, a status. See `verify`.

    The nonce of a presentation that is good is spent in the store: the same is not taken again. Where it is one of
    several that answer one request, `spends` is False, and the caller sees to it that the request is answered once.
    """
    now = env.clock()
    opened = open_sd_jwt(text, asked, policy.error)
    row = _at_hand(opened, policy, now) or await _find(opened, policy, env)
    shown = verify_opened(opened, row.found.keys, row.expected, asked, now)
    said = _types(shown, policy)
    metadata = None
    if policy.catalogue is not None:
        metadata = await policy.catalogue.find(*_named(shown), env, policy.error)
    verified = _held(shown, row, said, metadata, policy, holder=holder)
    if "status" in shown.claims:  # of a credential that is good in all else, and of no other
        status = shown.claims["status"]
        if not isinstance(status, dict):
            STATUS_LOOKED_AT.refuse(policy.error)
        await _check_of(row.trusted, policy)(status, row.found.issuer, env)
    if asked is not None and spends:
        key = digest(f"{asked.nonce} {asked.audience}", HASHES[DEFAULT_HASH])
        spent = NonceSpent(key=key, expires_at=Instant(now + asked.age_max + 2 * SKEW))
        if not await env.store.commit(Add(spent)):
            NONCE_ONCE.refuse(policy.error)
    return verified


def _iss(opened: Opened, policy: Policy) -> str | None:
    iss = opened.payload.get("iss")
    if not isinstance(iss, str | None):
        TRUSTED_ISSUER.refuse(policy.error)
    return iss


def _at_hand(opened: Opened, policy: Policy, now: Instant) -> _Row | None:
    iss = _iss(opened, policy)
    rows = policy.rows(iss)
    if not rows:
        TRUSTED_ISSUER.refuse(policy.error, iss=str(iss)[:200])
    refused: Refusal | None = None
    for trusted, expected in rows:
        try:
            found = trusted.keys.at_hand(opened.token, iss, now, policy.error)
        except Refusal as refusal:
            refused = refusal
        else:
            return None if found is None else _Row(trusted, expected, found)
    if refused is None:
        raise AssertionError
    raise refused


async def _find(opened: Opened, policy: Policy, env: Env) -> _Row:
    """Ask for the keys of an issuer that has a row of its own: nobody is asked because a stranger named him."""
    iss = _iss(opened, policy)
    trusted, expected = policy.rows(iss)[0]
    return _Row(trusted, expected, await trusted.keys.find(opened.token, iss, env, policy.error))


def _types(shown: VerifiedSdJwt, policy: Policy) -> frozenset[str]:
    held_protected(shown.issued, shown.claims, policy.error)
    return held_types(shown.claims, policy.error)


def _named(shown: VerifiedSdJwt) -> tuple[str, str | None]:
    integrity = shown.claims.get("vct#integrity")
    return str(shown.claims["vct"]), integrity if isinstance(integrity, str) else None


def _check_of(trusted: TrustedIssuer, policy: Policy) -> StatusCheck:
    if trusted.status is None:
        STATUS_LOOKED_AT.refuse(policy.error)
    return trusted.status


def _held(
    shown: VerifiedSdJwt,
    row: _Row,
    said: frozenset[str],
    metadata: TypeMetadata | None,
    policy: Policy,
    *,
    holder: bool,
) -> VerifiedCredential:
    """What is left to hold once everything was gathered."""
    types = said if metadata is None else said.union(metadata.vcts)
    if types.isdisjoint(row.trusted.types):
        TRUSTED_TYPE.refuse(policy.error, issuer=row.found.issuer[:200], types=sorted(types))
    if metadata is not None:
        disclosures = shown.parts.disclosures
        hold_claims(
            metadata.claims,
            outline(shown.issued, disclosures),
            policy.error,
            all_shown=holder or all_shown(shown.issued, disclosures),
        )
    return VerifiedCredential(
        row.found.issuer, str(shown.claims["vct"]), types, shown.claims, shown.holder, metadata, shown
    )
