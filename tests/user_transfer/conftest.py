"""The tenant and the database connection of the user tests."""

from tests.users.conftest import admin, database

__all__ = ["admin", "database"]
