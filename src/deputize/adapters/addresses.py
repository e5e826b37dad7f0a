"""Which addresses and which names of hosts are a stranger's to name: the public internet's, and no others.

The table is our own: `ipaddress.is_global` changes with Python's version, and does not look for an address in another.
"""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

# The IANA special-purpose registries (RFC 6890), whether or not a range is marked there as globally reachable: nobody
# publishes a document from any of these.
_SPECIAL_4: Final = tuple(
    (IPv4Network(network), name)
    for network, name in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private use"),
        ("100.64.0.0/10", "shared by a carrier's customers"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "a cloud's own services"),  # an ordinary address, which Azure keeps for its machines
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private use"),
        ("192.0.0.0/24", "protocol assignments"),
        ("192.0.2.0/24", "documentation"),
        ("192.31.196.0/24", "AS112"),
        ("192.52.193.0/24", "automatic multicast tunnels"),
        ("192.88.99.0/24", "6to4 relays"),
        ("192.168.0.0/16", "private use"),
        ("192.175.48.0/24", "AS112"),
        ("198.18.0.0/15", "benchmarks"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)

# Within 2000::/3, beyond which nothing is public. Ranges that hold an IPv4 address are refused whole: what it leads to
# is for a translator on the way to say, and not for us.
_GLOBAL_6: Final = IPv6Network("2000::/3")
_SPECIAL_6: Final = tuple(
    (IPv6Network(network), name)
    for network, name in (
        ("2001::/32", "Teredo"),
        ("2001::/23", "protocol assignments"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("2620:4f:8000::/48", "AS112"),
        ("3fff::/20", "documentation"),
        # Beyond 2000::/3 these have a name; all else there is refused without one.
        ("::/96", "IPv4-compatible"),
        ("::ffff:0:0:0/96", "IPv4-translated"),
        ("64:ff9b::/96", "NAT64"),
        ("64:ff9b:1::/48", "NAT64"),
        ("100::/64", "discarded"),
        ("5f00::/16", "segment routing"),
        ("fc00::/7", "private use"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)

# RFC 5214, 6.1: an interface identifier 0000:5efe (or 0200:5efe) is followed by an IPv4 address.
_ISATAP: Final = frozenset({0x00005EFE, 0x02005EFE})


def special(text: str) -> str | None:
    """What an address is kept for, in a few words; None for an ordinary public one."""
    if "%" in text:
        return "an address of one link"
    try:
        address = ip_address(text)
    except ValueError:
        return "no address"
    return _special_4(address) if isinstance(address, IPv4Address) else _special_6(address)


def _special_4(address: IPv4Address) -> str | None:
    return next((name for network, name in _SPECIAL_4 if address in network), None)


def _special_6(address: IPv6Address) -> str | None:
    if address.ipv4_mapped is not None:  # the operating system's own way to write an IPv4 address
        return _special_4(address.ipv4_mapped)
    for network, name in _SPECIAL_6:
        if address in network:
            return name
    if address not in _GLOBAL_6:
        return "reserved"
    if (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        return _special_4(IPv4Address(int(address) & 0xFFFFFFFF))
    return None


_LABEL: Final = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")  # what a resolver may read as a part of an IPv4 address
_INSIDE: Final = frozenset(
    {"localhost", "local", "internal", "intranet", "private", "corp", "home", "lan", "arpa", "onion", "alt", "invalid"}
)


def is_public_name(host: str) -> bool:
    """Whether a host, in lower case, is a name in the public DNS as far as it can be seen from the name."""
    labels = host.split(".")
    return (
        len(host) <= 253
        and len(labels) > 1
        and all(_LABEL.fullmatch(label) for label in labels)
        and not _NUMBER.fullmatch(labels[-1])
        and labels[-1] not in _INSIDE
    )
