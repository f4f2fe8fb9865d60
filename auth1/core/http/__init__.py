"""HTTP between ASGI and typed handlers.

asgi        scope, receive, send -> Request -> handler -> bytes; one deadline and one log line per request
request     Request, bodies, responses, streams
bodies      how the body of a route is decoded, by media type
router      method and path -> Route
query       query string -> Struct
pagination  pages of a list
problems    an error as application/problem+json
cors        which web origins may call
client_ip   the client's address, through trusted proxies only
access_log  one log line and one sample of the metrics per request
static      documents that never change, compressed once
framing     the form of a request, checked before its route is known
concurrency how many expensive requests may run at once
streaming   a response larger than memory
"""
