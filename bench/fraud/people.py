"""Honest people of a tenant and their requests.

Assumptions, none of them measured: three of four logins are by people with an earlier login; one in a hundred cannot
solve a proof; 3 % of new people mistype a digit; 8 % request a second code before the first arrives; 40 % of those
without a code try once more. 55 % come through one of the 96 addresses of a country's carriers, 40 % from home, where
half of the households have several people, and 5 % from an office. One in ten is in another country than its number.
"""

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from bench.fraud.world import (
    COUNTRIES,
    DAY,
    HONEST,
    HOUR,
    NEVER,
    Country,
    Request,
    carrier_address,
    home_address,
    hosting_address,
    office_address,
)

SOLVES, TYPES_WRONG, REQUESTS_TWICE, TRIES_AGAIN = 0.99, 0.03, 0.08, 0.4
_LOGIN_EVERY_DAYS = 10
_PEAK = 1.9  # the busiest hour of a day beside the mean


@dataclass(frozen=True)
class Tenant:
    """A tenant: its number, its logins a day, its home country.

    `foreign`: the share of people of other countries. `new`: of logins by people without an earlier one.
    `opens_at`: the start of its life; it has no people before. `surge`: start, end, factor, share of new people.
    `opening`: a country that it opens, from when on, logins a day. `outage`: start, end, share of messages to the home
    country that are lost. `own_networks`: people abroad use no VPN, and their phones the networks of their own country,
    as roaming phones do; only their other addresses are abroad.
    """

    number: int
    logins: float
    home: int
    foreign: float = 0.05
    new: float = 0.25
    opens_at: float = 0.0
    surge: tuple[float, float, float, float] | None = None
    opening: tuple[int, float, float] | None = None
    outage: tuple[float, float, float] | None = None
    own_networks: bool = False


@dataclass(slots=True)
class Person:
    """A person of a tenant; `answered` and `unanswered` are the codes before the world began."""

    country: int
    number: int
    home: int
    abroad: bool
    answered: int = 0
    unanswered: int = 0


@dataclass
class People:
    """The people of one tenant, and their requests in the order of time."""

    tenant: Tenant
    countries: list[Country]
    random: Random
    days: float
    people: list[Person] = field(default_factory=list)
    _visits: int = 0

    def __post_init__(self) -> None:
        self._foreign = [country for country in range(COUNTRIES) if country != self.tenant.home]
        self.random.shuffle(self._foreign)
        self._weights = [1 / (place + 1) ** 1.1 for place in range(len(self._foreign))]  # Zipf
        if not self.tenant.opens_at:
            for _ in range(int(self.tenant.logins * _LOGIN_EVERY_DAYS)):
                person = self._new_person(self._country())
                person.answered = 1 + int(self.random.expovariate(1 / 5))
                share = self.countries[person.country].unanswered * 0.6
                person.unanswered = sum(self.random.random() < share for _ in range(person.answered))
        self.before = list(self.people)

    def requests(self) -> list[Request]:
        """Return all requests."""
        found = [request for time, country in self._arrivals() for request in self._visit(time, country)]
        found.sort(key=lambda request: request.time)
        return found

    def _arrivals(self) -> Iterator[tuple[float, int | None]]:
        """Yield the time of each visit, and its country where it is given."""
        logins: Iterator[tuple[float, int | None]] = ((time, None) for time in self._logins())
        if self.tenant.opening is None:
            return logins
        country, start, per_day = self.tenant.opening
        opening = ((time, country) for time in self._times(start, self.days * DAY, per_day))
        return heapq.merge(logins, opening, key=lambda arrival: arrival[0])

    def _logins(self) -> Iterator[float]:
        ordinary = self._times(self.tenant.opens_at, self.days * DAY, self.tenant.logins)
        if self.tenant.surge is None:
            return ordinary
        start, end, factor, _ = self.tenant.surge
        return heapq.merge(ordinary, spaced(self.random, start, end, self.tenant.logins * (factor - 1) / DAY))

    def _times(self, start: float, end: float, per_day: float) -> Iterator[float]:
        for time in spaced(self.random, start, end, per_day / DAY * _PEAK):
            if self.random.random() < _by_hour(time) / _PEAK:
                yield time

    def _country(self) -> int:
        if self.random.random() >= self.tenant.foreign:
            return self.tenant.home
        return self.random.choices(self._foreign, self._weights)[0]

    def _new_person(self, country: int) -> Person:
        random = self.random
        home = home_address(random, country)
        if self.people and random.random() < 0.5:  # of a household that is known
            other = self.people[random.randrange(len(self.people))]
            home = other.home if other.country == country else home
        number = random.randrange(self.countries[country].numbers)
        self.people.append(Person(country, number, home, random.random() < 0.1))
        return self.people[-1]

    def _address(self, person: Person) -> int:
        random, country = self.random, person.country
        if person.abroad:
            if random.random() < 0.3 and not self.tenant.own_networks:
                return hosting_address(random)  # a VPN
            country = self.tenant.home if country != self.tenant.home else random.choice(self._foreign)
        drawn = random.random()
        if drawn < 0.55:
            return carrier_address(random, person.country if self.tenant.own_networks else country)
        if drawn < 0.95:
            return home_address(random, country) if person.abroad else person.home
        return office_address(random, self.tenant.home, self.tenant.number)

    def _is_new(self, time: float) -> bool:
        surge = self.tenant.surge
        new = surge[3] if surge and surge[0] <= time < surge[1] else self.tenant.new
        return not self.people or self.random.random() < new

    def _visit(self, time: float, country: int | None) -> Iterator[Request]:
        """Yield one attempt to log in: a typing error, a code, perhaps a second one, perhaps another attempt."""
        random = self.random
        is_new = country is not None or self._is_new(time)
        if is_new:
            person = self._new_person(self._country() if country is None else country)
        else:
            person = self.people[random.randrange(len(self.people))]
        self._visits += 1
        visit, address, solves = self._visits, self._address(person), random.random() < SOLVES

        def request(at: float, number: int, answer_in: float = NEVER) -> Request:
            tenant = self.tenant.number
            return Request(at, tenant, person.country, number, address, HONEST, visit, answer_in, solves)

        if is_new and random.random() < TYPES_WRONG:
            yield request(time, _mistyped(random, person.number))
            time += random.uniform(35, 90)
        if random.random() < REQUESTS_TWICE:
            yield request(time, person.number)
            time += random.uniform(31, 70)
        share = self.countries[person.country].unanswered * (1.3 if is_new else 0.6)
        lost = random.random() < share or self._is_lost(time, person)
        yield request(time, person.number, NEVER if lost else _reading_time(random))
        if lost and random.random() < TRIES_AGAIN:
            time += random.uniform(61, 400)
            lost = random.random() < 0.5 or self._is_lost(time, person)
            yield request(time, person.number, NEVER if lost else _reading_time(random))

    def _is_lost(self, time: float, person: Person) -> bool:
        outage = self.tenant.outage
        if outage is None or not outage[0] <= time < outage[1] or person.country != self.tenant.home:
            return False
        return self.random.random() < outage[2]


def _by_hour(time: float) -> float:
    """Return the logins of an hour beside the mean: few at night, most in the early afternoon."""
    hour = time / HOUR % 24
    return 0.25 + 1.5 * max(0.0, math.sin((hour - 6) / 24 * 1.5 * math.pi)) if 6 <= hour <= 22 else 0.2


def spaced(random: Random, start: float, end: float, per_second: float) -> Iterator[float]:
    """Yield the times of a Poisson process."""
    time = start + random.expovariate(per_second)
    while time < end:
        yield time
        time += random.expovariate(per_second)


def _reading_time(random: Random) -> float:
    """Return the seconds until a code is typed: half of the people within 27 s, one in a hundred after 140 s."""
    return min(590.0, random.lognormvariate(3.3, 0.7))


def _mistyped(random: Random, number: int) -> int:
    """Return a number with one other digit among the last six."""
    place = int(10 ** random.randrange(6))
    digit = number // place % 10
    return number + (random.randrange(10) - digit) * place
