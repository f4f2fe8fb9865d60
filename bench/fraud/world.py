"""The parts that honest people and attackers share: requests, countries, addresses and the clock.

All of it is fictional. Numbers begin with +999, which is not assigned to any country. Addresses are of 3fff::/20, which
is reserved for documentation: a /48 stands for the network of an internet provider's customers (a /24 of IPv4), a /64
for one address. Times are seconds from the start of the world.
"""

import math
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

MINUTE, HOUR, DAY = 60.0, 3_600.0, 86_400.0
NEVER = math.inf
HONEST = "honest"
COUNTRIES = 90
CHEAP_HOME, DEAR_HOME, NEW_COUNTRY = 0, 1, 40
# Networks of a country: as many as a large country has /24 networks. Hosting companies come after the countries.
NETWORKS = 1 << 21
HOSTING = 100
_CARRIER_ADDRESSES = 96  # public addresses of the carriers of a country, 16 in each of 6 networks
_OFFICES = 20  # offices of a tenant, each with one address


class Country(NamedTuple):
    """A country: the price of a message in microdollars, its mobile numbers, the share of codes without an answer."""

    price: int
    numbers: int
    unanswered: float


@dataclass(slots=True)
class Request:
    """A request for a code.

    `number` is the national number. `address >> 8` is its network. `visit`: the requests of one attempt to log in have
    the same. `answer_in`: seconds until the right code arrives; NEVER when it does not. `solves`: solves a proof.
    """

    time: float
    tenant: int
    country: int
    number: int
    address: int
    source: str
    visit: int
    answer_in: float
    solves: bool
    voip: bool = False
    wrong_codes: int = 0

    @property
    def is_honest(self) -> bool:
        return self.source == HONEST

    @property
    def person(self) -> tuple[int, int, int]:
        return self.tenant, self.country, self.number


def countries() -> list[Country]:
    """Return 90 countries: the first is large and cheap, five are large and dear, the others dear and of all sizes.

    Prices lie around the estimates of auth1/config/sms_rates.csv, up to three times its price of unlisted countries.
    """
    random = Random("countries")
    found = [Country(8_000, 300_000_000, 0.14), Country(80_000, 60_000_000, 0.16)]
    found += [Country(random.randrange(40_000, 110_000), 60_000_000, random.uniform(0.12, 0.22)) for _ in range(2, 6)]
    while len(found) < COUNTRIES:
        numbers = int(10 ** random.uniform(6.0, 7.8))
        found.append(Country(random.randrange(50_000, 350_000), numbers, random.uniform(0.15, 0.40)))
    return found


def dearest(found: list[Country], count: int) -> list[int]:
    """Return the numbers of the countries with the highest prices, without the six large ones."""
    return sorted(range(6, len(found)), key=lambda country: -found[country].price)[:count]


def home_address(random: Random, country: int) -> int:
    """Return an address of a household."""
    network = country * NETWORKS + random.randrange(1024, NETWORKS)
    return network << 8 | random.randrange(256)


def carrier_address(random: Random, country: int) -> int:
    """Return one of the few addresses that the phones of a country share."""
    number = random.randrange(_CARRIER_ADDRESSES)
    return (country * NETWORKS + number // 16) << 8 | number % 16


def office_address(random: Random, country: int, tenant: int) -> int:
    """Return the address of one of the offices in which people of a tenant work."""
    return (country * NETWORKS + 16 + tenant * _OFFICES % 1000 + random.randrange(_OFFICES)) << 8 | 1


def hosting_address(random: Random) -> int:
    """Return an address of a hosting company."""
    return (random.randrange(HOSTING, HOSTING + 20) * NETWORKS + random.randrange(4096)) << 8 | random.randrange(256)


def country_of(address: int) -> int:
    """Return the country of an address, as a GEOIP_FILE would; hosting companies have numbers from 100."""
    return (address >> 8) // NETWORKS


def phone_text(request: Request) -> str:
    """Return the phone number of a request in E.164."""
    return f"+999{request.country:02}{request.number:09}"


def address_text(address: int) -> str:
    """Return an address as text."""
    network, host = address >> 8, address & 0xFF
    return f"3fff:{network >> 16:x}:{network & 0xFFFF:x}:{host:x}::1"


def country_text(country: int) -> str:
    """Return the code of a country in capital letters; it is not one of ISO 3166."""
    return f"{chr(65 + country // 10)}{country % 10}"
