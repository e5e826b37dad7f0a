"""A client's certificate (RFC 8705): who proves it to us, and what it is as a key.

It comes from our own TLS, or from a proxy in front of us that is trusted by its address (RFC 9440).
"""

import binascii
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from deputize.core.rules import Rule
from deputize.core.wire import Headers
from deputize.jose.x509 import CERTIFICATE_MAX, CHAIN_MAX, thumbprint
from deputize.oauth.binding import BoundKey

CERTIFICATE_SCOPE: Final = "deputize.certificate"  # set by the protocol that ended TLS, as DER

CLIENT_CERT = Rule("RFC 9440", "2.2", "The proxy's Client-Cert and Client-Cert-Chain fields are byte sequences.")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def key_of(certificate: bytes) -> BoundKey:
    """A certificate as the key that a token is bound to: TLS has proven that the sender holds it."""
    return BoundKey(x5t=thumbprint(certificate))


@dataclass(frozen=True, slots=True)
class Edge:
    """What stands in front of this server: the addresses of proxies whose `Client-Cert` is believed (RFC 9440)."""

    proxies: tuple[Network, ...] = ()

    @classmethod
    def of(cls, proxies: Iterable[str]) -> "Edge":
        """From addresses and networks as text. Raises ValueError."""
        return cls(tuple(ipaddress.ip_network(text) for text in proxies))

    def certificates(self, scope: Mapping[str, Any], headers: Headers) -> tuple[bytes, ...]:
        """The certificate that was proven for this request, and its chain; none where nothing was proven.

        What a peer that is no trusted proxy says in these fields is not looked at. The certificate that a trusted proxy
        itself shows is not the client's.
        """
        if not self._trusts(scope.get("client")):
            shown = scope.get(CERTIFICATE_SCOPE)
            return () if shown is None else (shown,)
        leaf = headers.one("client-cert")
        if leaf is None:
            return ()
        chain = headers.one("client-cert-chain")
        between = [] if chain is None else chain.split(",")
        if len(between) >= CHAIN_MAX:
            CLIENT_CERT.refuse("invalid_request", certificates=len(between))
        return (_bytes(leaf), *map(_bytes, between))

    def source(self, scope: Mapping[str, Any], headers: Headers) -> str | None:
        """Whom a trusted proxy speaks for: the last address in X-Forwarded-For that is none of our own proxies.

        None where the peer is no such proxy, or does not say: what others say in this field is not looked at.
        """
        if not self._trusts(scope.get("client")):
            return None
        told = [part.strip() for line in headers.all("x-forwarded-for") for part in line.split(",")]
        return next((one for one in reversed(told) if not self._is_ours(one)), None)

    def _trusts(self, peer: tuple[str, int] | None) -> bool:
        return peer is not None and bool(self.proxies) and self._is_ours(peer[0])

    def _is_ours(self, text: str) -> bool:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return False
        plain = getattr(address, "ipv4_mapped", None) or address  # as a socket for both kinds tells of an IPv4 peer
        return any(plain in network for network in self.proxies)


def _bytes(text: str) -> bytes:
    """A byte sequence (RFC 9651, 3.3.5): base64 between colons."""
    inner = text.strip(" ")
    if len(inner) < 2 or inner[0] != ":" or inner[-1] != ":" or len(inner) > CERTIFICATE_MAX * 4 // 3 + 8:
        CLIENT_CERT.refuse("invalid_request")
    try:
        return binascii.a2b_base64(inner[1:-1].encode("ascii"), strict_mode=True)
    except ValueError:
        CLIENT_CERT.refuse("invalid_request")
