"""A login that is recent enough for what cannot be undone."""

import time

from auth1.errors import ReauthenticationRequired
from auth1.sessions.guards import LoggedIn

RECENT_S = 300


def require_recent_login(caller: LoggedIn) -> None:
    """Raise ReauthenticationRequired unless the user has logged in within 5 minutes; a refreshed token is no login."""
    if time.time() - caller.claims.auth_time > RECENT_S:
        raise ReauthenticationRequired
