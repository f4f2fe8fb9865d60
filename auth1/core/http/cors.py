"""Allow web pages to call (Fetch standard, CORS protocol). Credentials are headers, never cookies.

A preflight has no credential, so the operator's origins decide it. The origins of the API key, if it has any, restrict
the response as well: pages of other origins cannot read it.
"""

_METHODS = b"GET, POST, PATCH, PUT, DELETE"
# Those of the API, then those of tracing: W3C, Sentry, B3, Datadog, Jaeger, Google, AWS, Azure and New Relic.
_HEADERS = (
    b"authorization, content-type, idempotency-key, x-api-key, x-request-id, "
    b"traceparent, tracestate, baggage, sentry-trace, b3, x-b3-traceid, x-b3-spanid, x-b3-parentspanid, x-b3-sampled, "
    b"x-datadog-trace-id, x-datadog-parent-id, x-datadog-origin, x-datadog-sampling-priority, uber-trace-id, "
    b"x-cloud-trace-context, x-amzn-trace-id, request-id, request-context, newrelic"
)
_EXPOSED = b"retry-after, ratelimit, ratelimit-policy, x-request-id, www-authenticate, idempotent-replayed"
_MAX_AGE_S = b"600"

Headers = list[tuple[bytes, bytes]]
ANY_ORIGIN: Headers = [(b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", _EXPOSED)]
PREFLIGHT: Headers = [
    (b"access-control-allow-methods", _METHODS),
    (b"access-control-allow-headers", _HEADERS),
    (b"access-control-max-age", _MAX_AGE_S),
]


class Cors:
    """The operator's origins (`CORS_ORIGINS`). Auth1's own pages may always call."""

    def __init__(self, origins: tuple[str, ...], own_origin: str) -> None:
        self._any = "*" in origins
        self._origins = frozenset(origins) | {own_origin}
        # The headers of a response to a request without an Origin: a cache may give it to a page.
        self.varying: Headers = [(b"vary", b"origin")]
        self.without_origin = ANY_ORIGIN if self._any else self.varying

    def allows(self, origin: str) -> bool:
        return self._any or origin in self._origins

    def headers(self, origin: str, narrowed: tuple[str, ...] = ()) -> Headers:
        """Return the headers of a response to a page; `narrowed` are the allowed origins of the API key."""
        if self._any and not narrowed:
            return ANY_ORIGIN
        if not self.allows(origin) or (narrowed and origin not in narrowed):
            return self.varying
        return [
            *self.varying,
            (b"access-control-allow-origin", origin.encode()),
            (b"access-control-expose-headers", _EXPOSED),
        ]

    def preflight(self, origin: str | None) -> Headers:
        """Return the headers of a response to OPTIONS, beside those of every response."""
        if origin is None or not self.allows(origin):
            return []
        return PREFLIGHT
