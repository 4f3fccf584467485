"""Public addresses, including those that stand for others."""

from __future__ import annotations

import ipaddress
from typing import Final, TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_TRANSLATED: Final = ipaddress.ip_network("64:ff9b::/96")
"""Addresses of IPv4 as a translator has them."""

_OF_A_SITE: Final = ipaddress.ip_network("fec0::/10")
"""Private addresses from before fc00::/7; Python takes them for public."""


def is_public(text: str) -> bool:
    """Return True if an address is public.

    Example:
        >>> is_public("9.9.9.9"), is_public("::ffff:127.0.0.1"), is_public("224.0.0.1")
        (True, False, False)
    """
    return all(
        address.is_global
        and not (address.is_multicast or address.is_reserved or address.is_unspecified)
        and address not in _OF_A_SITE
        for address in _meant(ipaddress.ip_address(text))
    )


def is_special(text: str) -> bool:
    """Return True if an address is that of no single host: multicast, broadcast, or unspecified."""
    return any(
        address.is_multicast or address.is_unspecified or str(address) == "255.255.255.255"
        for address in _meant(ipaddress.ip_address(text))
    )


def _meant(address: Address) -> list[Address]:
    """Return the address, or what it stands for."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address in _TRANSLATED:
        return [ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)]
    if address.sixtofour is not None:
        return [address.sixtofour]
    return [address, *(address.teredo or ())]
