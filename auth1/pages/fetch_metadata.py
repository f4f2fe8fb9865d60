"""Check requests of browsers by their Fetch Metadata headers. Old browsers send none."""

from typing import Any

from auth1.core.http.request import Request
from auth1.errors import Forbidden


def check_site(request: Request[Any]) -> None:
    """Raise Forbidden for a form of another origin.

    It runs before the rate limit, so that a page of another origin cannot use up the limit of its visitors.
    """
    if request.header(b"sec-fetch-site") not in (None, "same-origin"):
        raise Forbidden("The form comes from another page.")


def is_shown(request: Request[Any]) -> bool:
    """Return whether the browser shows the response to a person: not in a frame or an image of another page."""
    return request.header(b"sec-fetch-dest") in (None, "document")
