"""Insert decisions of the fraud rules, as the service stores them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import msgspec

from auth1.core.ids import new_id
from auth1.fraud.rules import Facts

INSERT = """
insert into decisions (tenant_id, id, decision, is_enforced, score, reasons, features, scopes, rule_version,
  challenge_id, outcome, created_at)
values ($1, $2, $3, true, 0, $4, $5, '{}', 1, $6, $7, $8)
"""
CHALLENGE = """
insert into challenges (tenant_id, id, identifier, channel, expires_at)
values ($1, $2, $3, 'sms', now() + interval '10 minutes')
"""
COLD = {"block_of_1000": (1.0, 0.0), "country": (0.05, 0.0), "exposure_budget": (0.05, 0.0)}
LOADED = COLD | {"block_of_1000": (9.0, 0.0)}  # a load of 1.5
FLOODED = COLD | {"block_of_1000": (60.0, 0.0)}  # a load of 10


def old_id(age: timedelta) -> str:
    """Return an id of a decision that was made some time ago."""
    digits = "0123456789abcdefghjkmnpqrstvwxyz"
    milliseconds = int((datetime.now(UTC) - age).timestamp() * 1000)
    return "fd_" + "".join(digits[milliseconds >> shift & 31] for shift in range(45, -1, -5)) + new_id("fd")[-16:]


async def make_decision(
    database: asyncpg.Connection,
    tenant_id: str,
    scopes: dict[str, tuple[float, float]],
    *,
    decision: str = "allow",
    outcome: str = "unverified",
    reasons: tuple[str, ...] = ("block_of_1000: 9 unverified, 6 allowed",),
    phone: str | None = None,
    age: timedelta = timedelta(),
    facts: dict[str, Any] | None = None,
    **features: Any,
) -> str:
    """Store a decision about a message of $0.05. With a phone, its code was sent to it."""
    decision_id, challenge_id = old_id(age), None
    if phone is not None:
        challenge_id = new_id("ch")
        await database.execute(CHALLENGE, tenant_id, challenge_id, phone)
    stored = msgspec.to_builtins(Facts(price=0.05, scopes=scopes, **(facts or {})))
    text = msgspec.json.encode({"channel": "sms", "facts": stored, **features}).decode()
    values = (decision, list(reasons), text, challenge_id, outcome, datetime.now(UTC) - age)
    await database.execute(INSERT, tenant_id, decision_id, *values)
    return decision_id
