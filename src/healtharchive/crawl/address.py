"""Which addresses a crawl may connect to: public ones, unless its profile says otherwise.

Names say nothing: `intranet.example` may resolve to 10.0.0.1, and to something else a second later. So the address that is about
to be connected to is judged, and only that. The ranges are written down here, not taken from `ipaddress.is_private`, whose
meaning changed between the Python releases that we support.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

METADATA: Final = "a cloud's metadata service"

# First match wins. Source: IANA special-purpose address registries, and the clouds' documentation for metadata services.
_V4: Final[tuple[tuple[IPv4Network, str], ...]] = tuple(
    (IPv4Network(network), why)
    for network, why in (
        ("169.254.169.254/32", METADATA),
        ("169.254.170.2/32", METADATA),
        ("100.100.100.200/32", METADATA),
        ("168.63.129.16/32", METADATA),
        ("0.0.0.0/8", "this host"),
        ("127.0.0.0/8", "loopback"),
        ("10.0.0.0/8", "private"),
        ("172.16.0.0/12", "private"),
        ("192.168.0.0/16", "private"),
        ("100.64.0.0/10", "shared by a carrier"),
        ("169.254.0.0/16", "link-local"),
        ("192.0.0.0/24", "reserved for protocols"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "6to4 relay"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)
_V6: Final[tuple[tuple[IPv6Network, str], ...]] = tuple(
    (IPv6Network(network), why)
    for network, why in (
        ("fd00:ec2::254/128", METADATA),
        ("fd20:ce::254/128", METADATA),
        ("::1/128", "loopback"),
        ("::/128", "this host"),
        ("64:ff9b:1::/48", "private"),  # NAT64 with a local prefix: leads into a network of its operator's
        ("100::/64", "discard"),
        ("2001:db8::/32", "documentation"),
        ("3fff::/20", "documentation"),
        ("2001::/23", "reserved for protocols"),
        ("5f00::/16", "segment routing"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "private"),
        ("ff00::/8", "multicast"),
    )
)

# IPv6 addresses that carry an IPv4 address, and how many bits stand below it.
_CARRIERS: Final = (
    (IPv6Network("::ffff:0:0/96"), 0),  # v4-mapped
    (IPv6Network("::ffff:0:0:0/96"), 0),  # v4-translated
    (IPv6Network("64:ff9b::/96"), 0),  # NAT64
    (IPv6Network("2002::/16"), 80),  # 6to4
    (IPv6Network("::/96"), 0),  # v4-compatible
)
_GLOBAL: Final = IPv6Network("2000::/3")


@lru_cache(maxsize=4096)
def refusal(ip: str) -> str | None:
    """Why a crawl of public sites must not connect to `ip`, in a word or two; None if it is a public address.

    Takes what a socket reports: a scope (`fe80::1%eth0`) is ignored. Anything that is no address is refused, too.
    """
    try:
        address = ip_address(ip.partition("%")[0])
    except ValueError:
        return "not an address"
    if isinstance(address, IPv4Address):
        return _refusal_v4(address)
    return _refusal_v6(address)


def _refusal_v4(address: IPv4Address) -> str | None:
    return next((why for network, why in _V4 if address in network), None)


def _refusal_v6(address: IPv6Address) -> str | None:
    for network, why in _V6:
        if address in network:
            return why
    for network, shift in _CARRIERS:
        if address in network:
            return _refusal_v4(IPv4Address(int(address) >> shift & 0xFFFFFFFF))
    return None if address in _GLOBAL else "not assigned to the public"
