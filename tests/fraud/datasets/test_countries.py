"""The country of an address: formats of vendors, changed, damaged and missing files."""

import os
from pathlib import Path
from typing import Any

import pytest

from auth1.core.telemetry.log import Log
from auth1.fraud.datasets.countries import Countries, country_in
from tests.support.mmdb import write_mmdb

US = {"203.0.113.0/24": {"country": {"iso_code": "US"}}, "2001:db8::/32": {"country": {"iso_code": "DE"}}}
FR = {"203.0.113.0/24": {"country": {"iso_code": "FR"}}}


def replace(path: Path, data: bytes) -> None:
    """Replace a file by another one, as updaters do."""
    new = path.with_suffix(".new")
    new.write_bytes(data)
    new.replace(path)


def write(path: Path, data: bytes) -> None:
    """Write a file in place, which truncates what is in use."""
    path.write_bytes(data)


def logged(log: Log, path: Path) -> str:
    log.close()
    return path.read_text()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "country.mmdb"
    path.write_bytes(write_mmdb(US))
    return path


@pytest.fixture
def log_path(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def log(log_path: Path) -> Log:
    return Log("info", os.open(log_path, os.O_WRONLY | os.O_CREAT))


@pytest.fixture
async def countries(path: Path, log: Log) -> Countries:
    countries = Countries(str(path), log)
    await countries.refresh()
    return countries


async def test_address_has_the_country_of_its_network(countries: Countries) -> None:
    found = [countries.country_of(address) for address in ("203.0.113.7", "2001:db8::1", "198.51.100.1", "local", "")]

    assert found == ["US", "DE", None, None, None]


@pytest.mark.parametrize("writes_in_place", [False, True])
async def test_changed_file_is_loaded(countries: Countries, path: Path, writes_in_place: bool) -> None:
    data = write_mmdb(FR)
    (write if writes_in_place else replace)(path, data)

    await countries.refresh()

    assert countries.country_of("203.0.113.7") == "FR"


@pytest.mark.parametrize("data", [b"", b"no database", write_mmdb(FR)[:-200], write_mmdb(FR)[:100]])
async def test_damaged_file_keeps_the_previous_one_and_is_logged_once(
    countries: Countries, path: Path, log: Log, log_path: Path, data: bytes
) -> None:
    write(path, data)

    for _ in range(3):
        await countries.refresh()

    assert countries.country_of("203.0.113.7") == "US"
    replace(path, write_mmdb(FR))
    await countries.refresh()
    assert countries.country_of("203.0.113.7") == "FR"
    assert logged(log, log_path).count("GEOIP_FILE cannot be loaded") == 1


async def test_missing_file_keeps_the_previous_one(countries: Countries, path: Path) -> None:
    os.unlink(path)

    await countries.refresh()

    assert countries.country_of("203.0.113.7") == "US"


async def test_file_may_appear_after_the_start(tmp_path: Path) -> None:
    path = tmp_path / "later.mmdb"
    countries = Countries(str(path), Log("error"))
    await countries.refresh()
    assert countries.country_of("203.0.113.7") is None

    write(path, write_mmdb(US))
    await countries.refresh()

    assert countries.country_of("203.0.113.7") == "US"


async def test_no_file_leaves_countries_unknown() -> None:
    countries = Countries(None, Log("error"))

    await countries.refresh()

    assert countries.country_of("203.0.113.7") is None


@pytest.mark.parametrize("position", range(0, 130, 3))
async def test_damaged_bytes_never_raise(path: Path, position: int) -> None:
    data = bytearray(write_mmdb(US))
    data[len(data) // 4 + position] ^= 0xFF
    write(path, bytes(data))
    countries = Countries(str(path), Log("error"))

    await countries.refresh()

    found = countries.country_of("203.0.113.7")
    assert found is None or len(found) == 2


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"country": {"iso_code": "US"}, "registered_country": {"iso_code": "DE"}}, "US"),
        ({"registered_country": {"iso_code": "DE"}}, "DE"),
        ({"country": "fr"}, "FR"),
        ({"country": "France", "country_code": "FR"}, "FR"),
        ({"country": {}}, None),
        ({"country": {"iso_code": 5}}, None),
        ({"continent": {"code": "EU"}}, None),
        (None, None),
        ("US", None),
    ],
)
def test_records_of_several_vendors_are_read(record: Any, expected: str | None) -> None:
    assert country_in(record) == expected
