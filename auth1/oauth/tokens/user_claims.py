"""The claims of a user by scope (OpenID Connect Core, 5.4)."""

from collections.abc import Collection
from typing import Any

from auth1.oauth.tokens.grants import UserProfile

OPENID, OFFLINE_ACCESS = "openid", "offline_access"
# Applications may trust these: only the tenant sets them, in `metadata`.
_BY_TENANT = ("preferred_username",)
# `metadata` decides about these, then `user_metadata`.
_BY_USER = (
    *("name", "given_name", "family_name", "middle_name", "nickname", "profile", "picture", "website", "gender"),
    *("birthdate", "zoneinfo", "locale"),
)
SCOPE_CLAIMS = {
    "profile": (*_BY_USER, *_BY_TENANT),
    "email": ("email", "email_verified"),
    "phone": ("phone_number", "phone_number_verified"),
}
# Those that each application with logins may request.
STANDARD_SCOPES = (OPENID, *SCOPE_CLAIMS, OFFLINE_ACCESS)
_MAX_CHARACTERS = 1000  # of a value, so that tokens stay short


def user_claims(scopes: Collection[str], profile: UserProfile) -> dict[str, Any]:
    """Return the claims that the scopes allow. A phone or email of a user was always verified by a code or a link."""
    claims: dict[str, Any] = {}
    if "email" in scopes and profile.email is not None:
        claims |= {"email": profile.email, "email_verified": True}
    if "phone" in scopes and profile.phone is not None:
        claims |= {"phone_number": profile.phone, "phone_number_verified": True}
    if "profile" in scopes:
        claims |= _profile(profile)
    return claims


def _profile(profile: UserProfile) -> dict[str, str]:
    by_tenant, by_user = profile.values()
    of_user = {name: by_user.get(name) for name in _BY_USER}
    merged = of_user | {name: by_tenant[name] for name in SCOPE_CLAIMS["profile"] if name in by_tenant}
    return {
        name: value for name, value in merged.items() if isinstance(value, str) and 0 < len(value) <= _MAX_CHARACTERS
    }
