"""Routes for the users of a tenant."""

from auth1.core.http.request import Request
from auth1.services import Services
from auth1.tenants.settings import TenantAdmin
from auth1.users import search, service
from auth1.users.schemas import Ban, UserExport, UserIn, UserOut, UserPage, UserPatch
from auth1.users.search import UserQuery


async def list_users(app: Services, request: Request[TenantAdmin], query: UserQuery) -> UserPage:
    """List users, newest first, or find them by phone, email, external_id, metadata or prefix."""
    return await search.search(app, request, query)


async def create_user(app: Services, request: Request[TenantAdmin], body: UserIn) -> UserOut:
    """Create a user before the first login."""
    return await service.create_user(app, request.caller, body)


async def get_user(app: Services, request: Request[TenantAdmin]) -> UserOut:
    """Return a user."""
    return await service.get_user(app, request.caller, request.parameters["user_id"])


async def update_user(app: Services, request: Request[TenantAdmin], body: UserPatch) -> UserOut:
    """Change a user; a changed phone or email ends its sessions."""
    return await service.update_user(app, request.caller, request.parameters["user_id"], body)


async def erase_user(app: Services, request: Request[TenantAdmin]) -> None:
    """Erase a user with all challenges and messages; events keep the id."""
    await service.erase_user(app, request.caller, request.parameters["user_id"])


async def ban_user(app: Services, request: Request[TenantAdmin], body: Ban) -> UserOut:
    """Ban a user and revoke its sessions."""
    return await service.ban_user(app, request.caller, request.parameters["user_id"], body)


async def unban_user(app: Services, request: Request[TenantAdmin]) -> UserOut:
    """Lift a ban, so that the user can log in again."""
    return await service.unban_user(app, request.caller, request.parameters["user_id"])


async def export_user(app: Services, request: Request[TenantAdmin]) -> UserExport:
    """Return all data of a user."""
    return await service.export_user(app, request.caller, request.parameters["user_id"])
