"""Find a tenant by a name that callers can guess: an API key, or the slug of a tenant."""

from collections.abc import Awaitable, Callable
from typing import Any

from auth1.core.http.request import Request
from auth1.core.ratelimit import ClientRateLimit
from auth1.services import Services
from auth1.tenants.settings import Tenant


async def find_limited(
    app: Services,
    request: Request[Any],
    rate_limit: ClientRateLimit,
    find: Callable[[], Awaitable[Tenant | None]],
) -> Tenant | None:
    """Run `find`, and count a miss against the client's limit. A hit costs nothing. Raises RateLimited.

    A client that has used its limit up may run one `find` a second, so that many guesses at once do not reach
    PostgreSQL either.
    """
    app.limiter.check_known_full(request, app.settings, rate_limit)
    app.limiter.keep_full(rate_limit.of(app.settings, request.client))
    tenant = await find()
    if tenant is None:
        await app.limiter.acquire_for_client(request, app.settings, rate_limit)
    return tenant
