"""A verifier's side of OpenID4VP: a request is kept, answered once, and collected by the browser that began it."""

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Final

from deputize.core.ports import Env, Record, Replace
from deputize.core.rules import Fault, Rule
from deputize.core.values import Instant, Seconds, Secret
from deputize.core.wire import Form, JsonObject, Malformed, b64u, json_bytes, json_object
from deputize.jose import jwe, jwt
from deputize.jose.jwe import DecryptionKey
from deputize.vc import dcql, matching, requests
from deputize.vc.answers import authorities
from deputize.vc.client_ids import REDIRECT_URI
from deputize.vc.dcql import KEY_IDENTIFIER, Query
from deputize.vc.paths import Node
from deputize.vc.presented import Asked
from deputize.vc.requests import DIRECT_POST, DIRECT_POST_JWT, Transaction
from deputize.vc.sdjwt import DEFAULT_HASH, HASHES, outline
from deputize.vc.verify import Policy, VerifiedCredential, averify

LIFE: Final = Seconds(300)
KEPT_AFTER: Final = Seconds(600)
PRESENTATIONS_MAX: Final = 32
ANSWER_MAX: Final = 256 * 1024
ENCS: Final = ("A128GCM", "A256GCM")

_SPEC: Final = "OpenID4VP 1.0"
KNOWN_REQUEST = Rule(_SPEC, "14.3.2", "An answer, and who looks at it, names a request that was made lately.")
ITS_STATE = Rule(_SPEC, "5.3", "An answer has the state of its request.")
ANSWERED_ONCE = Rule(_SPEC, "14.1", "A request is answered once, and its nonce is good for that answer alone.")
ENCRYPTED = Rule(_SPEC, "8.3.1", "Where the verifier wants an answer that is encrypted, it is.")
VP_TOKEN = Rule(
    _SPEC, "8.1", "A vp_token is an object: for each id of a Credential Query, an array of presentations as texts."
)
TRANSACTION_TIED = Rule(
    _SPEC,
    "B.3.3.1",
    "Each of the transaction data is authorized by one presentation that they name: by the hash over what was sent,"
    " and there is no hash of anything else.",
)
SAME_BROWSER = Rule(_SPEC, "14.2", "What was presented is shown to the browser that began, and to no other.")
RESPONSE_CODE = Rule(
    _SPEC, "13.3", "On one device, the browser comes back with the response_code that the wallet was given; once."
)
PRESENTED = Rule(_SPEC, "8.2", "The wallet has answered, and did not refuse.")
TRUSTED_HERE = Rule(
    _SPEC, "6.1.1", "Of trusted authorities, a query of ours names those alone that can be checked here: aki."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted(Record):
    """A request that a wallet is to answer. `key` names it in addresses, and is no secret.

    `query` is the JSON text of what is asked. `session` is a hash of what the browser that began keeps; `decryption`
    the private key for this answer alone, empty where it is not encrypted. `returns_to` is the page where the browser
    on the same device goes on; empty where the wallet is on another one, and the first browser is told. `shown` is what
    was presented, as JSON; `refused` the code of a wallet that refuses.
    """

    kind: ClassVar[str] = "presentation_request"

    query: str
    client_id: str
    response_uri: str
    nonce: str = field(repr=False)
    state: str = field(repr=False)
    session: str
    lives_until: Instant
    about: str = ""
    decryption: str = field(default="", repr=False)
    transactions: tuple[str, ...] = ()
    returns_to: str = ""
    response_code: str = ""
    answered_at: Instant | None = None
    shown: str = field(default="", repr=False)
    refused: str = ""
    collected_at: Instant | None = None

    @property
    def asked(self) -> Query:
        return dcql.read(json_object(self.query.encode()), error="invalid_request")

    def params(self) -> JsonObject:
        """The parameters of the request."""
        keys = () if not self.decryption else (_key(self).public_jwk(),)
        told: JsonObject = {
            "response_type": "vp_token",
            "response_mode": DIRECT_POST_JWT if self.decryption else DIRECT_POST,
            "client_id": self.client_id,
            "response_uri": self.response_uri,
            "nonce": self.nonce,
            "state": self.state,
            "dcql_query": json_object(self.query.encode()),
            "client_metadata": requests.metadata(keys=keys, encs=ENCS if keys else ()),
        }
        return told | ({"transaction_data": list(self.transactions)} if self.transactions else {})


def _key(wanted: Wanted) -> DecryptionKey:
    return DecryptionKey.from_jwk(json_object(wanted.decryption.encode()))


def _hash(text: str) -> str:
    return b64u(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """Who asks: how its client_id begins, and where wallets answer; `{}` in `response_uri` stands for the request.

    `client_id` ends with `:` where it is `redirect_uri:`, and the response_uri is to be appended.
    """

    client_id: str
    response_uri: str
    policy: Policy
    encrypted: bool = True
    life: Seconds = LIFE


def begin(
    verifier: Verifier,
    query: JsonObject,
    session: Secret,
    env: Env,
    *,
    about: str = "",
    returns_to: str = "",
    transactions: Sequence[str] = (),
) -> Wanted:
    """A request with a nonce, a state and a key of its own; to be kept with `Add` before it goes out."""
    read = dcql.read(query)
    for one in read.credentials:
        if any(authority.type != KEY_IDENTIFIER for authority in one.authorities):
            TRUSTED_HERE.refuse("invalid_request", query=one.id)
    requests.transactions(list(transactions) or None, read, None)
    now, key = env.clock(), env.random(128)
    response_uri = verifier.response_uri.format(key)
    prefixed = verifier.client_id == f"{REDIRECT_URI}:"
    return Wanted(
        key=key,
        query=json_bytes(query).decode(),
        client_id=verifier.client_id + response_uri if prefixed else verifier.client_id,
        response_uri=response_uri,
        nonce=env.random(256),
        state=env.random(256),
        session=_hash(session.reveal()),
        lives_until=Instant(now + verifier.life),
        expires_at=Instant(now + verifier.life + KEPT_AFTER),
        about=about,
        decryption=json_bytes(DecryptionKey.generate().to_jwk()).decode() if verifier.encrypted else "",
        transactions=tuple(transactions),
        returns_to=returns_to.format(key),
    )


async def found(key: str, env: Env) -> Wanted:
    """The request of this name, if a wallet may still fetch it."""
    wanted = await env.store.read(Wanted, key)
    if wanted is None or env.clock() >= wanted.lives_until or wanted.answered_at is not None:
        KNOWN_REQUEST.refuse("invalid_request")
    return wanted


# --- the answer ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedAnswer:
    """A proof: only `hold` makes one. What was presented, by the ids of the query, all of it verified."""

    credentials: Mapping[str, tuple[VerifiedCredential, ...]]


@dataclass(frozen=True, slots=True)
class _Seen:
    """A verified presentation, as a query is held against it."""

    verified: VerifiedCredential

    @property
    def types(self) -> frozenset[str]:
        return self.verified.types

    @property
    def root(self) -> Node:
        return outline(self.verified.shown.issued, self.verified.shown.parts.disclosures)

    @property
    def bound(self) -> bool:
        return self.verified.holder is not None

    @property
    def authorities(self) -> frozenset[str]:
        return authorities(self.verified.shown.header)


async def answered(key: str, form: Form, policy: Policy, env: Env) -> str | None:
    """POST to the response_uri: the answer is verified and kept; where the wallet sends the browser, if anywhere."""
    wanted = await env.store.read(Wanted, key)
    if wanted is None or env.clock() >= wanted.lives_until:
        KNOWN_REQUEST.refuse("invalid_request")
    if wanted.answered_at is not None:
        ANSWERED_ONCE.refuse("invalid_request")
    told = _told(form, wanted)
    if "error" in told:
        after = replace(wanted, refused=str(told["error"])[:80])
    else:
        presented = await hold(told.get("vp_token"), wanted, policy, env)
        after = replace(wanted, shown=_kept(presented))
    code = env.random(256) if wanted.returns_to else ""
    done = replace(after, answered_at=env.clock(), decryption="", response_code=_hash(code) if code else "")
    if not await env.store.commit(Replace(wanted, done)):
        ANSWERED_ONCE.refuse("invalid_request", race=True)
    return f"{wanted.returns_to}?response_code={code}" if code else None


def _told(form: Form, wanted: Wanted) -> JsonObject:
    """The parameters of an answer, out of their envelope, with the state of the request."""
    error = "invalid_request"
    response, told = form.get("response"), JsonObject()
    try:
        if response is not None:
            if not wanted.decryption:
                raise Malformed("nothing that could be opened was asked for")
            keys = (_key(wanted),)
            told = json_object(
                jwe.decrypt(response, keys, encs=frozenset(ENCS), error=error, bytes_max=ANSWER_MAX).plaintext,
                ANSWER_MAX,
            )
        elif "error" in form:
            told = {"error": form.one("error"), "state": form.get("state")}
        elif wanted.decryption:
            ENCRYPTED.refuse(error)
        else:
            token = json_object(form.one("vp_token").encode("utf-8", "surrogatepass"), ANSWER_MAX)
            told = {"vp_token": token, "state": form.get("state")}
    except Malformed as problem:
        VP_TOKEN.refuse(error, problem=str(problem))
    state = told.get("state")
    if not isinstance(state, str) or not hmac.compare_digest(state.encode("utf-8", "replace"), wanted.state.encode()):
        ITS_STATE.refuse(error)
    return told


async def hold(token: object, wanted: Wanted, policy: Policy, env: Env) -> VerifiedAnswer:
    """Hold a vp_token against its request (OpenID4VP 1.0, 8.6): its shape, each presentation, and then the whole.

    One that is bad spoils the answer. Nothing that the wallet may have checked is believed.
    """
    query, error = wanted.asked, policy.error
    shape = _shape(token, error)
    matching.held_shape(query, shape, error)
    verified: dict[str, tuple[VerifiedCredential, ...]] = {}
    for one in query.credentials:
        asked = Asked(audience=wanted.client_id, nonce=wanted.nonce) if one.bound else None
        for text in shape.get(one.id, ()):
            seen = await averify(text, policy, asked=asked, env=env, spends=False)
            verified[one.id] = (*verified.get(one.id, ()), seen)
    seen_as = {name: [_Seen(each) for each in several] for name, several in verified.items()}
    matching.held_whole(query, seen_as, error)
    _held_transactions(requests.transactions(list(wanted.transactions) or None, query, None), verified, error)
    return VerifiedAnswer(credentials=verified)


def _shape(token: object, error: str) -> dict[str, list[str]]:
    if not isinstance(token, dict) or not token:
        VP_TOKEN.refuse(error)
    for several in token.values():
        if not isinstance(several, list) or not several or not all(isinstance(one, str) for one in several):
            VP_TOKEN.refuse(error)
    if sum(map(len, token.values())) > PRESENTATIONS_MAX:
        VP_TOKEN.refuse(error)
    return token


def _held_transactions(
    wanted: Sequence[Transaction], verified: Mapping[str, tuple[VerifiedCredential, ...]], error: str
) -> None:
    """Hold that exactly the transaction data were authorized, each by one presentation that they name."""
    open_ = list(wanted)
    for name, several in verified.items():
        for one in several:
            hashes, alg = _said(one)
            for told in hashes:
                match = next((each for each in open_ if name in each.credential_ids and _is(each, told, alg)), None)
                if match is None:
                    TRANSACTION_TIED.refuse(error, query=name)
                open_.remove(match)
    if open_:
        TRANSACTION_TIED.refuse(error, left=len(open_))


def _said(one: VerifiedCredential) -> tuple[list[object], object]:
    """What a verified Key Binding JWT says of transaction data."""
    if one.holder is None:
        return [], None
    _, claims = jwt.peek(one.shown.parts.binding, "")
    hashes = claims.get("transaction_data_hashes", [])
    return (hashes if isinstance(hashes, list) else [hashes]), claims.get("transaction_data_hashes_alg")


def _is(transaction: Transaction, told: object, alg: object) -> bool:
    if transaction.hashes:
        if alg not in transaction.hashes:
            return False
    elif alg not in {None, DEFAULT_HASH}:
        return False
    name = alg if isinstance(alg, str) and alg in HASHES else DEFAULT_HASH
    return isinstance(told, str) and hmac.compare_digest(
        told.encode("utf-8", "replace"), transaction.hashed(name).encode()
    )


def _kept(presented: VerifiedAnswer) -> str:
    """What of a presentation is kept for who began: issuer, type and the claims that were shown."""
    return json_bytes(
        {
            name: [{"issuer": one.issuer, "vct": one.vct, "claims": one.claims} for one in several]
            for name, several in presented.credentials.items()
        }
    ).decode()


# --- who began looks ----------------------------------------------------------------------------------------------


async def collected(key: str, session: Secret, code: str | None, env: Env) -> JsonObject | None:
    """What was presented, for the browser that began; None while the wallet has not answered.

    Where the wallet is on the same device, the response_code that it brought along has to be there the first time: so
    nobody sees what another person presented to a request that was begun elsewhere.
    """
    wanted = await env.store.read(Wanted, key)
    now = env.clock()
    if wanted is None or (wanted.expires_at or now) <= now:
        KNOWN_REQUEST.refuse("invalid_request")
    if not hmac.compare_digest(wanted.session.encode(), _hash(session.reveal()).encode()):
        SAME_BROWSER.refuse("access_denied")
    if wanted.answered_at is None:
        if now >= wanted.lives_until:
            KNOWN_REQUEST.refuse("invalid_request")
        return None
    brought = hmac.compare_digest(wanted.response_code.encode(), _hash(code or "").encode())
    if wanted.returns_to and wanted.collected_at is None and not brought:
        RESPONSE_CODE.refuse("access_denied")
    if wanted.refused:
        PRESENTED.refuse("access_denied", error=wanted.refused)
    if wanted.collected_at is None and not await env.store.commit(Replace(wanted, replace(wanted, collected_at=now))):
        raise Fault("the answer is looked at in two places at once", retry=True)
    told: JsonObject = json.loads(wanted.shown)
    return told
