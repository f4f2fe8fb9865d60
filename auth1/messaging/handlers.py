"""Messages and statistics of a tenant. Messages of its sandbox are left out."""

from datetime import UTC, datetime, timedelta

from auth1.core.http.request import Request
from auth1.errors import FieldError, ValidationFailed
from auth1.messaging import statistics
from auth1.messaging.schemas import MessagePage, MessageQuery, Statistics, StatisticsQuery
from auth1.services import Services
from auth1.tenants.settings import TenantAdmin

MAX_SPAN = timedelta(days=31)  # messages are kept for 30
DEFAULT_SPAN = timedelta(days=1)

INTERVAL_S = 60.0
MAX_HOURS = 50  # per run
HOUR_IS_FINAL_S = 3600  # after an hour's end: by then its codes have expired; later delivery reports are not counted


async def list_messages(app: Services, request: Request[TenantAdmin], query: MessageQuery) -> MessagePage:
    """List messages, newest first. Filter by state, provider, channel, country, challenge or time."""
    messages = await statistics.list_messages(app.reads, request.caller.tenant_id, query)
    return MessagePage(*query.split(messages, lambda message: message.message_id))


async def show_statistics(app: Services, request: Request[TenantAdmin], query: StatisticsQuery) -> Statistics:
    """Return delivery statistics by country, provider or channel: of the last day, or of at most 31 days."""
    until = query.until or datetime.now(UTC)
    since = query.since or until - DEFAULT_SPAN
    if not since < until <= since + MAX_SPAN:
        raise ValidationFailed(errors=[FieldError("since", f"Must be at most {MAX_SPAN.days} days before until.")])
    groups = await statistics.message_statistics(app.reads, request.caller.tenant_id, since, until, query.group_by)
    return Statistics(query.group_by, since, until, groups)


async def aggregate_statistics(app: Services) -> None:
    """Aggregate finished hours, so that statistics of many days need not read each message."""
    for _ in range(MAX_HOURS):
        if await statistics.aggregate_hour(app.postgres, HOUR_IS_FINAL_S) is None:
            break
