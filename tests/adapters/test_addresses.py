"""A stranger names public addresses and public names; whatever else is written, however it is written, is refused."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deputize.adapters.addresses import is_public_name, special

# The first and the last address of each range (corpus SF-01).
SPECIAL_4 = (
    *("0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255", "100.100.100.200"),
    *("127.0.0.0", "127.0.0.1", "127.255.255.255", "169.254.0.0", "169.254.169.254", "169.254.255.255"),
    *("172.16.0.0", "172.31.255.255", "192.0.0.0", "192.0.0.255", "192.0.2.0", "192.0.2.255"),
    *("192.31.196.0", "192.31.196.255", "192.52.193.0", "192.52.193.255", "192.88.99.0", "192.88.99.255"),
    *("192.168.0.0", "192.168.255.255", "192.175.48.0", "192.175.48.255", "198.18.0.0", "198.19.255.255"),
    *("198.51.100.0", "198.51.100.255", "203.0.113.0", "203.0.113.255", "224.0.0.0", "239.255.255.255"),
    *("240.0.0.0", "255.255.255.255", "168.63.129.16"),
)
PUBLIC_4 = (
    *("1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0"),
    *("169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.0.3.0", "192.167.255.255"),
    *("192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255", "93.184.216.34", "168.63.129.17"),
)
# Corpus SF-02.
SPECIAL_6 = (
    *("::", "::1", "::2", "::ffff:0:10.0.0.1", "::ffff:0:93.184.216.34", "::10.0.0.1", "::93.184.216.34"),
    *("64:ff9b::a00:1", "64:ff9b::93.184.216.34", "64:ff9b:1::1", "64:ff9b:1:ffff::1", "100::", "100::ffff", "1::1"),
    *("2001::1", "2001:0:a00:1::1", "2001:10::1", "2001:20::1", "2001:1ff:ffff::1", "2001:db8::1", "2001:2::1"),
    *("2002::1", "2002:a00:1::1", "2002:5db8:d822::1", "2620:4f:8000::1", "3fff::1", "3fff:fff:ffff::1"),
    *("4000::1", "5f00::1", "8000::1", "fc00::1", "fdff::1", "fd00:ec2::254", "fe00::1", "fe80::1", "febf::1"),
    *("fec0::1", "feff::1", "ff02::1", "ffff::1"),
)
PUBLIC_6 = (
    "2606:2800:220:1:248:1893:25c8:1946",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2a00::1",
    "3ffe::1",
    "2003::1",
)


@pytest.mark.parametrize("text", [*SPECIAL_4, *SPECIAL_6])
def test_what_is_kept_for_something_is_no_stranger_s(text: str) -> None:
    """SF-01, SF-02, PY-09."""
    assert special(text) is not None


@pytest.mark.parametrize("text", [*PUBLIC_4, *PUBLIC_6])
def test_what_is_public_is_let_through(text: str) -> None:
    assert special(text) is None


@given(st.ip_addresses(v=4))
def test_an_address_inside_an_address_is_judged_by_itself(inner: IPv4Address) -> None:
    """However an IPv4 address is put into one of IPv6, no special one comes through."""
    number = int(inner)
    told = {
        "mapped": 0xFFFF << 32 | number,
        "isatap": 0x2A00 << 112 | 0x5EFE << 32 | number,
        "isatap, universal": 0x2A00 << 112 | 0x02005EFE << 32 | number,
    }
    for how, value in told.items():
        assert special(str(IPv6Address(value))) == special(str(inner)), how
    refused = {
        "compatible": number,
        "translated": 0xFFFF << 48 | number,
        "NAT64": 0x64FF9B << 96 | number,
        "NAT64, local": 0x64FF9B0001 << 80 | number,
        "6to4": 0x2002 << 112 | number << 80 | 1,
        "Teredo": 0x20010000 << 96 | (number ^ 0xFFFFFFFF),
    }
    for how, value in refused.items():
        assert special(str(IPv6Address(value))) is not None, how


@given(st.ip_addresses())
def test_what_python_knows_as_not_public_is_not(address: IPv4Address | IPv6Address) -> None:
    """PY-09: our table is never wider than the library's, whatever its version knows."""
    if not address.is_global or address.is_multicast:
        assert special(str(address)) is not None


@pytest.mark.parametrize(
    "text", ["fe80::1%eth0", "2a00::1%1", "2a00::1%", "", "a.example", "1.2.3", "0x7f.0.0.1", "::g"]
)
def test_what_is_no_plain_address_is_refused(text: str) -> None:
    assert special(text) is not None


@pytest.mark.parametrize("text", PUBLIC_4[:3])
def test_a_mapped_address_is_the_one_inside(text: str) -> None:
    assert special(f"::ffff:{ip_address(text)}") is None


@pytest.mark.parametrize("host", ["a.example", "xn--bcher-kva.example", "a-b.c1.example", "1.example", "0x7f.example"])
def test_a_public_name_is_let_through(host: str) -> None:
    assert is_public_name(host)


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "0x", "1.0x", "[::1]", "::1"),
        *("localhost", "intranet", "a.localhost", "printer.local", "metadata.google.internal", "nas.lan", "db.corp"),
        *("a.example.", ".a.example", "a..example", "-a.example", "a-.example", "a_b.example", "", ".", "a.home.arpa"),
        *("127。0。0。1", "１２７.0.0.1", "a.exämple", "%31.example", "a b.example", "x" * 64 + ".example"),
        *("a." * 126 + "example", "a.example\n", "hidden.onion"),
    ],
)
def test_what_is_no_public_name_is_refused(host: str) -> None:
    """SF-03, SF-06."""
    assert not is_public_name(host)
