"""Forms as bodies: application/x-www-form-urlencoded (WHATWG URL, 5.1)."""

import pytest

from auth1.core.http.request import Form
from auth1.errors import BadRequest


def test_form_pairs_keep_their_order_and_duplicates() -> None:
    form = Form.decode(b"b=2&a=1&b=&c&a=%C3%A9+%2B%26%3D&=x")

    assert form.pairs == (("b", "2"), ("a", "1"), ("b", ""), ("c", ""), ("a", "é +&="), ("", "x"))


def test_last_form_value_of_a_name_wins() -> None:
    form = Form.decode(b"a=1&a=2")

    assert (form.value("a"), form.value("b")) == ("2", None)


def test_empty_body_is_an_empty_form() -> None:
    assert Form.decode(b"").pairs == ()


@pytest.mark.parametrize("raw", [b"a=\xff", b"a=%FF", b"%C3=1"])
def test_form_that_is_not_utf_8_is_rejected(raw: bytes) -> None:
    with pytest.raises(BadRequest):
        Form.decode(raw)
