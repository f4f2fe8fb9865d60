"""Signals of a request that are no exposure: each may add a weight to the load.

The others of the policy have no figures here, because their facts are no part of the worlds: disposable email domains
cost no money, and what Twilio knows about a number is only known to Twilio.
"""

from collections import defaultdict

from bench.fraud.world import DAY, HOSTING, HOUR, Request, country_of

NAMES = ("sequential_numbers", "new_country", "hosting_network", "foreign_address", "address_countries")
_COUNTRIES = 2  # of one address in a day, without the signal
_HISTORY = 14 * DAY


class Signals:
    """The signals of a request from the tenant's earlier requests. `names`: the signals that are of interest."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        self._latest: dict[tuple[int, int, int], tuple[int, float]] = {}  # number and time by block of 1,000
        self._verified: dict[tuple[int, int], float] = {}
        self._countries: dict[tuple[int, int], dict[int, float]] = defaultdict(dict)

    def of(self, request: Request) -> tuple[str, ...]:
        """Return the signals of a request; it counts as seen."""
        if not self._names:
            return ()
        block = (request.tenant, request.country, request.number // 1000)
        number, time = self._latest.get(block, (request.number, 0.0))
        self._latest[block] = request.number, request.time
        countries = self._countries[request.tenant, request.address]
        countries[request.country] = request.time
        verified = self._verified.get((request.tenant, request.country), -_HISTORY)
        found = {
            "sequential_numbers": abs(number - request.number) == 1 and time > request.time - HOUR,
            "new_country": verified <= request.time - _HISTORY,
            "hosting_network": country_of(request.address) >= HOSTING,
            "foreign_address": country_of(request.address) != request.country,
            "address_countries": sum(at > request.time - DAY for at in countries.values()) > _COUNTRIES,
        }
        return tuple(name for name, holds in found.items() if holds and name in self._names)

    def answer(self, request: Request, time: float) -> None:
        """Note a right code."""
        self._verified[request.tenant, request.country] = time
