"""HTTP/1.1 requests to other services: a transport for httpx.

transport   an httpx request over a kept connection, within one deadline
http1       an httpx request -> bytes -> a response, parsed strictly and within bounds
connection  one connection that carries one request at a time
connect     opens connections: TLS, proxies
guard       which URLs of tenants may be called, and at which address
guarded     calls of untrusted URLs: the guard and the transport together
resolver    look-ups of host names of untrusted servers
text_records  look-ups of TXT records
addresses   TCP connections to the first of several addresses that answers
pool        kept connections, and the bound on requests at once
shared_slots  calls at once, shared by their owners
"""

from auth1.core.outbound.connect import tls_context
from auth1.core.outbound.shared_slots import AtCapacity, SharedSlots
from auth1.core.outbound.transport import CONNECT_TO, NOT_SENT, ResponseTooLarge, Transport, is_own_shortage

__all__ = [
    "CONNECT_TO",
    "NOT_SENT",
    "AtCapacity",
    "ResponseTooLarge",
    "SharedSlots",
    "Transport",
    "is_own_shortage",
    "tls_context",
]
