"""Write a country database in MaxMind's format (MaxMind DB 2.0): a tree of 24-bit records, data, metadata."""

import ipaddress
import time
from typing import Any

_SEPARATOR = bytes(16)
_METADATA = b"\xab\xcd\xefMaxMind.com"


def write_mmdb(countries: dict[str, Any]) -> bytes:
    """Return a database with a record for each network. IPv4 networks are in ::/96, as in MaxMind's own files."""
    data, offsets = b"", list[int]()
    nodes: list[list[int]] = [[0, 0]]  # 0: none; above: a node; below: -1 - the number of a record
    for number, (network, record) in enumerate(countries.items()):
        offsets.append(len(data))
        data += _encode(record)
        parsed = ipaddress.ip_network(network)
        bits, length = int(parsed.network_address), parsed.prefixlen
        if parsed.version == 4:
            length += 96
        node = 0
        for position in range(length - 1):
            side = bits >> 127 - position & 1
            if nodes[node][side] <= 0:
                nodes.append([0, 0])
                nodes[node][side] = len(nodes) - 1
            node = nodes[node][side]
        nodes[node][bits >> 128 - length & 1] = -1 - number
    count = len(nodes)

    def pointer(value: int) -> bytes:
        if value < 0:
            return (count + len(_SEPARATOR) + offsets[-1 - value]).to_bytes(3, "big")
        return (value or count).to_bytes(3, "big")

    tree = b"".join(pointer(left) + pointer(right) for left, right in nodes)
    metadata = {
        "node_count": _short(count, 6),
        "record_size": _short(24, 5),
        "ip_version": _short(6, 5),
        "database_type": "Test-Country",
        "languages": [],
        "binary_format_major_version": _short(2, 5),
        "binary_format_minor_version": _short(0, 5),
        "build_epoch": int(time.time()),
        "description": {},
    }
    return tree + _SEPARATOR + data + _METADATA + _encode(metadata)


def _encode(value: object) -> bytes:
    """Encode a map, an array, a string, an unsigned integer, or bytes that are encoded already."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, dict):
        return bytes([7 << 5 | len(value)]) + b"".join(_encode(item) for pair in value.items() for item in pair)
    if isinstance(value, list):
        return bytes([len(value), 11 - 7]) + b"".join(map(_encode, value))
    if isinstance(value, str):
        text = value.encode()
        return bytes([2 << 5 | len(text)]) + text
    assert isinstance(value, int)
    size, extended = value.to_bytes(8, "big").lstrip(b"\0"), 9 - 7  # unsigned, 64 bits
    return bytes([len(size), extended]) + size


def _short(value: int, kind: int) -> bytes:
    """Encode an unsigned integer of 16 (kind 5) or 32 bits (kind 6)."""
    digits = value.to_bytes(4, "big").lstrip(b"\0")
    return bytes([kind << 5 | len(digits)]) + digits
