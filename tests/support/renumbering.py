"""Numbering plans that change during a test."""

import phonenumbers
import pytest
from phonenumbers import PhoneNumber, ValidationResult

from auth1 import numbering


class Renumbering:
    """Numbering plans that change during a test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._rejected: set[str] = set()
        judge = phonenumbers.is_possible_number_with_reason

        def judge_today(number: PhoneNumber) -> int:
            text = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
            return ValidationResult.TOO_SHORT if text in self._rejected else judge(number)

        look_up = numbering.look_up
        monkeypatch.setattr(phonenumbers, "is_possible_number_with_reason", judge_today)
        monkeypatch.setattr(numbering, "look_up", lambda phone: None if phone in self._rejected else look_up(phone))

    def reject(self, *phones: str) -> None:
        """Let the numbering plan reject phones from now on."""
        self._rejected.update(phones)
