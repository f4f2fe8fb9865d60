"""HTTP between ASGI and typed handlers.

asgi        scope, receive, send -> Request -> handler -> bytes; one deadline and one log line per request
request     Request and its form, bodies, responses, streams
bodies      how the body of a route is decoded, by media type
router      method and path -> Route
query       query string -> Struct
pagination  pages of a list
problems    an error as application/problem+json
cookies     cookies with fixed flags
cors        which web origins may call
client_ip   the client's address, through trusted proxies only
static      documents that never change, compressed once
lifecycle   start and stop of a worker
concurrency how many expensive requests may run at once
streaming   a response larger than memory
"""
