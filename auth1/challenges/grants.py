"""What may be changed for tokens at /api/auth/token: a refresh token, or what a confirmed link gave away."""

from auth1.callers.tenant import Tenant
from auth1.challenges import link_handlers
from auth1.challenges.schemas import ChallengeGrant, CodeGrant, Verified
from auth1.core.call import Call
from auth1.services import Services
from auth1.sessions import refreshing
from auth1.sessions.schemas import RefreshGrant, Tokens

Grant = RefreshGrant | CodeGrant | ChallengeGrant


async def change_grant(app: Services, call: Call[Tenant], grant: Grant) -> Tokens | Verified:
    """Give tokens for a refresh token, an authorization code, or a challenge whose link was confirmed."""
    if isinstance(grant, RefreshGrant):
        return await refreshing.refresh(app, call, grant)
    return await link_handlers.redeem(app, call, grant)
