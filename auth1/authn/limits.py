"""Rate limits per client address."""

from auth1.core.ratelimit import ClientRateLimit

MINUTE_MS = 60_000
TEST_KEY_REQUESTS = 600  # per minute and key
SERVER_PUSHES_A_MINUTE = 3000
POLLS = 600  # per minute and address: 256 random bits need no stricter limit

PER_IP = ClientRateLimit("ip", lambda settings: (settings.rate_limit_max, settings.rate_limit_window_ms))
# Wrong credentials. Apart from PER_IP, so that publishable keys in use at an address do not lock out its servers.
GUESSES = ClientRateLimit("guess", lambda settings: (settings.rate_limit_max, settings.rate_limit_window_ms))
# Unknown publishable keys and slugs, on routes without a rate limit. Apart from GUESSES, so that an app with a revoked
# key does not lock out the servers at its address.
UNKNOWN_NAMES = ClientRateLimit("name", lambda settings: (settings.rate_limit_max, settings.rate_limit_window_ms))
# Hosted logins that begin: each is a row of up to 8 KiB, even if no user continues it.
LOGINS = ClientRateLimit("login", lambda settings: (5 * settings.rate_limit_max, settings.rate_limit_window_ms))
# Pushed authorization requests: each is a row of up to 8 KiB, for a minute. Of public clients, per address; of one with
# a secret, per client and address of its server, which pushes those of all its users.
PUSHES = ClientRateLimit("push", LOGINS.size)
SERVER_PUSHES = ClientRateLimit("server_push", lambda _: (SERVER_PUSHES_A_MINUTE, MINUTE_MS))
POLLING = ClientRateLimit("poll", lambda settings: (POLLS, MINUTE_MS))
# Pages for people. Apart from POLLING, so that programs that poll do not block the pages of others at an address.
PAGES = ClientRateLimit("page", lambda settings: (POLLS, MINUTE_MS))
