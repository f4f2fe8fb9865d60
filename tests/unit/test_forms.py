"""Forms as bodies: application/x-www-form-urlencoded (WHATWG URL, 5.1)."""

import pytest

from auth1.core.http.request import Form
from auth1.errors import BadRequest


def test_pairs_are_kept_as_they_came() -> None:
    form = Form.decode(b"b=2&a=1&b=&c&a=%C3%A9+%2B%26%3D&=x")

    assert form.pairs == (("b", "2"), ("a", "1"), ("b", ""), ("c", ""), ("a", "é +&="), ("", "x"))


def test_the_last_value_of_a_name_is_its_value() -> None:
    form = Form.decode(b"a=1&a=2")

    assert (form.value("a"), form.value("b")) == ("2", None)


def test_an_empty_body_is_an_empty_form() -> None:
    assert Form.decode(b"").pairs == ()


@pytest.mark.parametrize("raw", [b"a=\xff", b"a=%FF", b"%C3=1"])
def test_what_is_not_utf_8_is_refused(raw: bytes) -> None:
    with pytest.raises(BadRequest):
        Form.decode(raw)
