"""The tenant and the database connection of the user tests."""

from tests.users.conftest import database, house

__all__ = ["database", "house"]
