"""What a tenant or a user writes of a user: a JSON object of at most 4 KiB.

A change is merged at the top level, and null takes a key away (as Auth0 and Supabase do): whoever changes one key need
not know the others.
"""

from collections.abc import Mapping
from typing import Any

from auth1.account.metadata import BYTES, check, refuse_large
from auth1.core import schemas

Metadata = dict[str, Any]


def merge(field: str, old: Mapping[str, Any], changes: Mapping[str, Any]) -> str:
    """Merge changes into what there was; returns JSON. Raises ValidationFailed when that is too much, or cannot be."""
    merged = {key: value for key, value in {**old, **changes}.items() if value is not None}
    check(field, merged)
    text = schemas.encode(merged)
    if len(text) > BYTES:
        raise refuse_large(field)
    return text.decode()


def has_value(wanted: object) -> bool:
    """Whether a search says anything: an empty object is contained in everything."""
    if isinstance(wanted, dict):
        return any(map(has_value, wanted.values()))
    return any(map(has_value, wanted)) if isinstance(wanted, list) else True
