"""Networks by type: files of CIDRs for `hosting`, `vpn` and `tor`, and the types of an address.

A file is compiled once, by the command that loads it: overlapping networks are merged into ranges, as sorted first and
last addresses. So a worker needs one bisection per type, and no work when it loads a million networks.
"""

import ipaddress
import struct
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple, get_args

from auth1.core.http.client_ip import parse_address
from auth1.core.packed import Packed, Width, pack
from auth1.fraud.datasets.files import BadLine

NetworkType = Literal["hosting", "vpn", "tor"]
NETWORK_TYPES: tuple[NetworkType, ...] = get_args(NetworkType)
MAX_NETWORKS = 2_000_000  # each worker keeps 8 bytes for a range of IPv4 and 32 for one of IPv6

_HEADER = struct.Struct("<II")  # the number of ranges of IPv4 and of IPv6
_WIDTHS: dict[int, Width] = {4: 4, 6: 16}
_Ranges = list[tuple[int, int]]


class _Version(NamedTuple):
    """First and last addresses of sorted ranges of one IP version."""

    firsts: Packed
    lasts: Packed

    def contains(self, address: int) -> bool:
        index = self.firsts.rank(address) - 1
        return index >= 0 and address <= self.lasts[index]


class AddressRanges:
    """Networks of one type, as `compile_networks` returns them. Raises ValueError for other bytes."""

    def __init__(self, data: bytes = _HEADER.pack(0, 0)) -> None:
        view, position = memoryview(data), _HEADER.size
        counts = dict(zip(_WIDTHS, _HEADER.unpack(bytes(view[: _HEADER.size]).ljust(_HEADER.size)), strict=True))
        if len(data) != position + sum(2 * counts[version] * width for version, width in _WIDTHS.items()):
            raise ValueError("not compiled networks")
        self._versions: dict[int, _Version] = {}
        for version, width in _WIDTHS.items():
            size = counts[version] * width
            firsts, lasts = view[position : position + size], view[position + size : position + 2 * size]
            self._versions[version] = _Version(Packed(firsts, width), Packed(lasts, width))
            position += 2 * size

    def __contains__(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        return self._versions[address.version].contains(int(address))


class Networks:
    """The loaded networks of all types. A type that is not loaded contains no address."""

    def __init__(self) -> None:
        self._types: dict[NetworkType, AddressRanges] = {}

    def replace(self, network_type: NetworkType, ranges: AddressRanges | None) -> None:
        """Replace the networks of a type; None removes them."""
        if ranges is None:
            self._types.pop(network_type, None)
        else:
            self._types[network_type] = ranges

    def types_of(self, address: str) -> tuple[NetworkType, ...]:
        """Return the types of the networks that contain an address; none for a text that is no address."""
        parsed = parse_address(address) if self._types else None
        if parsed is None:
            return ()
        return tuple([name for name, ranges in self._types.items() if parsed in ranges])


def compile_networks(lines: Iterable[str]) -> tuple[int, bytes]:
    """Return the number of networks of a file, and them as bytes. Raises BadLine."""
    found: dict[int, _Ranges] = {4: [], 6: []}
    count = 0
    for network in _read(lines):
        count += 1
        found[network.version].append((int(network.network_address), int(network.broadcast_address)))
    merged = {version: _merge(ranges) for version, ranges in found.items()}
    parts = [_HEADER.pack(len(merged[4]), len(merged[6]))]
    for version, width in _WIDTHS.items():
        parts += [pack([each[end] for each in merged[version]], width) for end in (0, 1)]
    return count, b"".join(parts)


def _read(lines: Iterable[str]) -> Iterator[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """Read the lines of a file. Empty lines and comments (#) are skipped. Raises BadLine."""
    count = 0
    for number, line in enumerate(lines, start=1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        count += 1
        if count > MAX_NETWORKS:
            raise BadLine(number, f"a file may have {MAX_NETWORKS:,} networks at most")
        yield _parse(number, text)


def _parse(number: int, text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Return the network of a line: an address alone is a network of one. Raises BadLine."""
    problem = "must be a network or an address, such as 203.0.113.0/24"
    if "%" in text:
        raise BadLine(number, problem)
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        pass
    try:
        wider = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise BadLine(number, problem) from None
    raise BadLine(number, f"{text} has host bits set; write {wider}")


def _merge(ranges: _Ranges) -> _Ranges:
    """Sort ranges, and merge those that overlap or touch."""
    ranges.sort()
    merged: _Ranges = []
    for first, last in ranges:
        if merged and first <= merged[-1][1] + 1:
            if last > merged[-1][1]:
                merged[-1] = (merged[-1][0], last)
        else:
            merged.append((first, last))
    return merged
