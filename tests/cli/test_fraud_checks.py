"""`auth1 doctor`: Twilio Lookup and the country database."""

from pathlib import Path

import pytest

from auth1.cli.fraud_checks import check_geoip, check_lookup
from auth1.config.checklist import Finding, check_settings
from auth1.config.settings import Settings, load_settings
from tests.support.mmdb import write_mmdb
from tests.support.providers.twilio import Behaviour, TwilioServer, answer


def loaded(environment: dict[str, str], **changes: str) -> Settings:
    return load_settings(environment | changes)


def of(findings: list[Finding], check: str) -> list[tuple[str, str]]:
    return [(finding.status, finding.message) for finding in findings if finding.check == check]


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (answer(200, {"valid": True}), ("ok", "Twilio Lookup answers.")),
        (answer(401, {}), ("fail", "Twilio Lookup answers 401.")),
        (answer(302, b"", {"location": "http://127.0.0.1:9"}), ("fail", "Twilio Lookup answers 302.")),
    ],
)
async def test_lookup_is_checked_without_buying_a_package(
    environment: dict[str, str], behaviour: Behaviour, expected: tuple[str, str]
) -> None:
    async with TwilioServer(behaviour=behaviour) as server:
        settings = loaded(
            environment, TWILIO_LOOKUP_URL=server.url, TWILIO_LOOKUP_FIELDS="sim_swap,line_type_intelligence"
        )

        found = await check_lookup(settings)

    assert of(found, "Lookup") == [expected]
    [request] = server.requests
    assert request.path == "/v2/PhoneNumbers/+14159929960"
    [(status, message)] = of(check_settings(settings), "Lookup")
    assert status == "ok"
    assert "sim_swap and line_type_intelligence" in message


async def test_lookup_that_is_off_is_not_called(environment: dict[str, str]) -> None:
    settings = loaded(environment)

    assert await check_lookup(settings) == []
    assert of(check_settings(settings), "Lookup")[0][0] == "ok"


async def test_country_database_is_checked(environment: dict[str, str], tmp_path: Path) -> None:
    good, bad, missing = (str(tmp_path / name) for name in ("good.mmdb", "bad.mmdb", "missing.mmdb"))
    write(good, write_mmdb({"203.0.113.0/24": {"country": {"iso_code": "US"}}}))
    write(bad, b"no database")

    assert of(await check_geoip(loaded(environment, GEOIP_FILE=good)), "GeoIP") == [
        ("ok", "GEOIP_FILE is Test-Country, 0 days old.")
    ]
    assert of(await check_geoip(loaded(environment, GEOIP_FILE=bad)), "GeoIP")[0][0] == "fail"
    assert of(check_settings(loaded(environment, GEOIP_FILE=missing)), "GeoIP")[0][0] == "warn"
    assert of(check_settings(loaded(environment)), "GeoIP")[0][0] == "ok"


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ("caller_name", "TWILIO_LOOKUP_FIELDS: 'caller_name' is not a package that Auth1 uses"),
        ("line_type_intelligence,", None),
    ],
)
def test_fields_that_are_not_used_are_problems(environment: dict[str, str], fields: str, problem: str | None) -> None:
    if problem is None:
        twilio = loaded(environment, TWILIO_LOOKUP_FIELDS=fields).twilio
        assert twilio is not None
        assert twilio.lookup_fields == ("line_type_intelligence",)
        return
    with pytest.raises(Exception, match=problem):
        loaded(environment, TWILIO_LOOKUP_FIELDS=fields)


def write(path: str, data: bytes) -> None:
    Path(path).write_bytes(data)
