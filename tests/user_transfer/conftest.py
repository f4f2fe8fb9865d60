"""The tenant and the database connection of the tests of users."""

from tests.users.conftest import database, house

__all__ = ["database", "house"]
