"""Pairs of routes that manage a tenant: for the tenant itself, and for the operator."""

from typing import Any

from auth1.authn.guards import operator_for_tenant, tenant_admin
from auth1.core.http.router import Handler, Route

TENANT_PATH = "/api/tenant"
OPERATOR_PATH = "/api/admin/tenants/{tenant_id}"


def managed(method: str, path: str, handler: Handler, **options: Any) -> tuple[Route, Route]:
    """Return the route of a tenant that manages itself, and the operator's route for the same handler."""
    return (
        Route(method, TENANT_PATH + path, handler, tenant_admin, **options),
        Route(method, OPERATOR_PATH + path, handler, operator_for_tenant, **options),
    )
