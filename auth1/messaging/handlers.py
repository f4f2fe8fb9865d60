"""Messages and statistics of a tenant. Messages of its sandbox are left out."""

from datetime import UTC, datetime, timedelta

from auth1.core.http.pagination import Paging, page
from auth1.core.http.query import read_query
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


async def list_messages(app: Services, request: Request[TenantAdmin]) -> MessagePage:
    """List messages, newest first, by state, provider, channel, country, challenge or time."""
    wanted = read_query(request, MessageQuery, beside=Paging)
    wanted_page = page(request, beside=MessageQuery)
    messages = await statistics.list_messages(
        app.reads, request.caller.tenant_id, wanted, wanted_page.after, wanted_page.rows
    )
    return MessagePage(*wanted_page.split(messages, lambda message: message.message_id))


async def show_statistics(app: Services, request: Request[TenantAdmin]) -> Statistics:
    """Return statistics of messages by country, provider or channel: of the last day, or of at most 31 days."""
    now = datetime.now(UTC)
    wanted = read_query(request, StatisticsQuery)
    until = wanted.until or now
    since = wanted.since or until - DEFAULT_SPAN
    if not since < until <= since + MAX_SPAN:
        raise ValidationFailed(
            errors=[FieldError("since", f"Must be before `until`, by at most {MAX_SPAN.days} days.")]
        )
    groups = await statistics.message_statistics(app.reads, request.caller.tenant_id, since, until, wanted.group_by)
    return Statistics(wanted.group_by, since, until, groups)


async def aggregate_statistics(app: Services) -> None:
    """Aggregate finished hours, so that statistics of many days need not read each message."""
    for _ in range(MAX_HOURS):
        if await statistics.aggregate_hour(app.postgres, HOUR_IS_FINAL_S) is None:
            break
