"""The routes that manage hosts, for a tenant and for the operator."""

from auth1.authn.management import managed
from auth1.core.http.pagination import PageQuery
from auth1.errors import Conflict, NotFound
from auth1.hosts import handlers
from auth1.hosts.schemas import HostIn, HostPatch

HOST = "/hosts/{host_id}"
VERIFY_DEADLINE_S = 6.0  # longer than a look-up
MAX_LOOKUPS = 2  # at once, of a tenant

HOST_ROUTES = (
    *managed("POST", "/hosts", handlers.add_host, body=HostIn, errors=(Conflict,), status=201, idempotent="yes"),
    *managed("GET", "/hosts", handlers.list_hosts, query=PageQuery),
    *managed(
        "POST",
        HOST + "/verify",
        handlers.verify_host,
        errors=(Conflict, NotFound),
        deadline_s=VERIFY_DEADLINE_S,
        max_concurrent=MAX_LOOKUPS,
    ),
    *managed("PATCH", HOST, handlers.update_host, body=HostPatch, errors=(Conflict, NotFound)),
    *managed("DELETE", HOST, handlers.remove_host, errors=(NotFound,)),
)
