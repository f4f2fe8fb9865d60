"""One log line and one sample of the metrics per request."""

from typing import Any

from auth1 import metrics
from auth1.core.http.request import Request
from auth1.core.http.router import Route
from auth1.core.log import Log


def log_request(log: Log, route: Route | None, request: Request[Any], status: int, elapsed_s: float) -> None:
    """Log and count a completed request."""
    path = route.path if route else "none"
    method = request.method if route else "other"  # clients can invent methods; a label must be bounded
    metrics.HTTP_REQUESTS[method, path, str(status)].inc()
    metrics.HTTP_DURATION[path].observe(elapsed_s)
    write = log.debug if route and route.quiet else log.info
    write(
        "request",
        request_id=request.request_id,
        network=request.network,
        method=request.method[:16],
        route=path,
        status=status,
        duration_ms=round(elapsed_s * 1000, 2),
        **request.log,
    )
