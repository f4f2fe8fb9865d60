"""Read cookies, and set them with flags that are the same for all of them.

Over https a name has the prefix `__Host-` (RFC 6265bis, 4.1.3.2): no other host, path or plain connection can set it.
Some clients do not return such a cookie over http, so the cookies of a server on the loopback have no prefix.
"""

from typing import Any

from auth1.core.http.request import Request
from auth1.errors import BadRequest

_HOST_PREFIX = "__Host-"


def cookie_name(base: str, *, secure: bool) -> str:
    """Return the name of a cookie. A colon, which names cannot contain, becomes a hyphen."""
    return f"{_HOST_PREFIX if secure else ''}auth1_{base.replace(':', '-')}"


def read_cookie(request: Request[Any], name: str) -> str | None:
    """Return the value of a cookie. Raises BadRequest when it was sent twice."""
    wanted = name.encode()
    pairs = (pair.strip().partition(b"=") for line in request.values(b"cookie") for pair in line.split(b";"))
    found = [value for known, _, value in pairs if known == wanted]
    if len(found) > 1:
        raise BadRequest(f"The cookie {name} was sent twice.")
    return found[0].decode("latin-1") if found else None


def set_cookie(
    request: Request[Any], name: str, value: str, *, secure: bool, max_age: int | None = None, path: str = "/"
) -> None:
    """Set a cookie that scripts cannot read, and that only links and redirects of other sites send.

    `max_age` is in seconds; None: until the browser ends. A `path` other than / needs a name without prefix.
    """
    attributes = [f"{name}={value}", f"Path={path}", "HttpOnly", "SameSite=Lax"]
    if secure:
        attributes.append("Secure")
    if max_age is not None:
        attributes.append(f"Max-Age={max_age}")
    request.headers.append((b"set-cookie", "; ".join(attributes).encode()))


def clear_cookie(request: Request[Any], name: str, *, secure: bool) -> None:
    """Delete a cookie."""
    set_cookie(request, name, "", secure=secure, max_age=0)
