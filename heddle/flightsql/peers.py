"""Which clients are still connected, as the system knows: gRPC does not tell when a connection ends."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import unquote

Peer: TypeAlias = tuple[IPv4Address | IPv6Address, int]
_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_ESTABLISHED: Final = "01"


def peer_of(address: str) -> Peer | None:
    """Of gRPC's `ipv4:127.0.0.1:1234` or `ipv6:%5B::1%5D:1234`; None for another kind of address."""
    kind, _, place = unquote(address).partition(":")
    host, _, port = place.rpartition(":")
    if kind not in {"ipv4", "ipv6"} or not port.isdecimal():
        return None
    try:
        return _plain(ip_address(host.strip("[]").partition("%")[0])), int(port)
    except ValueError:
        return None


def connected_peers(*ports: int) -> frozenset[Peer] | None:
    """The clients of ports of this machine; None where the system does not tell."""
    found: set[Peer] = set()
    known = False
    for table in _TABLES:
        try:
            lines = table.read_text("ascii").splitlines()[1:]
        except OSError:
            continue
        known = True
        for line in lines:
            _, local, remote, state, *_ = line.split()
            if state == _ESTABLISHED and int(local.rpartition(":")[2], 16) in ports:
                host, _, number = remote.rpartition(":")
                found.add((_address(host), int(number, 16)))
    return frozenset(found) if known else None


def _address(text: str) -> IPv4Address | IPv6Address:
    """The kernel writes words of four bytes as the machine has them."""
    words = bytes.fromhex(text)
    swapped = b"".join(words[at : at + 4][::-1] for at in range(0, len(words), 4))
    return _plain(ip_address(swapped))


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
