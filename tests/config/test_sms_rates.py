"""The price table: read exactly, or rejected with every problem reported."""

from pathlib import Path

import pytest

from auth1.config.settings import ConfigurationError, load_settings
from auth1.config.sms_rates import BUILT_IN, MAX_BYTES, read_sms_rates
from tests.config.test_config import ENOUGH


def write(directory: Path, text: str) -> Path:
    path = directory / "rates.csv"
    path.write_text(text)
    return path


def test_price_is_per_segment_of_the_country_or_default(tmp_path: Path) -> None:
    text = "# ours\ncountry,price\nUS, 0.0079\n *,0.15 # all others\n\nGB,1\n"

    rates = read_sms_rates(write(tmp_path, text))

    assert rates["US"] == 7_900
    assert 3 * rates["US"] == 23_700
    assert rates["GB"] == 1_000_000
    assert rates["AQ"] == rates[None] == 150_000


def test_every_problem_of_a_rates_file_is_reported(tmp_path: Path) -> None:
    text = "US,0.01\nus,0.01\nGB\nDE,-1\nFR,1e3\nIT,0.0000001\nUS,0.02\n,1\n٣٣,1\n"

    with pytest.raises(ValueError) as caught:  # the sentences are below
        read_sms_rates(write(tmp_path, text))

    lines = [problem.split(" ")[:2] for problem in caught.value.args]
    assert lines == [["line", str(number)] for number in (2, 3, 4, 5, 6, 7, 8, 9)]


@pytest.mark.parametrize("text", ["", "US,0.01\n", "*,0.1\n" + "#" * MAX_BYTES])
def test_invalid_rates_file_is_rejected(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError):
        read_sms_rates(write(tmp_path, text))


def test_unreadable_rates_file_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path, tmp_path / "nowhere", tmp_path / "binary"):
        with pytest.raises(ConfigurationError) as caught:
            load_settings(ENOUGH | {"SMS_RATES_FILE": str(path), "PORT": "none"})
        assert sum(problem.startswith("SMS_RATES_FILE: ") for problem in caught.value.problems) == 1
        assert len(caught.value.problems) == 2


def test_built_in_rates_are_estimates_for_every_country() -> None:
    assert "Rough estimates" in BUILT_IN.read_text().splitlines()[0]
    assert load_settings(ENOUGH).sms_rates["AQ"] > 0


def test_operator_rates_replace_the_built_in_rates(tmp_path: Path) -> None:
    path = write(tmp_path, "*,0.5\n")

    settings = load_settings(ENOUGH | {"SMS_RATES_FILE": str(path)})

    assert settings.sms_rates["US"] == 500_000
