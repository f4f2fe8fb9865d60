"""The services of `bench.compare` that need `.bench/venv`."""

import pytest

from bench.compare import needs_venv


@pytest.mark.parametrize("only", [[], ["FastAPI + SQLAlchemy"], ["Auth1", "django-allauth headless"]])
def test_service_in_python_needs_the_virtual_environment(only: list[str]) -> None:
    assert needs_venv(only)


@pytest.mark.parametrize("only", [["Auth1"], ["Auth1, fake Twilio", "better-auth"]])
def test_other_services_need_no_virtual_environment(only: list[str]) -> None:
    assert not needs_venv(only)
