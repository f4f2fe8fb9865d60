"""The routes that manage applications, for a tenant and for the operator."""

from auth1.applications import consent_handlers, handlers
from auth1.applications.schemas import ApplicationIn, ApplicationPatch, ClientSecretRotation
from auth1.authn.management import managed
from auth1.core.http.pagination import PageQuery
from auth1.core.http.router import Route
from auth1.errors import Conflict, NotFound
from auth1.sessions.guards import session

APPLICATION = "/applications/{client_id}"

APPLICATION_ROUTES = (
    *managed(
        "POST",
        "/applications",
        handlers.create_application,
        body=ApplicationIn,
        errors=(Conflict,),
        status=201,
        idempotent="yes",
    ),
    *managed("GET", "/applications", handlers.list_applications, query=PageQuery),
    *managed("GET", APPLICATION, handlers.get_application, errors=(NotFound,)),
    *managed("PATCH", APPLICATION, handlers.update_application, body=ApplicationPatch, errors=(NotFound,)),
    *managed("DELETE", APPLICATION, handlers.delete_application, errors=(NotFound,)),
    *managed(
        "POST",
        APPLICATION + "/rotate-secret",
        handlers.rotate_secret,
        body=ClientSecretRotation,
        body_optional=True,
        errors=(Conflict, NotFound),
        idempotent="yes",
    ),
    *managed(
        "GET",
        "/users/{user_id}/applications",
        consent_handlers.list_user_consents,
        query=PageQuery,
        errors=(NotFound,),
    ),
    *managed(
        "DELETE", "/users/{user_id}/applications/{client_id}", consent_handlers.end_user_consent, errors=(NotFound,)
    ),
    Route("GET", "/api/auth/me/applications", consent_handlers.list_my_consents, auth=session, query=PageQuery),
    Route(
        "GET",
        "/api/auth/me/applications/{client_id}",
        consent_handlers.get_my_consent,
        auth=session,
        errors=(NotFound,),
    ),
    Route(
        "DELETE",
        "/api/auth/me/applications/{client_id}",
        consent_handlers.end_my_consent,
        auth=session,
        errors=(NotFound,),
    ),
)
