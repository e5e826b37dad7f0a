"""What the credential issuer says of itself (OpenID4VCI 1.0, 12.2): made from the table, signed for those who ask."""

from typing import Final

from deputize.core.values import Instant
from deputize.core.wire import JsonObject
from deputize.jose import jwt
from deputize.jose.algorithms import ALL
from deputize.server.credentials import Credentials, Issued
from deputize.vc.issuance import ENCS

WELL_KNOWN: Final = "/.well-known/openid-credential-issuer"
JWT_VC_ISSUER: Final = "/.well-known/jwt-vc-issuer"
TYP: Final = "openidvci-issuer-metadata+jwt"
LIFE: Final = 24 * 3600
HAIP_ALGS: Final = ("ES256",)


def of_issuer(credentials: Credentials) -> JsonObject:
    """The document: only what the table holds."""
    settings, name = credentials.settings, credentials.name
    told: JsonObject = {
        "credential_issuer": name,
        "authorization_servers": [credentials.issuer.text],
        "credential_endpoint": f"{name}/credential",
        "nonce_endpoint": f"{name}/nonce",
        "deferred_credential_endpoint": f"{name}/deferred",
        "notification_endpoint": f"{name}/notification",
        "credential_configurations_supported": {
            key: _configuration(one, haip=settings.haip) for key, one in settings.issued.items()
        },
    }
    if settings.batch > 1:
        told["batch_credential_issuance"] = {"batch_size": settings.batch}
    if credentials.requests.keys:
        keys = [key.public_jwk() for key in credentials.requests.keys]
        both = {"enc_values_supported": list(ENCS), "encryption_required": credentials.requests.required}
        told["credential_request_encryption"] = {"jwks": {"keys": keys}, **both}
        told["credential_response_encryption"] = {"alg_values_supported": ["ECDH-ES"], **both}
    return told


def _configuration(one: Issued, *, haip: bool) -> JsonObject:
    algs = list(HAIP_ALGS) if haip else sorted(ALL)
    claims = [{"path": [None if step == "*" else step for step in path.split(".")]} for path in one.hides]
    shown: JsonObject = {"display": [{"name": one.name}]} if one.name else {}
    if claims:
        shown["claims"] = claims
    told: JsonObject = {
        "format": "dc+sd-jwt",
        "vct": one.vct,
        "cryptographic_binding_methods_supported": ["jwk"],
        "credential_signing_alg_values_supported": algs,
        "proof_types_supported": {"jwt": {"proof_signing_alg_values_supported": algs}},
    }
    if one.scope:
        told["scope"] = one.scope
    return told | ({"credential_metadata": shown} if shown else {})


def signed(said: JsonObject, credentials: Credentials, now: Instant) -> str:
    """The document as a JWT, by the key of the certificate that goes along."""
    if credentials.certified is None:
        raise ValueError("nothing to sign with")
    claims: JsonObject = {**said, "iss": credentials.name, "sub": credentials.name, "iat": now, "exp": now + LIFE}
    return jwt.sign(claims, credentials.certified.key, typ=TYP, header={"x5c": credentials.certified.x5c})
