"""A certificate as client authentication (RFC 8705): issued by an authority that is trusted here, or pinned itself."""

import hmac
import ipaddress
from collections.abc import Callable
from typing import Final

from cryptography import x509

from deputize.core.ports import Add, Env
from deputize.core.rules import Rule
from deputize.core.values import Instant, Issuer
from deputize.core.wire import Form, Inbound, Malformed
from deputize.jose.x509 import Roots, certificate, thumbprint
from deputize.oauth.client import Client
from deputize.oauth.login import Claim, Method

CA_ISSUED: Final = "tls_client_auth"
SELF_SIGNED: Final = "self_signed_tls_client_auth"

NAMES: Final = (CA_ISSUED, SELF_SIGNED)

SUBJECT = Rule(
    "RFC 8705", "2.1", "The certificate was issued by a trusted authority and names the client's one subject."
)
PINNED = Rule("RFC 8705", "2.2", "The certificate is one that the client registered, and in its time.")


def method(roots: Roots | None) -> Method:
    """The row, with the authorities that it trusts; it serves the self-signed method, too."""

    def claims(request: Inbound, form: Form) -> Claim | None:
        other = {"client_assertion", "client_assertion_type", "client_secret"} & set(form.fields)
        if request.certificate is None or other or request.headers.all("authorization"):
            return None  # a certificate alone says nothing: other methods run over mutual TLS too
        name = form.get("client_id")
        return None if name is None else Claim(name, request.certificate)

    async def verify(shown: bytes, request: Inbound, client: Client, _: Issuer, env: Env) -> tuple[Add, ...]:
        now = env.clock()
        if client.auth_method == SELF_SIGNED:
            _hold_pinned(shown, client, now)
        else:
            _hold_issued((shown, *request.chain), client, roots, now)
        return ()

    return Method(CA_ISSUED, claims, verify, also=(SELF_SIGNED,))


def _hold_pinned(shown: bytes, client: Client, now: Instant) -> None:
    known = thumbprint(shown)
    same = [hmac.compare_digest(known, pinned) for pinned in client.certificates]
    try:
        one = certificate(shown)
        current = one.not_valid_before_utc.timestamp() <= now < one.not_valid_after_utc.timestamp()
    except Malformed:
        current = False
    if not any(same) or not current:
        PINNED.refuse("invalid_client")


def _hold_issued(chain: tuple[bytes, ...], client: Client, roots: Roots | None, now: Instant) -> None:
    if roots is None:
        SUBJECT.refuse("invalid_client")
    verified = roots.verify(chain, now, error="invalid_client")  # first: so it says the same of an unknown client
    if client.certificate_subject is None or not names(verified.leaf, client.certificate_subject):
        SUBJECT.refuse("invalid_client")


def names(leaf: x509.Certificate, subject: str) -> bool:
    """Whether a certificate names this subject.

    It is written as `san_dns:…`, `san_uri:…`, `san_ip:…`, `san_email:…` or `subject_dn:…` (RFC 4514), as the
    registration parameters of RFC 8705, 2.1.2 are called.
    """
    kind, _, wanted = subject.partition(":")
    try:
        if kind == "subject_dn":
            return x509.Name.from_rfc4514_string(wanted) == leaf.subject
        told = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return kind in _SANS and _SANS[kind](told, wanted)
    except (x509.ExtensionNotFound, ValueError):
        return False


_SANS: Final[dict[str, Callable[[x509.SubjectAlternativeName, str], bool]]] = {
    "san_dns": lambda told, name: name.lower() in map(str.lower, told.get_values_for_type(x509.DNSName)),
    "san_uri": lambda told, name: name in told.get_values_for_type(x509.UniformResourceIdentifier),
    "san_email": lambda told, name: name in told.get_values_for_type(x509.RFC822Name),
    "san_ip": lambda told, name: ipaddress.ip_address(name) in told.get_values_for_type(x509.IPAddress),
}
