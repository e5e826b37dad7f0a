"""What a verifier asks of a wallet (OpenID4VP 1.0, 5): the request, as it is written, and as a wallet reads it."""

import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from deputize.core.rules import Rule
from deputize.core.values import Instant, Seconds, WebUrl
from deputize.core.wire import JsonObject, Malformed, b64u, b64u_bytes, json_bytes, json_object
from deputize.jose import jwe, jwt
from deputize.jose.algorithms import ALL
from deputize.jose.keys import PrivateKey, ec_public
from deputize.vc import dcql
from deputize.vc.client_ids import Trust, held_place, prefix_of, signer
from deputize.vc.dcql import FORMAT, Query
from deputize.vc.presented import HEADER_MAX, NONCE_MAX
from deputize.vc.sdjwt import BYTES_MAX, HASHES, digest

TYP: Final = "oauth-authz-req+jwt"
SELF_ISSUED: Final = "https://self-issued.me/v2"
DIRECT_POST: Final = "direct_post"
DIRECT_POST_JWT: Final = "direct_post.jwt"
MODES: Final = frozenset({DIRECT_POST, DIRECT_POST_JWT})
DEFAULT_ENC: Final = "A128GCM"
TRANSACTIONS_MAX: Final = 8
_VERIFIERS_TEXT: Final = re.compile(r"[A-Za-z0-9._~-]+")

_SPEC: Final = "OpenID4VP 1.0"
VP_TOKEN = Rule(_SPEC, "5.6", "The response type is vp_token: no other is answered here.")
ANSWERED_DIRECTLY = Rule(
    _SPEC, "8.2", "The answer is posted to a response_uri (direct_post, direct_post.jwt), and there is no redirect_uri."
)
NONCE = Rule(_SPEC, "5.2", "A request has a nonce, fresh and not to be guessed, of letters that a URL may have.")
STATE = Rule(
    _SPEC,
    "5.3",
    "A request has a state where a presentation may be without its holder's signature; of a URL's letters.",
)
ONE_QUERY = Rule(_SPEC, "5.1", "What is asked for is a dcql_query, and no scope that stands for one.")
SAME_NAME = Rule(_SPEC, "5.10", "The client_id in a request object is that of the request that led to it.")
OUR_WALLET_NONCE = Rule(_SPEC, "5.10", "A request object that was asked for with a wallet_nonce has it in it.")
FORMATS = Rule(_SPEC, "11.1", "Where the verifier says which formats it takes, dc+sd-jwt is among them.")
ENCRYPTABLE = Rule(
    _SPEC,
    "8.3",
    "For an answer that is to be encrypted, there is a key (ECDH-ES on P-256) and an encryption known here.",
)
TRANSACTION = Rule(
    _SPEC,
    "5.1",
    "Transaction data are of a type that this wallet knows, with the fields of that type, for bound credentials.",
)
TRANSACTION_HASH = Rule(_SPEC, "B.3.3", "The hash over transaction data is sha-256, sha-384 or sha-512.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """Transaction data: `text` as it was received, for the hash is over that; what it says; whom it is tied to."""

    text: str
    type: str
    credential_ids: tuple[str, ...]
    hashes: tuple[str, ...]
    said: JsonObject = field(compare=False)

    def hashed(self, name: str) -> str:
        return digest(self.text, HASHES[name])


@dataclass(frozen=True, slots=True, kw_only=True)
class Encryption:
    """How an answer is to be encrypted."""

    jwk: JsonObject
    enc: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentationRequest:
    """What a wallet was asked: by whom, for what, and where the answer goes. Made by `opened` and `unsigned`."""

    client_id: str
    response_uri: str
    nonce: str
    state: str | None
    query: Query
    encryption: Encryption | None = None
    transactions: tuple[Transaction, ...] = ()
    issuer_algs: frozenset[str] = ALL
    holder_algs: frozenset[str] = ALL


Kinds = Mapping[str, frozenset[str]]
"""The types of transaction data that a wallet can show to a person, each with the names of its own fields."""
NO_KINDS: Final[Kinds] = MappingProxyType({})


# --- how a wallet reads it ----------------------------------------------------------------------------------------


def opened(
    compact: str,
    *,
    client_id: str,
    trust: Trust,
    now: Instant,
    kinds: Kinds = NO_KINDS,
    wallet_nonce: str | None = None,
    error: str = "invalid_request",
) -> PresentationRequest:
    """Verify a request object. `client_id` is the one outside; of what else stood there, nothing counts."""
    token, claims = jwt.peek(compact, error, bytes_max=BYTES_MAX, header_max=HEADER_MAX)
    if claims.get("client_id") != client_id:
        SAME_NAME.refuse(error)
    keys = signer(client_id, token, trust, now, error)
    expected = _expected(error)
    jwt.signed(token, keys, expected)
    claims = {name: value for name, value in claims.items() if name != "iss"}  # 5.8: it is ignored
    jwt.check(claims, expected, now)
    if wallet_nonce is not None:
        told = claims.get("wallet_nonce")
        if not isinstance(told, str) or not hmac.compare_digest(told.encode(), wallet_nonce.encode()):
            OUR_WALLET_NONCE.refuse(error)
    return _read(claims, trust, kinds, error, signed=True)


def _expected(error: str) -> jwt.Expectation:
    return jwt.Expectation(
        typ=frozenset({TYP}),
        algs=ALL,
        issuer=None,
        audience=jwt.Among(SELF_ISSUED),
        lifetime_max=None,
        age_max=None,
        needs=frozenset({"client_id", "aud"}),
        error=error,
    )


def unsigned(
    params: Mapping[str, str], *, trust: Trust, kinds: Kinds = NO_KINDS, error: str = "invalid_request"
) -> PresentationRequest:
    """Read a request whose parameters came in a link. Refuses what has to be signed."""
    told: JsonObject = dict(params)
    try:
        for name in ("dcql_query", "client_metadata"):
            if name in told:
                told[name] = json_object(params[name].encode("utf-8", "surrogatepass"))
        if "transaction_data" in told:
            told["transaction_data"] = json_object(
                b'{"all":' + params["transaction_data"].encode("utf-8", "surrogatepass") + b"}"
            )["all"]
    except Malformed as problem:
        ONE_QUERY.refuse(error, problem=str(problem))
    return _read(told, trust, kinds, error, signed=False)


def _read(said: JsonObject, trust: Trust, kinds: Kinds, error: str, *, signed: bool) -> PresentationRequest:
    if said.get("response_type") != "vp_token":
        VP_TOKEN.refuse("unsupported_response_type")
    client_id, response_uri, mode = said.get("client_id"), said.get("response_uri"), said.get("response_mode")
    if mode not in MODES or "redirect_uri" in said or not isinstance(response_uri, str):
        ANSWERED_DIRECTLY.refuse(error)
    try:
        WebUrl(response_uri)
    except ValueError:
        ANSWERED_DIRECTLY.refuse(error)
    if not isinstance(client_id, str):
        SAME_NAME.refuse(error)
    held_place(client_id, response_uri, trust, error, signed=signed)
    nonce, state = said.get("nonce"), said.get("state")
    if not isinstance(nonce, str) or not _VERIFIERS_TEXT.fullmatch(nonce) or len(nonce) > NONCE_MAX:
        NONCE.refuse(error)
    if "dcql_query" not in said or "scope" in said:
        ONE_QUERY.refuse("invalid_scope" if said.keys() & {"dcql_query", "scope"} == {"scope"} else error)
    query = dcql.read(said["dcql_query"], error=error)
    if state is None and not query.all_bound:
        STATE.refuse(error)
    if state is not None and (not isinstance(state, str) or not _VERIFIERS_TEXT.fullmatch(state)):
        STATE.refuse(error)
    metadata = said.get("client_metadata", {})
    if not isinstance(metadata, dict):
        FORMATS.refuse(error)
    issuer_algs, holder_algs = _formats(metadata)
    return PresentationRequest(
        client_id=client_id,
        response_uri=response_uri,
        nonce=nonce,
        state=state,
        query=query,
        encryption=_encryption(metadata, error) if mode == DIRECT_POST_JWT else None,
        transactions=transactions(said.get("transaction_data"), query, kinds),
        issuer_algs=issuer_algs,
        holder_algs=holder_algs,
    )


def _formats(metadata: JsonObject) -> tuple[frozenset[str], frozenset[str]]:
    """The algorithms of credentials and of holders that the verifier takes; all where it does not say."""
    told = metadata.get("vp_formats_supported")
    if told is None:
        return ALL, ALL
    own = told.get(FORMAT) if isinstance(told, dict) else None
    if not isinstance(own, dict):
        FORMATS.refuse("vp_formats_not_supported")
    found = []
    for name in ("sd-jwt_alg_values", "kb-jwt_alg_values"):
        algs = own.get(name)
        found.append(ALL if algs is None else ALL & {alg for alg in algs if isinstance(alg, str)})
    return found[0], found[1]


def _encryption(metadata: JsonObject, error: str) -> Encryption:
    """The first key that can be used; others among them are not looked at (OpenID4VP 1.0, 8.3)."""
    jwks, encs = metadata.get("jwks"), metadata.get("encrypted_response_enc_values_supported", [DEFAULT_ENC])
    keys = jwks.get("keys") if isinstance(jwks, dict) else None
    enc = next((enc for enc in encs if enc in jwe.ENCS), None) if isinstance(encs, list) else None
    usable = [key for key in keys if _is_usable(key)] if isinstance(keys, list) else []
    if enc is None or not usable:
        ENCRYPTABLE.refuse(error)
    return Encryption(jwk=usable[0], enc=enc)


def _is_usable(key: object) -> bool:
    if not isinstance(key, dict) or key.get("alg") != jwe.ALG or key.get("use", "enc") != "enc":
        return False
    try:
        return key.get("crv") == jwe.CURVE and key.get("kty") == "EC" and bool(ec_public(key))
    except ValueError:
        return False


def transactions(said: object, query: Query, kinds: Kinds | None) -> tuple[Transaction, ...]:
    """Read transaction data; None for `kinds` takes every type, as for the verifier who wrote them."""
    if said is None:
        return ()
    if not isinstance(said, list) or not 1 <= len(said) <= TRANSACTIONS_MAX:
        TRANSACTION.refuse("invalid_transaction_data")
    return tuple(_transaction(text, query, kinds) for text in said)


_COMMON: Final = frozenset({"type", "credential_ids", "transaction_data_hashes_alg"})


def _transaction(text: object, query: Query, kinds: Kinds | None) -> Transaction:
    error = "invalid_transaction_data"
    try:
        said = json_object(b64u_bytes(text if isinstance(text, str) else "!"))
    except Malformed:
        TRANSACTION.refuse(error)
    kind, ids, algs = said.get("type"), said.get("credential_ids"), said.get("transaction_data_hashes_alg", [])
    if not isinstance(kind, str) or not isinstance(ids, list) or not ids:
        TRANSACTION.refuse(error)
    if kinds is not None and (kind not in kinds or not said.keys() <= kinds[kind] | _COMMON):
        TRANSACTION.refuse(error, type=kind[:80])
    for name in ids:
        asked = query.of(name) if isinstance(name, str) else None
        if asked is None or not asked.bound:
            TRANSACTION.refuse(error)
    if not isinstance(algs, list) or ("transaction_data_hashes_alg" in said and not any(_known(alg) for alg in algs)):
        TRANSACTION_HASH.refuse(error)
    hashes = tuple(alg for alg in algs if _known(alg))
    return Transaction(text=str(text), type=kind, credential_ids=tuple(ids), hashes=hashes, said=said)


def _known(alg: object) -> bool:
    return isinstance(alg, str) and alg in HASHES


# --- how a verifier writes it -------------------------------------------------------------------------------------


def transaction_text(kind: str, credential_ids: Sequence[str], **said: object) -> str:
    """Transaction data as a request carries them."""
    return b64u(json_bytes({"type": kind, "credential_ids": list(credential_ids), **said}))


def metadata(*, keys: Iterable[JsonObject] = (), encs: Sequence[str] = (), algs: frozenset[str] = ALL) -> JsonObject:
    """What a verifier says of itself in `client_metadata`."""
    values = {"sd-jwt_alg_values": sorted(algs), "kb-jwt_alg_values": sorted(algs)}
    told: JsonObject = {"vp_formats_supported": {FORMAT: values}}
    if keys:
        told["jwks"] = {"keys": list(keys)}
        told["encrypted_response_enc_values_supported"] = list(encs)
    return told


def sealed(
    params: JsonObject,
    key: PrivateKey,
    *,
    now: Instant,
    life: Seconds,
    chain: Sequence[str] = (),
    wallet_nonce: str | None = None,
) -> str:
    """A request object: signed, with the certificates (base64, leaf first) that stand for the client_id."""
    claims: JsonObject = {**params, "aud": SELF_ISSUED, "iat": now, "exp": now + life}
    if wallet_nonce is not None:
        claims["wallet_nonce"] = wallet_nonce
    return jwt.sign(claims, key, typ=TYP, header={"x5c": list(chain)} if chain else None)


def link_to(scheme: str, client_id: str, request_uri: str, *, post: bool = False) -> str:
    """The link to a request object that is fetched."""
    told = {"client_id": client_id, "request_uri": request_uri} | ({"request_uri_method": "post"} if post else {})
    return f"{scheme}://?{urlencode(told)}"


def link_with(scheme: str, params: JsonObject) -> str:
    """The link that holds a request which is not signed."""
    told = {name: value if isinstance(value, str) else json_bytes(value).decode() for name, value in params.items()}
    return f"{scheme}://?{urlencode(told)}"


# --- what a link leads to -----------------------------------------------------------------------------------------

LINK = Rule(_SPEC, "5", "A link to a request has a client_id, and a request_uri or the request itself; nothing twice.")
FETCHED_SO = Rule(
    _SPEC, "5.10", "A request_uri is an https URL, and is fetched by GET or, where it says post, by POST."
)
LINK_MAX: Final = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link as a wallet gets it: where the request object is, or what the parameters are."""

    client_id: str
    request_uri: str | None
    post: bool
    params: Mapping[str, str]


def read_link(text: str, *, error: str = "invalid_request") -> Link:
    """Take a link apart, whatever its scheme: `openid4vp://`, `haip-vp://` or a wallet's own https address."""
    pairs = parse_qsl(urlsplit(text[: LINK_MAX + 1]).query, keep_blank_values=True, max_num_fields=50)
    params = dict(pairs)
    if len(text) > LINK_MAX or len(params) != len(pairs) or not params.get("client_id"):
        LINK.refuse(error)
    uri, method = params.get("request_uri"), params.get("request_uri_method")
    if uri is not None:
        if "request" in params:
            LINK.refuse(error)
        if method not in {None, "get", "post"}:
            FETCHED_SO.refuse("invalid_request_uri_method")
        try:
            WebUrl(uri)
        except ValueError:
            FETCHED_SO.refuse(error)
    elif method is not None:
        FETCHED_SO.refuse(error)
    return Link(client_id=params["client_id"], request_uri=uri, post=method == "post", params=params)


def is_signed(link: Link) -> bool:
    """Whether a link without a request_uri has a request object in it."""
    return "request" in link.params or prefix_of(link.client_id)[0] != "redirect_uri"
