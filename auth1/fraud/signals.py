"""Signals about a request from sources in the process: its address, its email, and what Lookup says about its number.

A signal has the weight that the policy gives it. One without a weight is not reported.
"""

from collections.abc import Iterable

from auth1.fraud.datasets.disposable import is_disposable
from auth1.fraud.line_types.types import LineTypeResult
from auth1.fraud.policy import FraudPolicy
from auth1.fraud.sources import FraudSources
from auth1.identifiers import Identifier

PUMPING_RISK = 60  # of 100; an example of Twilio calls 61 moderate


def is_in_country(sources: FraudSources, identifier: Identifier, address: str | None) -> bool:
    """Return whether an address is in the country of a phone. False without GEOIP_FILE."""
    return (
        address is not None
        and identifier.country is not None
        and sources.countries.reader is not None
        and sources.countries.country_of(address) == identifier.country
    )


def find_signals(
    sources: FraudSources, policy: FraudPolicy, identifier: Identifier, address: str | None
) -> tuple[str, ...]:
    """Return the signals of the email, and of the address and its networks."""
    if not policy.signals:
        return ()
    found = ["disposable_email"] if identifier.channel == "email" and is_disposable(identifier.value) else []
    if address is not None:
        found += [f"{network_type}_network" for network_type in sources.networks.types_of(address)]
        country = sources.countries.country_of(address)
        if country is not None and identifier.country not in (None, country):
            found.append("foreign_address")
    return _weighted(policy, found)


def signals_of_line(policy: FraudPolicy, line: LineTypeResult) -> tuple[str, ...]:
    """Return the signals of what Lookup says about a number."""
    found = ["pumping_risk"] if line.pumping_risk is not None and line.pumping_risk >= PUMPING_RISK else []
    return _weighted(policy, [*found, "sim_swap"] if line.sim_swapped else found)


def _weighted(policy: FraudPolicy, names: Iterable[str]) -> tuple[str, ...]:
    return tuple([name for name in names if policy.signals.get(name, 0.0) > 0])
