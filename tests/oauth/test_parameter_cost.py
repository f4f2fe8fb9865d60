"""The work on the parameters of a request grows with their number, not with its square. Comparisons are counted."""

from collections.abc import Callable
from contextlib import suppress

import pytest

from auth1.core.http.request import Form
from auth1.errors import BadRequest
from auth1.oauth.authorization.request_parameters import read_pairs
from auth1.oauth.clients import read_parameters

FEW = 500


class Name(str):
    """A name that counts how often it is hashed or compared."""

    __slots__ = ()
    operations = 0

    def __eq__(self, other: object) -> bool:
        Name.operations += 1
        return str.__eq__(self, other)

    def __hash__(self) -> int:
        Name.operations += 1
        return str.__hash__(self)


Read = Callable[[tuple[tuple[str, str], ...]], object]


def operations(read: Read, number: int, *, same: bool) -> int:
    """Return the comparisons and hashes of names that `read` needs for a number of parameters."""
    pairs = tuple((Name("scope" if same else f"p{index}"), "x") for index in range(number))
    Name.operations = 0
    with suppress(BadRequest):
        read(pairs)
    return Name.operations


@pytest.mark.parametrize("same", [True, False], ids=["same", "different"])
@pytest.mark.parametrize("read", [read_pairs, lambda pairs: read_parameters(Form(pairs))], ids=["authorize", "token"])
def test_work_grows_in_step_with_the_number_of_parameters(read: Read, same: bool) -> None:
    few, many = operations(read, FEW, same=same), operations(read, 2 * FEW, same=same)

    assert FEW <= few <= 10 * FEW
    assert many <= 2.5 * few


def test_comparisons_of_all_pairs_are_noticed() -> None:
    def read(pairs: tuple[tuple[str, str], ...]) -> object:
        names = [name for name, _ in pairs]
        return [name for name in names if names.count(name) > 1]

    assert operations(read, 2 * FEW, same=False) > 3 * operations(read, FEW, same=False)
