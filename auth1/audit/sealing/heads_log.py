"""Compare the seals with the `audit.head` lines of a log, as a stream."""

import hmac
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import msgspec

from auth1.audit.sealing.compare import Finding, Kind, finding
from auth1.audit.sealing.heads import LINE
from auth1.audit.sealing.pages import AuditReader
from auth1.audit.sealing.seals import SealKey

PAGE = 500  # lines
_MARK = LINE.encode()


class _Line(msgspec.Struct):
    """A line of the log, or what GET …/events/head returned."""

    seq: int
    head: str
    mac: str
    key: str = ""
    tenant_id: str = ""
    msg: str = LINE


class HeadsResult(NamedTuple):
    """The heads that were compared, those whose MAC is wrong and that count for nothing, and the findings."""

    compared: int
    not_authentic: int
    findings: list[Finding]


def read_heads(lines: Iterable[bytes], tenant_id: str | None) -> Iterator[_Line]:
    """Return the heads of a log; other lines are skipped. A head without a tenant is that of `tenant_id`."""
    decode = msgspec.json.Decoder(_Line).decode
    for text in lines:
        if _MARK not in text and b'"head"' not in text:
            continue
        try:
            line = decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue  # a part of a line, or a line of another program
        line.tenant_id = line.tenant_id or tenant_id or ""
        if line.msg == LINE and line.tenant_id and tenant_id in (None, line.tenant_id):
            yield line


async def compare_heads(
    reader: AuditReader, lines: Iterable[bytes], keys: Iterable[SealKey], tenant_id: str | None
) -> HeadsResult:
    """Compare all heads of a log with the seals. The first wrong seal of each tenant is a finding."""
    by_name = {key.name.hex(): key for key in keys}
    first: dict[str, Finding] = {}
    heads, compared, not_authentic = read_heads(lines, tenant_id), 0, 0
    while page := list(islice(heads, PAGE)):
        known = [line for line in page if _is_authentic(line, by_name)]
        not_authentic += len(page) - len(known)
        compared += len(known)
        seals = await reader.logged_heads([(line.tenant_id, line.seq) for line in known])
        found = {(seal.tenant_id, seal.seq): seal for seal in seals}
        for line in known:
            seal = found[line.tenant_id, line.seq]
            if seal.head is not None and seal.head.hex() == line.head:
                continue
            before = first.get(line.tenant_id)
            if before is None or line.seq < (before.seq or 0):
                is_tail = seal.head is None and line.seq > (seal.last_seq or 0)
                kind: Kind = "removed tail" if is_tail else "chain"
                first[line.tenant_id] = finding(line.tenant_id, kind, seq=line.seq)
    return HeadsResult(compared, not_authentic, list(first.values()))


def _is_authentic(line: _Line, keys: dict[str, SealKey]) -> bool:
    """Return whether a head may be ours: its MAC is right, or its key is one of an earlier secret."""
    key = keys.get(line.key)
    if key is None:
        return True
    try:
        head, mac = bytes.fromhex(line.head), bytes.fromhex(line.mac)
    except ValueError:
        return False
    return hmac.compare_digest(key.mac(head), mac)
