"""What may be changed for tokens at /api/auth/token: a refresh token, or what a confirmed link gave away."""

from auth1.challenges.schemas import ChallengeGrant, CodeGrant, Verified
from auth1.core.http.request import Request
from auth1.magic_links import handlers
from auth1.services import Services
from auth1.sessions import refresh
from auth1.sessions.schemas import RefreshGrant, Tokens
from auth1.tenants.settings import Tenant

Grant = RefreshGrant | CodeGrant | ChallengeGrant


async def token(app: Services, request: Request[Tenant], grant: Grant) -> Tokens | Verified:
    """Give tokens for a refresh token, an authorization code, or a challenge whose link was confirmed."""
    if isinstance(grant, RefreshGrant):
        return await refresh.refresh(app, request, grant)
    return await handlers.redeem(app, request, grant)
