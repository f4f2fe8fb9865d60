"""The policy that holds for the requests of a tenant."""

from functools import lru_cache

import msgspec

from auth1.fraud.policy import Policy
from auth1.services import Services
from auth1.tenants.settings import Tenant

PRINTED = ("console",)


def policy_of(app: Services, tenant: Tenant) -> Policy:
    """Return the policy that holds. Where SMS are only printed, they cost nothing: no request is rejected."""
    policy = tenant.policy
    return in_shadow(policy) if app.settings.sms_providers == PRINTED else policy


def in_shadow(policy: Policy) -> Policy:
    """Return a policy that decides and records, and rejects no request. A policy that is off stays off."""
    return _in_shadow(msgspec.json.encode(policy)) if policy.mode == "on" else policy


@lru_cache(maxsize=64)
def _in_shadow(encoded: bytes) -> Policy:
    """Return a policy in shadow mode: the same object for the same policy, so that what follows from it is cached."""
    return msgspec.structs.replace(msgspec.json.decode(encoded, type=Policy), mode="shadow")
