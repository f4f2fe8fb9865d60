"""The routes that manage applications, for a tenant and for the operator."""

from auth1.applications import handlers
from auth1.applications.schemas import ApplicationIn, ApplicationPatch, ClientSecretRotation
from auth1.authn.management import managed
from auth1.core.http.pagination import PageQuery
from auth1.errors import Conflict, NotFound

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
        errors=(NotFound,),
        idempotent="yes",
    ),
)
