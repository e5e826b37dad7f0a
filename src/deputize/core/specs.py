"""Which specifications, in which version, and where in the house: one table."""

from dataclasses import dataclass
from enum import Enum


class Status(Enum):
    """How firm the ground is. Individual drafts and house profiles are off until switched on by name."""

    RFC = "RFC"
    FINAL = "final specification"
    WORKING_GROUP = "working-group draft"
    INDIVIDUAL = "individual draft"
    HOUSE = "house profile"

    @property
    def on_by_default(self) -> bool:
        return self not in {Status.INDIVIDUAL, Status.HOUSE}


@dataclass(frozen=True, slots=True)
class Spec:
    """A document: `name` is its name in `[drafts]` of the settings, `modules` where it lives."""

    name: str
    id: str
    title: str
    status: Status
    modules: tuple[str, ...]


SPECS: tuple[Spec, ...] = (
    Spec(
        "oauth2",
        "RFC 6749",
        "The OAuth 2.0 Authorization Framework",
        Status.RFC,
        ("oauth.authorize", "oauth.token_endpoint", "oauth.grants.authorization_code"),
    ),
    Spec("bearer", "RFC 6750", "Bearer Token Usage", Status.RFC, ("oauth.caller", "oauth.challenge")),
    Spec("revocation", "RFC 7009", "Token Revocation", Status.RFC, ("oauth.token_status",)),
    Spec("jws", "RFC 7515", "JSON Web Signature", Status.RFC, ("jose.jws",)),
    Spec("jwk", "RFC 7517", "JSON Web Key", Status.RFC, ("jose.keys",)),
    Spec("jwa", "RFC 7518", "JSON Web Algorithms", Status.RFC, ("jose.algorithms",)),
    Spec("jwt", "RFC 7519", "JSON Web Token", Status.RFC, ("jose.jwt",)),
    Spec("assertions", "RFC 7523", "JWT Profile for Client Authentication", Status.RFC, ("oauth.assertion",)),
    Spec(
        "registration",
        "RFC 7591",
        "Dynamic Client Registration",
        Status.RFC,
        ("oauth.registering", "oauth.registration", "oauth.newcomers"),
    ),
    Spec("registration-management", "RFC 7592", "Registration Management", Status.RFC, ("oauth.registration",)),
    Spec("pkce", "RFC 7636", "Proof Key for Code Exchange", Status.RFC, ("oauth.grants.authorization_code",)),
    Spec("native-apps", "RFC 8252", "OAuth 2.0 for Native Apps", Status.RFC, ("oauth.redirects",)),
    Spec("jar", "RFC 9101", "JWT-Secured Authorization Request", Status.RFC, ("oauth.request_object",)),
    Spec("par", "RFC 9126", "Pushed Authorization Requests", Status.RFC, ("oauth.begun",)),
    Spec("iss-parameter", "RFC 9207", "Issuer Identification in Responses", Status.RFC, ("oauth.authorize",)),
    Spec("thumbprint", "RFC 7638", "JWK Thumbprint", Status.RFC, ("jose.keys",)),
    Spec("introspection", "RFC 7662", "Token Introspection", Status.RFC, ("oauth.token_status",)),
    Spec("as-metadata", "RFC 8414", "Authorization Server Metadata", Status.RFC, ("oauth.metadata",)),
    Spec("token-exchange", "RFC 8693", "Token Exchange", Status.RFC, ("oauth.grants.token_exchange",)),
    Spec("resource-indicators", "RFC 8707", "Resource Indicators", Status.RFC, ("oauth.authority",)),
    Spec(
        "device-flow",
        "RFC 8628",
        "Device Authorization Grant",
        Status.RFC,
        ("oauth.device", "oauth.grants.device_code", "server.device"),
    ),
    Spec(
        "cross-device",
        "RFC 10027",
        "Best Current Practice for Security of Cross-Device Flows",
        Status.RFC,
        ("oauth.device", "oauth.grants.device_code"),
    ),
    Spec("jwt-access-token", "RFC 9068", "JWT Profile for Access Tokens", Status.RFC, ("oauth.tokens", "oauth.caller")),
    Spec("mtls", "RFC 8705", "OAuth 2.0 Mutual-TLS", Status.RFC, ("oauth.client_auth.mtls", "oauth.certificate")),
    Spec("client-cert", "RFC 9440", "Client-Cert HTTP Header Field", Status.RFC, ("oauth.certificate",)),
    Spec("signed-introspection", "RFC 9701", "JWT Response for Introspection", Status.RFC, ("oauth.token_status",)),
    Spec("security-bcp", "RFC 9700", "OAuth 2.0 Security Best Current Practice", Status.RFC, ("oauth.families",)),
    Spec("rar", "RFC 9396", "Rich Authorization Requests", Status.RFC, ("oauth.details",)),
    Spec("dpop", "RFC 9449", "Demonstrating Proof of Possession", Status.RFC, ("oauth.dpop",)),
    Spec("digest-fields", "RFC 9530", "Digest Fields", Status.RFC, ("oauth.details",)),
    Spec("sd-jwt", "RFC 9901", "Selective Disclosure for JWTs", Status.RFC, ("vc.sdjwt", "vc.issue", "vc.presented")),
    Spec("resource-metadata", "RFC 9728", "Protected Resource Metadata", Status.RFC, ("oauth.metadata",)),
    Spec("fully-specified", "RFC 9864", "Fully-Specified Algorithms", Status.RFC, ("jose.algorithms",)),
    Spec(
        "openid",
        "OpenID Connect Core 1.0",
        "OpenID Connect, the code flow",
        Status.FINAL,
        ("oauth.requested", "oauth.authorize", "oauth.tokens", "oauth.userinfo", "oauth.upstream"),
    ),
    Spec(
        "openid4vp",
        "OpenID4VP 1.0",
        "OpenID for Verifiable Presentations",
        Status.FINAL,
        ("vc.dcql", "vc.matching", "vc.client_ids", "vc.requests", "vc.answers", "vc.presentations"),
    ),
    Spec(
        "openid4vci",
        "OpenID4VCI 1.0",
        "OpenID for Verifiable Credential Issuance",
        Status.FINAL,
        ("oauth.offers", "oauth.grants.pre_authorized_code", "vc.proofs", "vc.issuance", "server.issuing"),
    ),
    Spec(
        "rp-initiated-logout",
        "OpenID Connect RP-Initiated Logout 1.0",
        "RP-Initiated Logout",
        Status.FINAL,
        ("oauth.end_session", "server.leaving"),
    ),
    Spec(
        "back-channel-logout",
        "OpenID Connect Back-Channel Logout 1.0",
        "Back-Channel Logout, the provider's side",
        Status.FINAL,
        ("oauth.backchannel_logout",),
    ),
    Spec("form-post", "OAuth 2.0 Form Post Response Mode", "Form Post", Status.FINAL, ("server.authorizing",)),
    Spec(
        "fapi2",
        "FAPI 2.0 Security Profile",
        "FAPI 2.0, the server's part",
        Status.FINAL,
        ("oauth.fapi2", "oauth.server"),
    ),
    Spec(
        "fapi2-message-signing",
        "FAPI 2.0 Message Signing",
        "Signed requests, answers and introspection",
        Status.FINAL,
        ("oauth.request_object", "oauth.authorize", "oauth.token_status"),
    ),
    Spec("jarm", "JARM", "JWT Secured Authorization Response Mode", Status.FINAL, ("oauth.authorize",)),
    Spec(
        "ciba",
        "OpenID CIBA Core 1.0",
        "Client-Initiated Backchannel Authentication",
        Status.FINAL,
        ("oauth.grants.ciba",),
    ),
    Spec(
        "client-id-metadata-document",
        "draft-ietf-oauth-client-id-metadata-document-03",
        "OAuth Client ID Metadata Document",
        Status.WORKING_GROUP,
        ("oauth.client_document", "oauth.clients.document"),
    ),
    Spec(
        "rfc7523bis",
        "draft-ietf-oauth-rfc7523bis-11",
        "Updates to JWT Client Authentication and Assertion-Based Grants",
        Status.WORKING_GROUP,
        ("oauth.assertion", "oauth.client_auth.private_key_jwt"),
    ),
    Spec(
        "sd-jwt-vc",
        "draft-ietf-oauth-sd-jwt-vc-19",
        "SD-JWT-based Verifiable Digital Credentials",
        Status.WORKING_GROUP,
        ("vc.credential", "vc.issuer_keys", "vc.type_metadata", "vc.verify"),
    ),
    Spec(
        "jwt-bcp",
        "draft-ietf-oauth-rfc8725bis-10",
        "JSON Web Token Best Current Practices",
        Status.WORKING_GROUP,
        ("jose.jws", "jose.jwt", "jose.keys"),
    ),
    Spec(
        "status-list",
        "draft-ietf-oauth-status-list-21",
        "Token Status List",
        Status.WORKING_GROUP,
        ("vc.status_list", "vc.status_token", "vc.status_check", "oauth.statuses", "server.status"),
    ),
    Spec(
        "txn-challenge",
        "draft-rosomakho-oauth-txn-challenge-00",
        "Transaction Authorization Challenge",
        Status.INDIVIDUAL,
        ("oauth.grants.transaction", "oauth.challenge"),
    ),
    Spec(
        "agent-mandate",
        "Deputize agent-mandate",
        "A credential that says who deputized which agent for what, and is taken back through a status list",
        Status.HOUSE,
        ("oauth.mandates", "server.mandates"),
    ),
    Spec(
        "did-issuers",
        "Deputize did-issuers",
        "Issuers of credentials that are known by did:jwk, did:key and did:web",
        Status.HOUSE,
        ("vc.dids",),
    ),
    Spec(
        "call-bound",
        "Deputize http_call",
        "An authorization detail that fits one HTTP call: method, URL and digest of the body",
        Status.HOUSE,
        ("oauth.details",),
    ),
)
