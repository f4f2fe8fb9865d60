"""The slot of a key in Redis Cluster (its specification: "Key distribution model" and "Hash tags")."""

from binascii import crc_hqx

SLOTS = 16384


def hash_tag(key: str) -> str:
    """Return the part of a key that chooses its slot: what is between its first braces, else the whole key."""
    _, brace, rest = key.partition("{")
    tag, end, _ = rest.partition("}")
    return tag if brace and end and tag else key


def key_slot(key: str) -> int:
    """Return the slot of a key: the CRC-16 of its hash tag, modulo 16384."""
    return crc_hqx(hash_tag(key).encode(), 0) % SLOTS
