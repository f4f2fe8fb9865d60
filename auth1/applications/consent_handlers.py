"""List and end the access of applications to an account: for its user, the tenant and the operator."""

from auth1.applications import consents
from auth1.applications.schemas import ConsentOut, ConsentPage
from auth1.core.http.pagination import PageQuery
from auth1.core.http.request import Request
from auth1.errors import NotFound
from auth1.events.log import event_context, log_events
from auth1.services import Services
from auth1.sessions import store as sessions
from auth1.sessions.guards import LoggedIn
from auth1.tenants.settings import TenantAdmin


async def list_my_consents(app: Services, request: Request[LoggedIn], query: PageQuery) -> ConsentPage:
    """List the applications that have access to the user's account."""
    return await _list(app, request.caller.tenant.id, request.caller.user_id, query)


async def get_my_consent(app: Services, request: Request[LoggedIn]) -> ConsentOut:
    """Return an application that has access to the user's account."""
    caller, client_id = request.caller, request.parameters["client_id"]
    for consent in await consents.list_consents(app.postgres, caller.tenant.id, caller.user_id):
        if consent.client_id == client_id:
            return ConsentOut(*consent)
    raise NotFound


async def end_my_consent(app: Services, request: Request[LoggedIn]) -> None:
    """End the access of an application to the user's account. Its tokens are no longer active."""
    caller = request.caller
    context = event_context(request, caller.user_id)
    client_id = request.parameters["client_id"]
    log_events(app.log, await consents.end_consent(app.postgres, caller.tenant.id, caller.user_id, client_id, context))


async def list_user_consents(app: Services, request: Request[TenantAdmin], query: PageQuery) -> ConsentPage:
    """List the applications that have access to a user's account."""
    tenant_id, user_id = request.caller.tenant_id, request.parameters["user_id"]
    if not await sessions.user_exists(app.postgres, tenant_id, user_id):
        raise NotFound
    return await _list(app, tenant_id, user_id, query)


async def end_user_consent(app: Services, request: Request[TenantAdmin]) -> None:
    """End the access of an application to a user's account. Its tokens are no longer active."""
    user_id, client_id = request.parameters["user_id"], request.parameters["client_id"]
    tenant_id, context = request.caller.tenant_id, request.caller.context
    log_events(app.log, await consents.end_consent(app.postgres, tenant_id, user_id, client_id, context))


async def _list(app: Services, tenant_id: str, user_id: str, query: PageQuery) -> ConsentPage:
    # A tenant has at most 100 applications.
    found = [ConsentOut(*consent) for consent in await consents.list_consents(app.postgres, tenant_id, user_id)]
    return ConsentPage(*query.split([one for one in found if one.client_id > query.cursor], lambda one: one.client_id))
