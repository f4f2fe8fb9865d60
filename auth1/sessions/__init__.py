"""Sessions: the revocable row, and the tokens that name it.

tokens          the signed access token (JWT): signed and checked
refresh_tokens  derived, never stored
create          the session and tokens of a login
browser         the session of a browser, named by a cookie
login_hooks     logins and refreshes of tenants with hooks
unanswered      logins that were committed, although their request got 503: their repeat gets the session
refresh         a refresh token exchanged for a new pair
end             end the sessions of a user
cache           live sessions in Redis: one read per check
guards          checks of a user's access token, and of a recent login
handlers        sign out, list, revoke
"""
