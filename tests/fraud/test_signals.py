"""Signals of addresses, emails and numbers: only those with a weight are reported, and they add to the load."""

import os
from pathlib import Path

import pytest

from auth1.core.telemetry.log import Log
from auth1.fraud.datasets.countries import Countries
from auth1.fraud.datasets.networks import AddressRanges, compile_networks
from auth1.fraud.line_types.types import LineTypeResult
from auth1.fraud.policy import FraudPolicy
from auth1.fraud.signals import find_signals, is_in_country, signals_of_line
from auth1.identifiers import parse_email, parse_phone
from tests.conftest import Started, new_phone
from tests.fraud.conftest import managed_tenant
from tests.fraud.visitors import Visitors, outcome
from tests.support.mmdb import write_mmdb

NAMES = ("hosting_network", "tor_network", "foreign_address", "disposable_email", "pumping_risk", "sim_swap")
WEIGHTS = dict.fromkeys(NAMES, 1.0)
ALL, NONE = FraudPolicy(signals=WEIGHTS), FraudPolicy()
TOR = AddressRanges(compile_networks(["203.0.113.7"])[1])
HOSTING = AddressRanges(compile_networks(["203.0.113.0/24"])[1])


@pytest.fixture(scope="module")
def country_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = os.path.join(tmp_path_factory.mktemp("geoip"), "country.mmdb")
    Path(path).write_bytes(write_mmdb({"203.0.113.0/24": {"country": {"iso_code": "US"}}}))
    return path


@pytest.fixture
async def known(start_app: Started, fraud_url: str, country_file: str, visitors: Visitors) -> Visitors:
    """Return the visitors of a tenant of an application that knows networks and countries."""
    api = await start_app(DATABASE_URL=fraud_url, REDIS_CALL_TIMEOUT_MS="5000", GEOIP_FILE=country_file)
    sources = api.services.fraud_sources
    sources.networks.replace("tor", TOR)
    sources.networks.replace("hosting", HOSTING)
    await sources.countries.refresh()
    visitors.managed = await managed_tenant(api)
    return visitors


async def test_address_and_email_give_the_signals_of_the_policy(known: Visitors) -> None:
    sources = known.managed.api.services.fraud_sources
    us, gb = parse_phone("+14155550100"), parse_phone("+447912345678")

    assert find_signals(sources, ALL, us, "203.0.113.7") == ("tor_network", "hosting_network")
    assert find_signals(sources, ALL, gb, "203.0.113.9") == ("hosting_network", "foreign_address")
    assert find_signals(sources, ALL, gb, "198.51.100.1") == ()
    assert find_signals(sources, ALL, gb, None) == ()
    assert find_signals(sources, NONE, gb, "203.0.113.7") == ()
    assert find_signals(sources, FraudPolicy(signals={"tor_network": 0.0}), us, "203.0.113.7") == ()
    assert find_signals(sources, ALL, parse_email("a@mailinator.com"), None) == ("disposable_email",)
    assert [is_in_country(sources, phone, "203.0.113.7") for phone in (us, gb)] == [True, False]
    assert not is_in_country(sources, us, "198.51.100.1")
    assert not is_in_country(sources, us, None)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (LineTypeResult("mobile", "lookup", None, 59, False), ()),
        (LineTypeResult("mobile", "lookup", None, 60, None), ("pumping_risk",)),
        (LineTypeResult("mobile", "lookup", None, None, True), ("sim_swap",)),
        (LineTypeResult("mobile", "lookup", None, 100, True), ("pumping_risk", "sim_swap")),
    ],
)
def test_looked_up_risk_of_a_number_gives_signals(line: LineTypeResult, expected: tuple[str, ...]) -> None:
    assert signals_of_line(ALL, line) == expected
    assert signals_of_line(NONE, line) == ()


async def test_weight_of_a_network_rejects_a_request(known: Visitors) -> None:
    assert outcome(await known.request(new_phone(), "203.0.113.7")) == "sent"

    await known.change_policy(signals={"tor_network": 3.0})

    assert outcome(await known.request(new_phone(), "203.0.113.7")) == "request_blocked"
    assert outcome(await known.request(new_phone(), "203.0.113.9")) == "sent"
    await known.settle()
    decision = (await known.decisions())[-1]
    assert "tor_network: weight 3" in decision["reasons"]


async def test_damaged_country_file_decides_nothing(tmp_path: Path) -> None:
    countries = Countries(str(tmp_path / "missing.mmdb"), Log("error"))

    await countries.refresh()

    assert countries.country_of("203.0.113.7") is None
