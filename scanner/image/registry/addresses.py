"""Which network addresses a registry may send us to.

A registry chooses the hosts of redirects and tokens, so it could aim requests at machines that only we can reach:
cloud metadata, services on loopback, private networks. What a host's name looks like says nothing; each address is
judged when it is connected to, after the name was resolved.

Sources: IANA special-purpose address registries (RFC 6890), RFC 6052 (NAT64), RFC 3056 (6to4), RFC 6598 (CGNAT).
"""

from __future__ import annotations

import ipaddress
from enum import IntEnum

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_SHARED = ipaddress.ip_network("100.64.0.0/10")
#: NAT64 of a network's own (RFC 8215), site-local and IPv4-compatible addresses (deprecated): never a registry's
_INWARD = tuple(map(ipaddress.ip_network, ("64:ff9b:1::/48", "fec0::/10", "::/96")))
#: of clouds; not all are link-local: AWS, Google, Alibaba, Azure, Oracle
_METADATA = frozenset(map(ipaddress.ip_address, (
    "169.254.169.254", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16", "192.0.0.192",
)))  # fmt: skip


class Reach(IntEnum):
    """From where an address can be reached; a registry may only lead to what is no nearer to us than itself."""

    PUBLIC = 0
    PRIVATE = 1
    LOOPBACK = 2
    #: link-local, metadata services, multicast, reserved: no registry lives there
    NEVER = 3


def reach(text: str) -> Reach:
    """The reach of a numeric address; addresses that carry an IPv4 address within count as that one."""
    address = _inner(ipaddress.ip_address(text.partition("%")[0]))
    if address.is_loopback:
        return Reach.LOOPBACK
    if address in _METADATA or address.is_link_local or address.is_multicast or address.is_unspecified:
        return Reach.NEVER
    if any(address in network for network in _INWARD):
        return Reach.NEVER
    if address.is_private or (address.version == 4 and address in _SHARED):
        return Reach.PRIVATE
    return Reach.PUBLIC if address.is_global else Reach.NEVER


def _inner(address: Address) -> Address:
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address
