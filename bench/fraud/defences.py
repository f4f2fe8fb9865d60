"""Defences to compare the fraud rules with.

Each decides under the clock of the requests. `send` is called for each message that is sent, `answer` for each right
code with the number of messages of its live code.
"""

from collections import defaultdict, deque
from typing import NamedTuple, Protocol

from bench.fraud.world import DAY, HOUR, MINUTE, Request

CODE_LIFE = 10 * MINUTE


class Verdict(NamedTuple):
    """A decision of the fraud rules, its reason in one word, and the digits of the code that is sent."""

    decision: str
    reason: str = ""
    digits: int = 6


ALLOW = Verdict("allow")


class Defence(Protocol):
    """A defence: decides about a request, and writes the message down when the decision is `allow`."""

    name: str

    async def decide(self, request: Request, *, proof: bool) -> Verdict:
        """Decide about a request; `proof`: it carries a solved proof."""

    async def answer(self, request: Request, time: float, messages: int) -> None:
        """Take a right code into account, for which so many messages were sent."""

    async def guess(self, request: Request, time: float) -> None:
        """Take wrong codes into account."""

    async def flush(self, time: float) -> None:
        """Lose what Redis holds."""


class Undefended:
    """No defence: every request is sent."""

    name = "none"

    async def decide(self, request: Request, *, proof: bool) -> Verdict:
        return ALLOW

    async def answer(self, request: Request, time: float, messages: int) -> None:
        return None

    async def guess(self, request: Request, time: float) -> None:
        return None

    async def flush(self, time: float) -> None:
        return None


class BlockLimit(Undefended):
    """At most 20 unverified messages in 10 minutes to a block of 1,000 numbers: Auth1 before the fraud rules."""

    name = "limit per block"

    def __init__(self) -> None:
        self._sent: dict[tuple[int, int, int], deque[float]] = defaultdict(deque)

    async def decide(self, request: Request, *, proof: bool) -> Verdict:
        sent = self._sent[_block(request)]
        while sent and sent[0] <= request.time - 10 * MINUTE:
            sent.popleft()
        if len(sent) >= 20:
            return Verdict("block", "block_of_1000")
        sent.append(request.time)
        return ALLOW

    async def answer(self, request: Request, time: float, messages: int) -> None:
        sent = self._sent[_block(request)]
        for _ in range(min(messages, len(sent))):
            sent.pop()


def _block(request: Request) -> tuple[int, int, int]:
    return request.tenant, request.country, request.number // 1000


class _Window:
    """Times of events in order, counted over the last hour and the last day."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._first = {HOUR: 0, DAY: 0}  # the place of the first event within each period

    def add(self, time: float) -> None:
        self._times.append(time)

    def remove(self, events: int) -> None:
        """Remove the last events."""
        del self._times[max(0, len(self._times) - events) :]

    def count(self, now: float, period: float) -> int:
        times, place = self._times, min(self._first[period], len(self._times))
        while place < len(times) and times[place] <= now - period:
            place += 1
        self._first[period] = place
        return len(times) - place


class Authgear(Undefended):
    """Authgear's formula, from docs/specs/fraud-protection.md of authgear-server at fa7a7d5 (August 2026).

    With the action `deny_if_any_warning` and the default ratios 0.3 a day and 0.2 an hour. Its verified messages of the
    last 14 days begin with the world.
    """

    name = "Authgear"

    def __init__(self) -> None:
        self._unverified: dict[tuple[object, ...], _Window] = defaultdict(_Window)
        self._verified: dict[tuple[object, ...], _Window] = defaultdict(_Window)
        self._days: dict[tuple[int, int], dict[int, int]] = defaultdict(lambda: defaultdict(int))
        self._seen: dict[tuple[int, int], dict[int, float]] = defaultdict(dict)
        self._proven: dict[tuple[int, int], dict[int, float]] = defaultdict(dict)

    async def decide(self, request: Request, *, proof: bool) -> Verdict:
        if self._new_countries(request) > 3:
            return Verdict("block", "countries_of_address")
        country, address = self._scopes(request)
        now = request.time
        today = int(now // DAY)
        days = self._days[request.tenant, request.country]
        best = max((days.get(day, 0) for day in range(today - 14, today)), default=0)
        verified = self._verified[country]
        hourly = max(3, best / 6 * 0.2, verified.count(now, HOUR) * 0.2)
        if self._unverified[country].count(now, HOUR) + 1 > hourly:
            return Verdict("block", "country_hour")
        if self._unverified[country].count(now, DAY) + 1 > max(20, best * 0.3, verified.count(now, DAY) * 0.3):
            return Verdict("block", "country_day")
        of_address = self._verified[address].count(now, DAY)
        if self._unverified[address].count(now, DAY) + 1 > max(10, of_address * 0.3):
            return Verdict("block", "address_day")
        if self._unverified[address].count(now, HOUR) + 1 > max(5, of_address / 6 * 0.2):
            return Verdict("block", "address_hour")
        self._unverified[country].add(now)
        self._unverified[address].add(now)
        self._seen[request.tenant, request.address][request.country] = now
        return ALLOW

    async def answer(self, request: Request, time: float, messages: int) -> None:
        for scope in self._scopes(request):
            self._unverified[scope].remove(messages)
            self._verified[scope].add(time)
        self._days[request.tenant, request.country][int(time // DAY)] += 1
        self._proven[request.tenant, request.address][request.country] = time

    def _scopes(self, request: Request) -> tuple[tuple[object, ...], tuple[object, ...]]:
        return (request.tenant, "country", request.country), (request.tenant, "address", request.address)

    def _new_countries(self, request: Request) -> int:
        """Count the countries that an address requested in a day and in which it verified no code."""
        since = request.time - DAY
        seen = self._seen[request.tenant, request.address]
        proven = self._proven[request.tenant, request.address]
        found = {country for country, time in seen.items() if time > since} | {request.country}
        return sum(proven.get(country, 0.0) <= since for country in found)
