"""The end of every login: the answer to whoever has just been given a session."""

from msgspec import structs

from auth1.challenges.schemas import Verified
from auth1.identifiers import Identifier
from auth1.services import Services
from auth1.sessions import create
from auth1.sessions.create import NewSession
from auth1.tenants.settings import Tenant


async def issue_tokens(
    app: Services, tenant: Tenant, identifier: Identifier, session: NewSession, user_id: str, is_new_user: bool
) -> Verified:
    """Return the tokens of a session whose row was committed."""
    tokens = await create.open_session(
        app,
        tenant,
        session,
        user_id=user_id,
        is_new_user=is_new_user,
        channel=identifier.channel,
        identifier=identifier.value,
    )
    return Verified(**structs.asdict(tokens), is_new_user=is_new_user)
