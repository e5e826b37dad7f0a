"""A credential request and its answer (OpenID4VCI 1.0, 8 to 11), both ends: what is asked for, and how it goes back."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from deputize.core.rules import Rule
from deputize.core.values import WebUrl
from deputize.core.wire import Inbound, JsonObject, Malformed, json_bytes, json_object
from deputize.jose import jwe
from deputize.jose.jwe import DecryptionKey
from deputize.jose.keys import ec_public

ENCS: Final = ("A128GCM", "A256GCM")
PROOFS_MAX: Final = 64
BYTES_MAX: Final = 256 * 1024
EVENTS: Final = frozenset({"credential_accepted", "credential_failure", "credential_deleted"})
PRE_AUTHORIZED: Final = "urn:ietf:params:oauth:grant-type:pre-authorized_code"
CODE: Final = "authorization_code"
DESCRIPTION_MAX: Final = 300
OFFER_MAX: Final = 32 * 1024

_SPEC: Final = "OpenID4VCI 1.0"
REQUEST = Rule(_SPEC, "8.2", "A credential request is a JSON object, and encrypted where the issuer wants that.")
ONE_IDENTIFIER = Rule(
    _SPEC,
    "8.2",
    "A credential request has a credential_identifier if the token response had any, and else a"
    " credential_configuration_id.",
)
PROOFS = Rule(
    _SPEC,
    "8.2",
    "Where keys are to be proven, there is one type of proofs, jwt, with one or more, and no more than a batch.",
)
ENCRYPTION = Rule(
    _SPEC,
    "8.2",
    "How an answer is to be encrypted is said in a request that is encrypted: by a jwk (ECDH-ES, P-256) and an enc.",
)
ENCRYPTED = Rule(_SPEC, "10", "Where the issuer wants requests and answers to be encrypted, they are.")
NOTIFICATION = Rule(
    _SPEC, "11.1", "A notification has a notification_id, an event that is known, and perhaps plain words."
)
OFFER = Rule(
    _SPEC, "4.1.1", "An offer names its issuer by an https URL, and one or more credential configurations, each once."
)
OFFER_LINK = Rule(_SPEC, "4.1", "A link to an offer has either the offer or the https URL of one.")
OFFER_GRANTS = Rule(
    _SPEC, "4.1.1", "What an offer says of a grant is whole: a pre-authorized code is a text, and a tx_code an object."
)
_ASCII: Final = re.compile(r"[\x20-\x21\x23-\x5B\x5D-\x7E]{1,1000}")


# --- the request --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerKey:
    """The key that an answer is encrypted to."""

    jwk: JsonObject
    enc: str

    def seal(self, told: JsonObject) -> str:
        return jwe.encrypt(json_bytes(told), self.jwk, enc=self.enc)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestKeys:
    """The issuer's keys for requests that are encrypted; `required` refuses those that are not."""

    keys: tuple[DecryptionKey, ...] = ()
    required: bool = False


def request_key(jwk: JsonObject) -> DecryptionKey:
    """A key that opens requests. Raises Malformed."""
    return DecryptionKey.from_jwk(jwk)


def new_request_key() -> JsonObject:
    """A fresh one, private part included."""
    return DecryptionKey.generate().to_jwk()


def body(request: Inbound, keys: RequestKeys, error: str = "invalid_credential_request") -> tuple[JsonObject, bool]:
    """The JSON of a request, and whether it was encrypted."""
    kind = (request.headers.one("content-type") or "").partition(";")[0].strip().lower()
    try:
        if kind == "application/json":
            if keys.required:
                ENCRYPTED.refuse("invalid_encryption_parameters")
            return json_object(request.body), False
        if kind == "application/jwt" and keys.keys:
            compact = request.body.decode("ascii", "replace").strip()
            opened = jwe.decrypt(compact, keys.keys, encs=frozenset(ENCS), error="invalid_encryption_parameters")
            return json_object(opened.plaintext), True
    except Malformed as problem:
        REQUEST.refuse(error, problem=str(problem))
    REQUEST.refuse(error, content_type=kind[:80])


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialRequest:
    """What a wallet asks for, by one name or the other; with which proofs, and how the answer is to come."""

    identifier: str | None
    configuration: str | None
    proofs: tuple[str, ...]
    answer_key: AnswerKey | None


def read(said: JsonObject, *, encrypted: bool, identified: bool, batch: int) -> CredentialRequest:
    """Read a credential request. `identified`: the token names datasets; `batch` is how many proofs there may be."""
    identifier, configuration = said.get("credential_identifier"), said.get("credential_configuration_id")
    wanted, other = (identifier, configuration) if identified else (configuration, identifier)
    if not isinstance(wanted, str) or not wanted or other is not None:
        ONE_IDENTIFIER.refuse("invalid_credential_request", identified=identified)
    return CredentialRequest(
        identifier=wanted if identified else None,
        configuration=None if identified else wanted,
        proofs=_proofs(said, batch),
        answer_key=answer_key(said, encrypted=encrypted),
    )


def _proofs(said: JsonObject, batch: int) -> tuple[str, ...]:
    told = said.get("proofs")
    if told is None or "proof" in said:  # the singular is of a draft
        PROOFS.refuse("invalid_proof")
    several = told.get("jwt") if isinstance(told, dict) and len(told) == 1 else None
    if not isinstance(several, list) or not 1 <= len(several) <= batch:
        PROOFS.refuse("invalid_proof")
    if not all(isinstance(one, str) for one in several):
        PROOFS.refuse("invalid_proof")
    return tuple(several)


def answer_key(said: JsonObject, *, encrypted: bool) -> AnswerKey | None:
    """How the answer is to be encrypted, if it is. A key in a request that anybody could alter is nobody's."""
    told, error = said.get("credential_response_encryption"), "invalid_encryption_parameters"
    if told is None:
        return None
    if not encrypted or not isinstance(told, dict):
        ENCRYPTION.refuse(error)
    jwk, enc = told.get("jwk"), told.get("enc")
    if enc not in ENCS or "zip" in told or not isinstance(jwk, dict) or jwk.get("alg") != jwe.ALG:
        ENCRYPTION.refuse(error)
    try:
        if jwk.get("crv") != jwe.CURVE or "d" in jwk or jwk.get("use", "enc") != "enc":
            raise Malformed("not a public key on P-256 to encrypt to")
        ec_public(jwk)
    except ValueError:
        ENCRYPTION.refuse(error)
    return AnswerKey(jwk=jwk, enc=enc)


def notification(said: JsonObject) -> tuple[str, str]:
    """The notification_id and the event that a wallet tells."""
    name, event, words = said.get("notification_id"), said.get("event"), said.get("event_description", "-")
    if not isinstance(name, str) or not isinstance(event, str) or event not in EVENTS:
        NOTIFICATION.refuse("invalid_notification_request")
    if not isinstance(words, str) or not _ASCII.fullmatch(words):
        NOTIFICATION.refuse("invalid_notification_request")
    return name, event


# --- the offer ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialOffer:
    """An offer as a wallet reads it. `tx_code` is there where a transaction code is to be typed in."""

    issuer: str
    configurations: tuple[str, ...]
    code: str | None
    tx_code: Mapping[str, object] | None
    issuer_state: str | None
    has_code_flow: bool
    server: str | None


def offer(said: JsonObject, *, error: str = "invalid_request") -> CredentialOffer:
    """Read a Credential Offer. It is not signed: nothing in it is believed but where it leads."""
    issuer, names, grants = (
        said.get("credential_issuer"),
        said.get("credential_configuration_ids"),
        said.get("grants", {}),
    )
    if (
        not isinstance(issuer, str)
        or not isinstance(names, list)
        or not names
        or len(set(map(str, names))) != len(names)
    ):
        OFFER.refuse(error)
    try:
        WebUrl(issuer)
    except ValueError:
        OFFER.refuse(error)
    if not all(isinstance(name, str) and name for name in names):
        OFFER.refuse(error)
    if not isinstance(grants, dict):
        OFFER_GRANTS.refuse(error)
    pre, flow = grants.get(PRE_AUTHORIZED), grants.get(CODE)
    code, tx_code = _pre_authorized(pre, error)
    state = flow.get("issuer_state") if isinstance(flow, dict) else None
    if not isinstance(flow, dict | None) or (state is not None and not (isinstance(state, str) and state.strip())):
        OFFER_GRANTS.refuse(error)
    servers = {one.get("authorization_server") for one in (pre, flow) if isinstance(one, dict)} - {None}
    if len(servers) > 1 or not all(isinstance(one, str) for one in servers):
        OFFER_GRANTS.refuse(error)
    return CredentialOffer(
        issuer=issuer,
        configurations=tuple(names),
        code=code,
        tx_code=tx_code,
        issuer_state=state,
        has_code_flow=flow is not None or not grants,
        server=next(iter(servers), None),
    )


def _pre_authorized(pre: object, error: str) -> tuple[str | None, Mapping[str, object] | None]:
    if pre is None:
        return None, None
    code = pre.get("pre-authorized_code") if isinstance(pre, dict) else None
    tx_code = pre.get("tx_code") if isinstance(pre, dict) else None
    if not isinstance(code, str) or not code.strip() or not isinstance(tx_code, dict | None):
        OFFER_GRANTS.refuse(error)
    words = (tx_code or {}).get("description", "")
    if not isinstance(words, str) or len(words) > DESCRIPTION_MAX:
        OFFER_GRANTS.refuse(error)
    return code, tx_code


def offer_link(scheme: str, said: JsonObject | str) -> str:
    """The link to an offer: the offer itself, or the URL where it lies."""
    by_value = not isinstance(said, str)
    told = ("credential_offer", json_bytes(said).decode()) if by_value else ("credential_offer_uri", str(said))
    return f"{scheme}://?{urlencode([told])}"


def read_offer_link(text: str, *, error: str = "invalid_request") -> CredentialOffer | str:
    """The offer in a link, or the URL of one, to be fetched once a person wants that."""
    pairs = parse_qsl(urlsplit(text[: OFFER_MAX + 1]).query, keep_blank_values=True, max_num_fields=20)
    params = dict(pairs)
    uri = params.get("credential_offer_uri")
    if len(text) > OFFER_MAX or len(params) != len(pairs) or (uri is None) == ("credential_offer" not in params):
        OFFER_LINK.refuse(error)
    try:
        if uri is not None:
            return WebUrl(uri).text
        return offer(json_object(params["credential_offer"].encode("utf-8", "surrogatepass")), error=error)
    except ValueError:
        OFFER_LINK.refuse(error)


def credentials(said: JsonObject) -> Sequence[str]:
    """The credentials in an issuer's answer. Raises Malformed."""
    told = said.get("credentials")
    if not isinstance(told, list) or not told:
        raise Malformed("an answer has credentials")
    found = [one.get("credential") if isinstance(one, dict) else None for one in told]
    if not all(isinstance(one, str) and one for one in found):
        raise Malformed("a credential is a text")
    return [str(one) for one in found]
