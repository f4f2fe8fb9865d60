"""The requests of attackers.

Each attack has a start, a rate and an end, and does not adapt. Except for one address and the attacks that say so, it
comes from 5,000 addresses of households in random countries. An attacker either solves every proof or none.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from bench.fraud.people import spaced
from bench.fraud.world import (
    COUNTRIES,
    HOUR,
    NEVER,
    Country,
    Request,
    carrier_address,
    dearest,
    home_address,
    hosting_address,
)

ADDRESSES = 5_000


@dataclass
class Attacker:
    """An attacker of some tenants, the first of which has its people in the country `home`.

    `matching`: addresses are in the country of the number, which a GEOIP_FILE would notice otherwise.
    """

    countries: list[Country]
    random: Random
    start: float
    home: int
    solves: bool
    tenants: tuple[int, ...] = (0,)
    matching: bool = False

    def __post_init__(self) -> None:
        self._visits = 0
        self._addresses = [home_address(self.random, self.random.randrange(COUNTRIES)) for _ in range(ADDRESSES)]

    def request(self, name: str, time: float, country: int, number: int, *, answers: float = 0.0) -> Request:
        """Return one request; `answers` is the share of codes that the attacker enters."""
        self._visits -= 1
        address = home_address(self.random, country) if self.matching else self.random.choice(self._addresses)
        answer_in = self.random.uniform(8, 40) if self.random.random() < answers else NEVER
        tenant = self.random.choice(self.tenants)
        number %= self.countries[country].numbers
        return Request(time, tenant, country, number, address, name, self._visits, answer_in, self.solves)

    def times(self, per_hour: float, hours: float) -> Iterator[float]:
        """Yield the times of an attack."""
        return spaced(self.random, self.start, self.start + hours * HOUR, per_hour / HOUR)

    @property
    def dear(self) -> list[int]:
        """The countries by price, the highest first."""
        return dearest(self.countries, 60)


def one_block(attacker: Attacker) -> Iterator[Request]:
    """Request codes for the numbers of a block of 1,000 in order: 1,500 an hour for 2 h."""
    country = attacker.dear[3]
    for place, time in enumerate(attacker.times(1500, 2)):
        yield attacker.request("one_block", time, country, 500_000 + place % 1000)


def range_fast(attacker: Attacker) -> Iterator[Request]:
    """Request codes for random numbers of a range of 10,000: 800 an hour for 6 h."""
    return _range(attacker, "range_fast", 800, 6)


def range_slow(attacker: Attacker) -> Iterator[Request]:
    """Request codes for random numbers of a range of 10,000: 12 an hour for five days."""
    return _range(attacker, "range_slow", 12, 120)


def _range(attacker: Attacker, name: str, per_hour: float, hours: float) -> Iterator[Request]:
    for time in attacker.times(per_hour, hours):
        yield attacker.request(name, time, attacker.dear[3], 500_000 + attacker.random.randrange(10_000))


def one_address(attacker: Attacker) -> Iterator[Request]:
    """Request codes for random numbers of 40 countries from one address: 600 an hour for 3 h."""
    address = hosting_address(attacker.random)
    for time in attacker.times(600, 3):
        country = attacker.random.choice(attacker.dear[:40])
        request = attacker.request("one_address", time, country, _any_number(attacker, country))
        request.address = address
        yield request


def one_network(attacker: Attacker) -> Iterator[Request]:
    """Request codes for numbers of the tenant's own country from one /24 of a hosting company: 600 an hour for 3 h."""
    network = hosting_address(attacker.random) >> 8
    for time in attacker.times(600, 3):
        request = attacker.request("one_network", time, attacker.home, _any_number(attacker, attacker.home))
        request.address = network << 8 | attacker.random.randrange(256)
        yield request


def spread(attacker: Attacker) -> Iterator[Request]:
    """Request codes for 60 countries from 5,000 addresses: 300 an hour for three days."""
    return _spread(attacker, "spread", 300, 72)


def spread_slow(attacker: Attacker) -> Iterator[Request]:
    """Request codes for 60 countries from 5,000 addresses: 20 an hour for ten days."""
    return _spread(attacker, "spread_slow", 20, 240)


def spread_hosting(attacker: Attacker) -> Iterator[Request]:
    """Request codes for 60 countries from hosting companies: 300 an hour for a day."""
    for request in _spread(attacker, "spread_hosting", 300, 24):
        request.address = hosting_address(attacker.random)
        yield request


def _spread(attacker: Attacker, name: str, per_hour: float, hours: float) -> Iterator[Request]:
    for time in attacker.times(per_hour, hours):
        country = attacker.random.choice(attacker.dear)
        yield attacker.request(name, time, country, attacker.random.randrange(1_000_000))


def home_random(attacker: Attacker) -> Iterator[Request]:
    """Request codes for random numbers of the tenant's own country: 600 an hour for a day."""
    for time in attacker.times(600, 24):
        yield attacker.request("home_random", time, attacker.home, _any_number(attacker, attacker.home))


def fake(share: float) -> Callable[[Attacker], Iterator[Request]]:
    """Return an attack on five countries that enters a share of the codes: 300 an hour for two days."""

    def attack(attacker: Attacker) -> Iterator[Request]:
        for time in attacker.times(300, 48):
            country = attacker.random.choice(attacker.dear[:5])
            number = attacker.random.randrange(1_000_000)
            yield attacker.request(f"fake_{share:.0%}", time, country, number, answers=share)

    return attack


def own_numbers(share: float) -> Callable[[Attacker], Iterator[Request]]:
    """Return an attack with 200 own numbers, which log in once and then request codes: 150 an hour for three days."""

    def attack(attacker: Attacker) -> Iterator[Request]:
        name = f"own_{share:.0%}"
        own = [(country, _any_number(attacker, country)) for country in attacker.dear[:5] for _ in range(40)]
        for place, (country, number) in enumerate(own):
            yield attacker.request(name, attacker.start + place * 40, country, number, answers=1.0)
        for time in attacker.times(150, 72):
            if time > attacker.start + 3 * HOUR:
                country, number = attacker.random.choice(own)
                yield attacker.request(name, time, country, number, answers=share)

    return attack


def voip_signups(attacker: Attacker) -> Iterator[Request]:
    """Sign up with rented VoIP numbers of the tenant's own country, all codes answered: 60 an hour for a day."""
    for time in attacker.times(60, 24):
        number = _any_number(attacker, attacker.home)
        request = attacker.request("voip_signups", time, attacker.home, number, answers=1.0)
        request.voip = True
        yield request


def guessing(attacker: Attacker) -> Iterator[Request]:
    """Request codes for numbers of people and enter five wrong codes for each: 120 an hour for a day."""
    for time in attacker.times(120, 24):
        number = _any_number(attacker, attacker.home)
        request = attacker.request("guessing", time, attacker.home, number)
        request.wrong_codes = 5
        yield request


def lock_out_block(attacker: Attacker) -> Iterator[Request]:
    """Request codes for random numbers of a company's block, so that its people are rejected: 20 an hour for a day."""
    for time in attacker.times(20, 24):
        yield attacker.request("lock_out_block", time, attacker.home, 77_000_000 + attacker.random.randrange(1000))


def lock_out_carrier(attacker: Attacker) -> Iterator[Request]:
    """Request codes through the carriers' addresses, which honest people share: 100 an hour for a day."""
    for time in attacker.times(100, 24):
        number = _any_number(attacker, attacker.home)
        request = attacker.request("lock_out_carrier", time, attacker.home, number)
        request.address = carrier_address(attacker.random, attacker.home)
        yield request


def _any_number(attacker: Attacker, country: int) -> int:
    return attacker.random.randrange(attacker.countries[country].numbers)


ATTACKS: dict[str, Callable[[Attacker], Iterator[Request]]] = {
    "one_block": one_block,
    "range_fast": range_fast,
    "range_slow": range_slow,
    "one_address": one_address,
    "one_network": one_network,
    "spread": spread,
    "spread_slow": spread_slow,
    "spread_hosting": spread_hosting,
    "home_random": home_random,
    "fake_10%": fake(0.10),
    "fake_25%": fake(0.25),
    "fake_40%": fake(0.40),
    "own_0%": own_numbers(0.0),
    "own_33%": own_numbers(0.33),
    "own_100%": own_numbers(1.0),
    "ten_tenants": lambda attacker: _range(attacker, "ten_tenants", 800, 6),
    "voip_signups": voip_signups,
    "guessing": guessing,
    "lock_out_block": lock_out_block,
    "lock_out_carrier": lock_out_carrier,
}


def days_of(attack: str) -> float:
    """Return the days that an attack takes, at most."""
    return {"spread_slow": 10, "range_slow": 5, "spread": 3, "fake_10%": 2, "fake_25%": 2, "fake_40%": 2}.get(
        attack, 3.0 if attack.startswith("own") else 1.0
    )
