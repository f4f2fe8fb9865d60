"""The end of every login: the answer to whoever has just been given a session."""

from auth1 import metrics
from auth1.callers.tenant import Tenant
from auth1.challenges.identifiers import Identifier
from auth1.challenges.schemas import Verified
from auth1.services import Services
from auth1.sessions import tokens
from auth1.sessions.tokens import RefreshToken


def open_session(
    app: Services,
    tenant: Tenant,
    identifier: Identifier,
    *,
    user_id: str,
    is_new_user: bool,
    session_id: str,
    refresh_token: RefreshToken,
) -> Verified:
    """Sign the token of a session whose row was committed."""
    metrics.SESSIONS_OPENED.labels("yes" if is_new_user else "no").inc()
    token = tokens.sign(
        app.keyring,
        issuer=app.settings.app_url,
        tenant_id=tenant.id,
        version=tenant.jwt_version,
        user_id=user_id,
        session_id=session_id,
        amr=["otp", "sms"] if identifier.channel == "sms" else ["otp"],
        identifier_claim="phone_number" if identifier.channel == "sms" else "email",
        identifier=identifier.value,
    )
    return Verified(
        token=token,
        expires_in=tokens.TOKEN_LIFE_S,
        refresh_token=refresh_token.text,
        user_id=user_id,
        session_id=session_id,
        is_new_user=is_new_user,
    )
