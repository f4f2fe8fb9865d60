"""Merging of metadata: a JSON object of at most 4 KiB.

A change is merged at the top level, and null removes a key, as in Auth0 and Supabase.
"""

from collections.abc import Mapping
from typing import Any

from auth1.core import stored_json

Metadata = dict[str, Any]
MAX_BYTES = 4096  # of the text that PostgreSQL writes


def merge(field: str, old: Mapping[str, Any], changes: Mapping[str, Any]) -> str:
    """Merge changes into an object and return the result as JSON. Raises ValidationFailed."""
    merged = {key: value for key, value in {**old, **changes}.items() if value is not None}
    return stored_json.check(field, merged, MAX_BYTES).decode()


def has_value(condition: object) -> bool:
    """Return whether a search condition holds a value: an empty object matches every user."""
    if isinstance(condition, dict):
        return any(map(has_value, condition.values()))
    return any(map(has_value, condition)) if isinstance(condition, list) else True
