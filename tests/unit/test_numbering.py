"""Phone numbers are looked up as phonenumbers parses them."""

import tracemalloc
from itertools import islice

import phonenumbers
import pytest
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from auth1 import numbering
from auth1.errors import InvalidPhone
from auth1.identifiers import parse_phone, stored_identifier
from tests.support.each import each
from tests.support.effort import effort
from tests.support.phone_numbers import CODES, oracle_of, outcome_of, random_phones

SAMPLE = effort(5_000, 20_000)
REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS - {"TA"})  # Tristan da Cunha has no mobile numbers


def test_outcomes_equal_those_of_phonenumbers() -> None:
    phones = list(islice(random_phones(seed=42), SAMPLE))

    differing = [phone for phone in phones if outcome_of(phone) != oracle_of(phone)]
    accepted = [phone for phone in phones if outcome_of(phone)]
    looked_up = [phone for phone in accepted if numbering.look_up(phone)]

    assert differing == []
    assert len(accepted) > SAMPLE / 3
    assert len(looked_up) > 0.8 * len(accepted)


@each("region", REGIONS)
def test_mobile_numbers_of_every_region_are_looked_up(region: str) -> None:
    example = phonenumbers.example_number_for_type(region, PhoneNumberType.MOBILE)
    assert example is not None
    phone = phonenumbers.format_number(example, PhoneNumberFormat.E164)

    number = numbering.look_up(phone)

    assert number is not None
    assert number.country == phonenumbers.region_code_for_number(example)
    assert number.line == phonenumbers.number_type(example)
    assert f"+{number.country_code}{number.national}" == phone
    assert stored_identifier("phone", phone) == parse_phone(phone)


@pytest.mark.parametrize(
    "phone",
    [
        "+4407911123456",  # national prefix
        "+44791112",  # too short
        "+80012345678",  # no country
        "+9991234567",  # no country code
        "+12025550123456",  # too long
    ],
)
def test_other_numbers_are_left_to_phonenumbers(phone: str) -> None:
    assert numbering.look_up(phone) is None


@pytest.mark.parametrize("phone", ["+19005550123", "+3800000999", "+390000112"])
def test_premium_and_emergency_numbers_are_rejected(phone: str) -> None:
    assert oracle_of(phone) is None
    with pytest.raises(InvalidPhone):
        parse_phone(phone)


def test_rules_of_all_regions_take_less_than_2_mib() -> None:
    numbering._plan.cache_clear()
    numbering._region.cache_clear()
    tracemalloc.start()
    try:
        for phone in islice(random_phones(seed=1), 50 * len(CODES)):
            numbering.look_up(phone)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert size < 2 * 1024 * 1024
