"""Play the requests of a world against one defence, and count.

The limits that every Auth1 has come first: 100 requests an hour for an address, 5 messages an hour, 10 a day and 30 s
between two for a number. `releases`: a right code releases the requests of its login (rule 6).
"""

import heapq
import pickle
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from itertools import islice

from bench.fraud.defences import CODE_LIFE, Defence, Verdict
from bench.fraud.scenarios import World
from bench.fraud.world import DAY, HOUR, NEVER, Request

_PER_ADDRESS, _PER_NUMBER_HOUR, _PER_NUMBER_DAY, _RESEND_AFTER = 100, 5, 10, 30.0


@dataclass
class Side:
    """The counts of the attacker, or of honest people. Money is in microdollars.

    `visits` and what follows are attempts to log in, each with one request or several.
    """

    requests: int = 0
    sent: int = 0
    money: int = 0
    visits: set[int] = field(default_factory=set)
    rejected: set[int] = field(default_factory=set)
    limited: set[int] = field(default_factory=set)
    proofs: set[int] = field(default_factory=set)
    unsolved: set[int] = field(default_factory=set)
    reasons: Counter[str] = field(default_factory=Counter)
    guesses: float = 0.0


@dataclass
class Outcome:
    """The outcome of the counted requests; `sent_at`: the times of the attacker's messages."""

    honest: Side = field(default_factory=Side)
    attack: Side = field(default_factory=Side)
    sent_at: list[tuple[float, int]] = field(default_factory=list)
    first_rejection: float = NEVER


class Limits:
    """The limits of an address and of a number."""

    def __init__(self, *, releases: bool) -> None:
        self._releases = releases
        self._addresses: dict[int, deque[float]] = defaultdict(deque)
        self._numbers: dict[tuple[int, int, int], deque[float]] = defaultdict(deque)
        self._free: set[tuple[int, int, int]] = set()  # numbers whose last code was answered: no wait

    def acquire(self, address: int, now: float) -> bool:
        """Acquire one request of an address."""
        used = self._addresses[address]
        while used and used[0] <= now - HOUR:
            used.popleft()
        if len(used) >= _PER_ADDRESS:
            return False
        used.append(now)
        return True

    def allows_number(self, request: Request) -> bool:
        """Return whether the number may receive another message now."""
        sent, now = self._numbers[request.person], request.time
        while sent and sent[0] <= now - DAY:
            sent.popleft()
        if len(sent) >= _PER_NUMBER_DAY or (len(sent) >= _PER_NUMBER_HOUR and sent[-_PER_NUMBER_HOUR] > now - HOUR):
            return False
        return not sent or sent[-1] <= now - _RESEND_AFTER or request.person in self._free

    def send(self, request: Request) -> None:
        """Count a message to a number."""
        self._numbers[request.person].append(request.time)
        self._free.discard(request.person)

    def answer(self, request: Request, now: float, messages: int) -> None:
        """Count the request with the right code; with `releases`, release the login's requests instead."""
        self._free.add(request.person)
        used = self._addresses[request.address]
        if self._releases:
            for _ in range(min(messages, len(used))):
                used.pop()
        else:
            used.append(now)


@dataclass
class Play:
    """A world, a defence, and the limits before it; None: without limits.

    `offers_proofs`: a request that needs a proof may be repeated with one; else it is rejected.
    """

    world: World
    defence: Defence
    limits: Limits | None
    offers_proofs: bool = True
    outcome: Outcome = field(default_factory=Outcome)

    def __post_init__(self) -> None:
        self._answers: list[tuple[float, int, Request]] = []
        self._sent: dict[tuple[int, int, int], list[float]] = defaultdict(list)
        self._order = 0

    async def run(self, *, start: int = 0, end: int | None = None) -> Outcome:
        """Play all requests, or those from the place `start` to before `end`."""
        flush_at = self.world.flush_at
        for request in islice(self.world.requests, start, end):
            if request.time >= flush_at:
                flush_at = NEVER
                await self.defence.flush(request.time)
            while self._answers and self._answers[0][0] <= request.time:
                time, _, answered = heapq.heappop(self._answers)
                await self._answer(answered, time)
            await self._request(request)
        return self.outcome

    def save(self) -> bytes:
        """Return the state between two requests."""
        return pickle.dumps((self.limits, self._answers, self._sent, self._order))

    def restore(self, saved: bytes) -> None:
        """Continue from a saved state."""
        self.limits, self._answers, self._sent, self._order = pickle.loads(saved)

    async def _answer(self, request: Request, time: float) -> None:
        messages = sum(sent > time - CODE_LIFE for sent in self._sent.pop(request.person, ()))
        if self.limits:
            self.limits.answer(request, time, messages)
        await self.defence.answer(request, time, messages)

    async def _request(self, request: Request) -> None:
        side = self.outcome.honest if request.is_honest else self.outcome.attack
        counts = request.time >= self.world.since
        if self.limits and not self.limits.allows_number(request):
            return
        if counts:
            side.requests += 1
            side.visits.add(request.visit)
        if self.limits and not self.limits.acquire(request.address, request.time):
            if counts:
                side.limited.add(request.visit)
            return
        verdict = await self.defence.decide(request, proof=False)
        if verdict.decision == "proof_required" and self.offers_proofs:
            if counts:
                side.proofs.add(request.visit)
                side.reasons[f"proof {verdict.reason}"] += 1
                if not request.solves:
                    side.unsolved.add(request.visit)
            if not request.solves:
                self._reject(request)
                return
            verdict = await self.defence.decide(request, proof=True)
        if verdict.decision != "allow":
            if counts:
                side.rejected.add(request.visit)
                side.reasons[verdict.reason] += 1
            self._reject(request)
            return
        await self._send(request, verdict, side if counts else None)

    def _reject(self, request: Request) -> None:
        if not request.is_honest:
            self.outcome.first_rejection = min(self.outcome.first_rejection, request.time)

    async def _send(self, request: Request, verdict: Verdict, side: Side | None) -> None:
        if self.limits:
            self.limits.send(request)
        self._sent[request.person].append(request.time)
        if side:
            side.sent += 1
            side.money += (price := self.world.countries[request.country].price)
            side.guesses += request.wrong_codes * 10.0**-verdict.digits
            if not request.is_honest:
                self.outcome.sent_at.append((request.time, price))
        if request.wrong_codes:
            await self.defence.guess(request, request.time)
        if request.answer_in < NEVER:
            self._order += 1
            heapq.heappush(self._answers, (request.time + request.answer_in, self._order, request))
