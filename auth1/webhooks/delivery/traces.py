"""Traces of requests for the webhooks of their events, kept in Redis for as long as most attempts take.

A delivery happens later, and often in another process. Redis may lose a trace; the delivery is then sent without one.
Nothing is written for requests without a trace.
"""

import contextlib
from collections.abc import Collection
from typing import Any

from auth1.core.http.request import Request
from auth1.core.redis import Redis, RedisUnavailable
from auth1.core.telemetry import tracing
from auth1.core.telemetry.tracing import TraceContext
from auth1.services import Services

KEEP_S = 3600


async def keep_trace(app: Services, request: Request[Any]) -> None:
    """Keep the trace of a request that may cause events of a tenant."""
    trace, tenant_id = tracing.current(), request.log.get("tenant_id")
    if trace is not None and tenant_id is not None and request.method != "GET":
        with contextlib.suppress(RedisUnavailable):
            await app.redis.call("SET", _key(str(tenant_id), request.request_id), str(trace), "EX", KEEP_S)


async def find_traces(redis: Redis | None, tenant_id: str, request_ids: Collection[str]) -> dict[str, TraceContext]:
    """Return the known traces of requests by their ids."""
    if redis is None or not request_ids:
        return {}
    try:
        values = await redis.call("MGET", *[_key(tenant_id, request_id) for request_id in request_ids])
    except RedisUnavailable:
        return {}
    found = {one: tracing.parse([value]) for one, value in zip(request_ids, values, strict=True) if value is not None}
    return {request_id: trace for request_id, trace in found.items() if trace is not None}


def _key(tenant_id: str, request_id: str) -> str:
    return f"auth1:trace:{{{tenant_id}}}:{request_id}"
