"""What a tenant reads of its messages: each of them, and what they add up to. Those of its sandbox are left out."""

import re
from datetime import UTC, datetime, timedelta
from typing import get_args

from auth1.callers.tenant import Manager
from auth1.challenges import message_store
from auth1.challenges.identifiers import Channel
from auth1.challenges.message_schemas import GroupBy, MessagePage, State, Statistics
from auth1.challenges.message_store import Wanted
from auth1.config import SMS_PROVIDERS
from auth1.core.call import Call
from auth1.core.moments import moment
from auth1.core.paging import page
from auth1.errors import FieldError, ValidationFailed
from auth1.services import Services

MAX_SPAN = timedelta(days=31)  # messages are kept for 30
DEFAULT_SPAN = timedelta(days=1)

ROUND_S = 60.0
MAX_HOURS = 50  # per round
HOUR_IS_FINAL_S = 3600  # after its end no code lives, and receipts have come; what comes later is not added

_PROVIDERS = (*SMS_PROVIDERS, "smtp")
_COUNTRY = re.compile(r"[A-Z]{2}", re.ASCII)
_CHALLENGE_ID = re.compile(r"ch_[0-9a-z]{26}", re.ASCII)


async def list_messages(app: Services, call: Call[Manager]) -> MessagePage:
    """List messages, newest first, by state, provider, channel, country, challenge or time."""
    wanted = Wanted(
        since=moment(call, "since"),
        until=moment(call, "until"),
        state=_one_of(call, "state", get_args(State)),
        provider=_one_of(call, "provider", _PROVIDERS),
        channel=_one_of(call, "channel", get_args(Channel)),
        country=_like(call, "country", _COUNTRY),
        challenge_id=_like(call, "challenge_id", _CHALLENGE_ID),
    )
    wanted_page = page(call)
    messages = await message_store.list_messages(
        app.reads, call.caller.tenant_id, wanted, wanted_page.after, wanted_page.rows
    )
    return MessagePage(*wanted_page.split(messages, lambda message: message.message_id))


async def show_statistics(app: Services, call: Call[Manager]) -> Statistics:
    """Say what became of messages, by country, provider or channel: of the last day, or of at most 31 days."""
    now = datetime.now(UTC)
    until = moment(call, "until") or now
    since = moment(call, "since") or until - DEFAULT_SPAN
    if not since < until <= since + MAX_SPAN:
        raise ValidationFailed(errors=[FieldError("since", f"Must be at most {MAX_SPAN.days} days before until")])
    name = _one_of(call, "group_by", get_args(GroupBy)) or "country"
    group_by: GroupBy = next(value for value in get_args(GroupBy) if value == name)
    groups = await message_store.message_statistics(app.reads, call.caller.tenant_id, since, until, group_by)
    return Statistics(group_by, since, until, groups)


async def add_up(app: Services) -> None:
    """Add up the hours that are due, so that statistics of many days need not read each message."""
    for _ in range(MAX_HOURS):
        if await message_store.add_up_hour(app.postgres, HOUR_IS_FINAL_S) is None:
            break


def _one_of(call: Call[Manager], name: str, values: tuple[str, ...]) -> str | None:
    value = call.query().get(name)
    if value is not None and value not in values:
        raise ValidationFailed(errors=[FieldError(name, f"Must be one of {', '.join(values)}")])
    return value


def _like(call: Call[Manager], name: str, form: re.Pattern[str]) -> str | None:
    value = call.query().get(name)
    if value is not None and not form.fullmatch(value):
        raise ValidationFailed(errors=[FieldError(name, f"Not a {name}")])
    return value
