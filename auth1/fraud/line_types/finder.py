"""Find the line type of a phone number: a prefix of the operator, then Twilio Lookup, then phonenumbers.

Results of Lookup cost money and are kept for all tenants: in PostgreSQL under a MAC of the number, and the newest in
the process. Requests for one number share one call. Nothing is looked up unless the operator names packages in
TWILIO_LOOKUP_FIELDS; the tenant's policy then decides for which numbers.
"""

import asyncio
import functools
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from auth1.core.crypto import Keyring
from auth1.core.postgres import NoParams, Postgres, Queries
from auth1.errors import Unavailable
from auth1.fraud.line_types.lookup import LINE_TYPE, Lookup, LookupAnswer, LookupFailed
from auth1.fraud.line_types.prefixes import Prefixes
from auth1.fraud.line_types.types import LineTypeResult, LookupFailure, action_of, parse_line_type, type_by_phonenumbers
from auth1.fraud.policy import FraudPolicy, LineType
from auth1.identifiers import Identifier

DAY_S = 24 * 3600.0
LINE_TYPE_S = 30 * DAY_S
SIGNALS_S = DAY_S  # of pumping risk and SIM swap, which change within days
UNKNOWN_S = DAY_S  # a number without a type is not bought again for so long
FAILURE_S = 600.0  # nor, in one process, a number that Lookup rejects
MAX_CACHED = 2048

_PURPOSE = "line types"
_DIGEST_BYTES = 16
_QUERIES = Queries("line_types")


class _Digests(NamedTuple):
    digests: list[bytes]


class _Row(NamedTuple):
    line_type: str | None
    pumping_risk: int | None
    sim_swapped: bool | None
    age_s: float
    signals_age_s: float | None


class _Store(NamedTuple):
    digest: bytes
    line_type: str | None
    has_signals: bool
    pumping_risk: int | None
    sim_swapped: bool | None


class _Kept(NamedTuple):
    """The stored results of look-ups, and how long each is valid: seconds, 0 or less if it is missing or too old."""

    answer: LookupAnswer = LookupAnswer(None)
    type_rest_s: float = 0.0
    signals_rest_s: float = 0.0

    @classmethod
    def read(cls, row: _Row | None) -> "_Kept":
        if row is None:
            return cls()
        line_type = parse_line_type(row.line_type or "")
        type_rest_s = _life_s(line_type) - row.age_s if line_type is not None else 0.0
        signals_rest_s = SIGNALS_S - row.signals_age_s if row.signals_age_s is not None else 0.0
        signals = (row.pumping_risk, row.sim_swapped) if signals_rest_s > 0 else (None, None)
        return cls(LookupAnswer(line_type if type_rest_s > 0 else None, *signals), type_rest_s, signals_rest_s)

    def missing(self, fields: Sequence[str]) -> list[str]:
        """Return the packages that must be bought."""
        return [name for name in fields if self._rest_s(name) <= 0]

    def rest_s(self, fields: Sequence[str]) -> float:
        """Return the seconds for which all packages are valid."""
        return min(map(self._rest_s, fields))

    def add(self, bought: LookupAnswer, fields: Sequence[str]) -> "_Kept":
        """Return it with the packages that were bought."""
        kept = self
        if LINE_TYPE in fields:
            line_type = bought.line_type
            kept = kept._replace(answer=kept.answer._replace(line_type=line_type), type_rest_s=_life_s(line_type))
        if any(name != LINE_TYPE for name in fields):
            kept = kept._replace(answer=bought._replace(line_type=kept.answer.line_type), signals_rest_s=SIGNALS_S)
        return kept

    def result(self, identifier: Identifier, failure: LookupFailure | None = None) -> LineTypeResult:
        """Return the result for a number: the type of phonenumbers where no type was bought."""
        line_type, risk, swapped = self.answer
        if line_type is not None and line_type != "unknown":
            return LineTypeResult(line_type, "lookup", None, risk, swapped)
        failure = "unknown_type" if line_type is not None else failure
        return LineTypeResult(type_by_phonenumbers(identifier.line), "phonenumbers", failure, risk, swapped)

    def _rest_s(self, field: str) -> float:
        return self.type_rest_s if field == LINE_TYPE else self.signals_rest_s


class _Entry(NamedTuple):
    """A result in the process, until `expires_at` (monotonic seconds)."""

    result: LineTypeResult
    expires_at: float


_FIND = _QUERIES.statement("find_line_type", _Digests, _Row)
_STORE = _QUERIES.statement("store_line_type", _Store, NoParams)


class LineTypeFinder:
    """Finds line types. `get_known` needs no I/O; where it returns None, `find` reads PostgreSQL and may buy.

    Call `find` only for requests that the rate limits and the exposures admit: a request that is rejected anyway must
    not cost a look-up. It raises Unavailable while PostgreSQL is unavailable, so that nothing is bought twice, and
    AtCapacity while too many numbers are looked up.
    """

    def __init__(self, postgres: Postgres, keyring: Keyring, lookup: Lookup | None) -> None:
        self._prefixes: Prefixes | None = None
        self._postgres = postgres
        self._keyring = keyring
        self._lookup = lookup
        self._cached: OrderedDict[str, _Entry] = OrderedDict()
        self._in_flight: dict[str, asyncio.Task[LineTypeResult]] = {}
        self._writes: set[asyncio.Task[None]] = set()

    def use_prefixes(self, prefixes: Prefixes | None) -> None:
        """Replace the line types by prefix; None: there are none."""
        self._prefixes = prefixes

    def get_known(
        self, identifier: Identifier, policy: FraudPolicy, *, voip_blocking: bool, is_doubtful: bool = False
    ) -> LineTypeResult | None:
        """Return the line type of a phone if the process knows it; None where the policy wants a look-up.

        A type of phonenumbers that is blocked needs no look-up. `is_doubtful`: the load of the request is above 0.5.
        """
        if self._prefixes is not None and (by_prefix := self._prefixes.find(identifier.value)) is not None:
            return LineTypeResult(by_prefix, "prefixes")
        free = LineTypeResult(type_by_phonenumbers(identifier.line), "phonenumbers")
        if self._lookup is None or policy.lookup == "never":
            return free
        if action_of(free.type, policy, voip_blocking=voip_blocking) == "block":
            return free
        entry = self._cached.get(identifier.value)
        if entry is not None and entry.expires_at > time.monotonic():
            self._cached.move_to_end(identifier.value)
            return entry.result
        return None if policy.lookup == "always" or is_doubtful else free

    async def find(
        self,
        tenant_id: str,
        identifier: Identifier,
        policy: FraudPolicy,
        *,
        voip_blocking: bool,
        is_doubtful: bool = False,
    ) -> LineTypeResult:
        """Return the line type of a phone for a tenant. Raises Unavailable, AtCapacity."""
        known = self.get_known(identifier, policy, voip_blocking=voip_blocking, is_doubtful=is_doubtful)
        if known is not None or self._lookup is None:
            return known or LineTypeResult("unknown", "phonenumbers")
        task = self._in_flight.get(identifier.value)
        if task is None:
            task = asyncio.create_task(self._look_up(self._lookup, tenant_id, identifier))
            self._in_flight[identifier.value] = task
            task.add_done_callback(functools.partial(self._finish, identifier.value))
        return await asyncio.shield(task)  # a client that disconnects does not end it for the others

    async def close(self) -> None:
        """Finish the writes, and end the look-ups in flight."""
        for task in self._in_flight.values():
            task.cancel()
        await asyncio.gather(*self._in_flight.values(), *self._writes, return_exceptions=True)
        if self._lookup is not None:
            await self._lookup.close()

    async def _look_up(self, lookup: Lookup, tenant_id: str, identifier: Identifier) -> LineTypeResult:
        """Read the kept result, and buy what is missing or too old."""
        digests = [mac[:_DIGEST_BYTES] for mac in self._keyring.macs(_PURPOSE, identifier.value.encode())]
        kept = _Kept.read(await self._postgres.row(_FIND, _Digests(digests)))
        missing = kept.missing(lookup.fields)
        if not missing:
            return self._remember(identifier.value, kept.result(identifier), kept.rest_s(lookup.fields))
        try:
            bought = await lookup.fetch(tenant_id, identifier.value, missing)
        except LookupFailed as error:
            result = kept.result(identifier, error.failure if LINE_TYPE in missing else None)
            is_of_number = error.failure in ("rejected", "other_number")
            return self._remember(identifier.value, result, FAILURE_S) if is_of_number else result
        has_signals = any(name != LINE_TYPE for name in missing)
        self._write(_Store(digests[0], bought.line_type, has_signals, bought.pumping_risk, bought.sim_swapped))
        kept = kept.add(bought, missing)
        return self._remember(identifier.value, kept.result(identifier), kept.rest_s(lookup.fields))

    def _finish(self, phone: str, task: "asyncio.Task[LineTypeResult]") -> None:
        del self._in_flight[phone]
        if not task.cancelled():
            task.exception()  # all callers may have disconnected

    def _remember(self, phone: str, result: LineTypeResult, seconds: float) -> LineTypeResult:
        self._cached[phone] = _Entry(result, time.monotonic() + seconds)
        self._cached.move_to_end(phone)
        while len(self._cached) > MAX_CACHED:
            self._cached.popitem(last=False)
        return result

    def _write(self, row: _Store) -> None:
        """Store a bought result without delaying the request. A failure is logged, and costs another look-up."""
        task = asyncio.create_task(self._store(row))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    async def _store(self, row: _Store) -> None:
        try:
            await self._postgres.row(_STORE, row)
        except Unavailable:
            return  # already logged


def _life_s(line_type: LineType | None) -> float:
    """Return the seconds for which a line type of Lookup is kept."""
    return UNKNOWN_S if line_type == "unknown" else LINE_TYPE_S
