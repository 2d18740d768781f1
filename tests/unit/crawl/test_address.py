"""Which addresses a crawl of public sites must not connect to."""

from __future__ import annotations

import pytest

from healtharchive.crawl.address import METADATA, refusal

REFUSED = {
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "10.1.2.3": "private",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.168.1.1": "private",
    "169.254.1.1": "link-local",
    "169.254.169.254": METADATA,
    "168.63.129.16": METADATA,
    "100.64.0.1": "shared by a carrier",
    "0.0.0.0": "this host",
    "192.0.0.8": "reserved for protocols",
    "192.0.2.1": "documentation",
    "198.18.0.1": "benchmarking",
    "224.0.0.1": "multicast",
    "255.255.255.255": "reserved",
    "::1": "loopback",
    "::": "this host",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local",
    "fd12:3456::1": "private",
    "fec0::1": "private",
    "fd00:ec2::254": METADATA,
    "ff02::1": "multicast",
    "2001:db8::1": "documentation",
    "2001::1": "reserved for protocols",
    "4000::1": "not assigned to the public",
    "not an address": "not an address",
    "": "not an address",
}

# An address inside an address: the one that packets end up at is judged.
CARRIED = {
    "::ffff:127.0.0.1": "loopback",
    "::ffff:10.0.0.1": "private",
    "::ffff:0:192.168.0.1": "private",
    "64:ff9b::169.254.169.254": METADATA,
    "64:ff9b:1::1": "private",
    "2002:7f00:1::": "loopback",
    "2002:c0a8:101::1": "private",
    "::10.0.0.1": "private",
}

PUBLIC = [
    "8.8.8.8",
    "172.15.255.255",
    "172.32.0.1",
    "100.63.255.255",
    "11.0.0.1",
    "2606:2800:220:1::1",
    "::ffff:8.8.8.8",
    "2002:808:808::1",
]


@pytest.mark.parametrize(("ip", "why"), [*REFUSED.items(), *CARRIED.items()])
def test_address_that_is_not_public_is_refused_with_its_reason(ip: str, why: str) -> None:
    assert refusal(ip) == why


@pytest.mark.parametrize("ip", PUBLIC)
def test_public_address_is_not_refused(ip: str) -> None:
    assert refusal(ip) is None
