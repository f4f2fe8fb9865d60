"""The country of an address, from a database file of the operator (GEOIP_FILE, MaxMind's format).

The file is memory-mapped, from a private copy without a name: a mapped file that is overwritten in place ends the
process with SIGBUS. Pages of the copy belong to the page cache, not to the worker.
"""

import asyncio
import os
import shutil
import tempfile
from typing import Any

import maxminddb

from auth1.core.telemetry.log import Log

_Signature = tuple[int, int, int]


class Countries:
    """Finds countries. Without a file all are unknown; an unreadable file keeps the previous one."""

    def __init__(self, path: str | None, log: Log) -> None:
        self._path = path
        self._log = log
        self.reader: maxminddb.Reader | None = None  # None: every country is unknown
        self._signature: _Signature | None = None
        self._is_reported = False

    def country_of(self, address: str) -> str | None:
        """Return the ISO 3166-1 code of an address, None if it is unknown."""
        if self.reader is None:
            return None
        try:
            return country_in(self.reader.get(address))
        except (ValueError, maxminddb.InvalidDatabaseError):
            return None  # no address, or a damaged record

    async def refresh(self) -> None:
        """Load the file if it has changed."""
        if self._path is None:
            return
        try:
            signature = _signature(self._path)
            if signature == self._signature:
                return
            reader = await asyncio.to_thread(open_copy, self._path)
            if _signature(self._path) != signature:
                return  # it is being written; the next round reads it again
        except OSError as error:
            self._report(error)
        except (ValueError, maxminddb.InvalidDatabaseError) as error:
            self._signature = signature  # not read again until it changes
            self._report(error)
        else:
            self.reader, self._signature, self._is_reported = reader, signature, False
            self._log.info("country database loaded", built=reader.metadata().build_epoch)

    def _report(self, error: Exception) -> None:
        """Log a failure once, until a file is loaded."""
        if not self._is_reported:
            self._is_reported = True
            self._log.warn("GEOIP_FILE cannot be loaded; the previous one stays", path=self._path, reason=str(error))


def open_copy(path: str) -> maxminddb.Reader:
    """Map a private copy of a database. Raises OSError, ValueError, InvalidDatabaseError."""
    with open(path, "rb") as source, tempfile.NamedTemporaryFile(prefix="auth1-geoip-") as copy:
        shutil.copyfileobj(source, copy, 1024 * 1024)
        copy.flush()
        reader = maxminddb.open_database(copy.name)
    reader.get("192.0.2.1")
    return reader


def country_in(record: Any) -> str | None:
    """Return the country of a record, as MaxMind, DB-IP, IPinfo and others write it."""
    if not isinstance(record, dict):
        return None
    for name in ("country", "registered_country", "country_code"):
        value = record.get(name)
        code = value.get("iso_code") if isinstance(value, dict) else value
        if isinstance(code, str) and len(code) == 2 and code.isascii() and code.isalpha():
            return code.upper()
    return None


def _signature(path: str) -> _Signature:
    """Return values that change when a file is replaced or written. Raises OSError."""
    found = os.stat(path)
    return found.st_ino, found.st_mtime_ns, found.st_size
