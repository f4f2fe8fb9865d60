"""Logins by the functions of this release, without the program."""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from auth1.core.ids import new_id
from auth1.core.postgres.functions import functions

FUNCTIONS = ("open_challenges", "record_deliveries", "submit_codes")
MAC = b"m" * 32


def new_login(tenant_id: str) -> dict[str, Any]:
    """Return the fields of the three requests of a login with a new phone."""
    return {
        "tenant_id": tenant_id,
        "identifier": f"+1555{secrets.randbelow(10**9):09}",
        "type": "phone",
        "purpose": "login",
        "challenge_id": new_id("ch"),
        "code_mac": MAC,
        "code_macs": [MAC],
        "code_box": b"vers" + b"b" * 36,
        "box_prefixes": [b"vers"],
        "expires_in": 600,
        "attempts_max": 5,
        "message_id": new_id("msg"),
        "provider": "twilio",
        "sends_per_hour": 5,
        "first_wait": 0,
        "country": "US",
        "segments": 1,
        "price_microdollars": 7900,
        "is_suppressed": False,
        "data": "{}",
        "actor": "key",
        "state": "sent",
        "provider_message_id": "SM1",
        "refunds_send": False,
        "report_in": 600,
        "exclude_providers": [],
        "new_user_id": new_id("usr"),
        "session_id": new_id("ses"),
        "session_expires_in": 7776000,
        "session_idle_after": 2592000,
    }


def call(name: str, *logins: Mapping[str, Any]) -> tuple[str, list[tuple[Any, ...]]]:
    """Return a call of a function that takes an array: its text, and its argument with new ids of events."""
    release = functions()
    type_name, _ = release.parameters[name]
    requests = [
        login
        | {key: new_id("evt") for key in ("event_id", "user_event_id", "budget_event_id")}
        | {"deadline": datetime.now(UTC) + timedelta(seconds=30)}
        for login in map(dict, logins)
    ]
    rows = [tuple(request.get(field) for field in release.types[type_name]) for request in requests]
    return f"select * from {release.schema}.{name}($1::{release.schema}.{type_name}[])", rows
