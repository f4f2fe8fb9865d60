"""The worlds by name: honest people, one attack at most, and the time from which requests count."""

from bisect import bisect
from dataclasses import dataclass, field, replace
from functools import lru_cache
from random import Random

from bench.fraud.attackers import ATTACKS, Attacker, days_of
from bench.fraud.people import People, Tenant
from bench.fraud.world import (
    DAY,
    HONEST,
    HOUR,
    NEVER,
    NEW_COUNTRY,
    Country,
    Request,
    carrier_address,
    countries,
)

WARM_UP = 5 * DAY  # five days of honest logins before anything is counted
START = WARM_UP + 9 * HOUR  # attacks and launches begin at 9 in the morning
_QUIET_DAYS, _LONGEST = 4.0, 10.5
_COMPANY_BLOCK = 77_000_000


@dataclass
class World:
    """Requests in the order of time. Those from `since` on are counted.

    `history`: answered and unanswered codes of people before the world began.
    `geoip`: a GEOIP_FILE is present. `flush_at`: the time at which Redis loses everything.
    """

    name: str
    countries: list[Country]
    requests: list[Request]
    since: float
    history: dict[tuple[int, int, int], tuple[int, int]] = field(default_factory=dict)
    geoip: bool = False
    flush_at: float = NEVER


@dataclass(frozen=True)
class Setting:
    """One world to simulate: an attack or an honest event, the size and home of the tenant, the seed.

    `matching`: the attacker's addresses are in the countries of its numbers. `own_networks`: people abroad use networks
    of their own country. `warm_up` and `days` are shorter in tests.
    """

    event: str
    logins: float = 3000
    home: int = 0
    solves: bool = True
    geoip: bool = False
    matching: bool = False
    seed: int = 1
    warm_up: float = WARM_UP
    days: float = 0.0
    own_networks: bool = False

    @property
    def name(self) -> str:
        """The name in tables: everything that differs from the usual world."""
        parts = [self.event, f"{self.logins:g} logins a day", f"home {'dear' if self.home else 'cheap'}"]
        parts += [f"{self.days:g} days"] if self.days else []
        if self.event in ATTACKS:
            parts += ["" if self.solves else "no proofs solved", "matching addresses" if self.matching else ""]
        parts += ["own networks"] if self.own_networks else []
        return ", ".join([part for part in parts if part] + (["GEOIP_FILE"] if self.geoip else []))


def build(setting: Setting) -> World:
    """Return the world of a setting: the same for the same setting."""
    found = countries()
    start = setting.warm_up + 9 * HOUR
    tenants = _tenants(setting, start)
    attack = ATTACKS.get(setting.event)
    days = setting.days or (days_of(setting.event) + 0.5 if attack else _days(setting))
    # All attacks share their honest people, who come as long as the longest attack lasts.
    requests, history = _people(setting.seed, tenants, start / DAY + (setting.days or (_LONGEST if attack else days)))
    end = start + days * DAY
    requests = requests[: bisect(requests, end, key=lambda request: request.time)]
    random = Random(f"{setting.seed} {setting.event}")
    if attack:
        numbers = tuple(tenant.number for tenant in tenants)
        attacker = Attacker(found, random, start, setting.home, setting.solves, numbers, setting.matching)
        requests += [request for request in attack(attacker) if request.time < end]
    if setting.event in ("company", "lock_out_block"):
        at = start + (6 * HOUR if setting.event == "lock_out_block" else 0)
        requests += _company(random, at, setting.home)
    requests.sort(key=lambda request: request.time)
    return World(setting.name, found, requests, start, history, setting.geoip)


@lru_cache(maxsize=4)
def _people(
    seed: int, tenants: tuple[Tenant, ...], days: float
) -> tuple[list[Request], dict[tuple[int, int, int], tuple[int, int]]]:
    """Return the requests of honest people in the order of time, and the codes of each before the world began."""
    people = [People(tenant, countries(), Random(f"{seed} people {tenant.number}"), days) for tenant in tenants]
    requests = [request for group in people for request in group.requests()]
    requests.sort(key=lambda request: request.time)
    history = {
        (group.tenant.number, person.country, person.number): (person.answered, person.unanswered)
        for group in people
        for person in group.before
    }
    return requests, history


def with_flush(world: World, at: float) -> World:
    """Return the same world in which Redis loses everything at a time."""
    return replace(world, name=f"{world.name}, Redis flushed", flush_at=at)


def _days(setting: Setting) -> float:
    return 1.0 if setting.event in ("launch_cold", "company") else _QUIET_DAYS


def _tenants(setting: Setting, start: float) -> tuple[Tenant, ...]:
    first = Tenant(0, setting.logins, setting.home, own_networks=setting.own_networks)
    match setting.event:
        case "launch":
            first = replace(first, surge=(start, start + 3 * HOUR, 50.0, 0.7))
        case "launch_cold":
            first = replace(first, opens_at=start, surge=(start, start + 3 * HOUR, 50.0, 0.95))
        case "new_country":
            first = replace(first, opening=(NEW_COUNTRY, start, 2000.0))
        case "carrier_outage":
            first = replace(first, outage=(start, start + 3 * HOUR, 0.45))
        case "ten_tenants":
            return (first, *(Tenant(number, 400, number % 4) for number in range(1, 10)))
    return (first,)


def _company(random: Random, start: float, home: int) -> list[Request]:
    """Return the first logins of 400 phones of one block, from two offices, within 20 minutes; 92 % get their code."""
    offices = [carrier_address(random, home) + (1 << 16), carrier_address(random, home) + (2 << 16)]
    return [
        Request(
            start + random.uniform(0, 1200),
            0,
            home,
            _COMPANY_BLOCK + random.randrange(1000),
            offices[phone % 2],
            HONEST,
            1_000_000_000 + phone,
            min(590.0, random.lognormvariate(3.3, 0.7)) if random.random() < 0.92 else NEVER,
            True,
        )
        for phone in range(400)
    ]
