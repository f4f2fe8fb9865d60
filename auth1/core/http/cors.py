"""Which web pages may call (Fetch standard, CORS protocol). Credentials are headers, never cookies.

A preflight carries no credential, so it is answered by the operator's origins alone. A call is answered by those of
its caller too, where it has any: a page elsewhere cannot read what it is told.
"""

_METHODS = b"GET, POST, PATCH, PUT, DELETE"
_HEADERS = b"authorization, content-type, idempotency-key, x-api-key, x-request-id"
_EXPOSED = b"retry-after, ratelimit, ratelimit-policy, x-request-id, www-authenticate, idempotent-replayed"
_MAX_AGE_S = b"600"

Headers = list[tuple[bytes, bytes]]


class Cors:
    """The operator's origins (`CORS_ORIGINS`); our own pages may always call."""

    def __init__(self, origins: tuple[str, ...], own_origin: str) -> None:
        self._any = "*" in origins
        self._origins = frozenset(origins) | {own_origin}

    def allows(self, origin: str) -> bool:
        return self._any or origin in self._origins

    def headers(self, origin: str | None, narrowed: tuple[str, ...] = ()) -> Headers:
        """Headers of an answer to a page of this origin; `narrowed` are the only origins that the caller has."""
        if self._any and not narrowed:
            return [(b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", _EXPOSED)]
        vary = [(b"vary", b"origin")]
        if origin is None or not self.allows(origin) or (narrowed and origin not in narrowed):
            return vary
        return [
            *vary,
            (b"access-control-allow-origin", origin.encode()),
            (b"access-control-expose-headers", _EXPOSED),
        ]

    def preflight(self, origin: str | None) -> Headers:
        """Headers of the answer to OPTIONS, beside those of every answer."""
        if origin is None or not self.allows(origin):
            return []
        return [
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", _HEADERS),
            (b"access-control-max-age", _MAX_AGE_S),
        ]
