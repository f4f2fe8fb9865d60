"""Check the fields of an application by its kind, when it is written."""

from collections.abc import Iterator

from auth1.applications.kinds import Kind
from auth1.applications.records import ApplicationChanges, NewApplication, has_secret
from auth1.applications.redirect_uris import redirect_uri_errors
from auth1.core.outbound.guard import Guard, UrlNotAllowed
from auth1.errors import FieldError, ValidationFailed

_NO_USERS = "Must be omitted: users do not log in to an application of kind machine."


def check_application(guard: Guard, new: NewApplication) -> None:
    """Raise ValidationFailed unless an application of its kind may have these fields."""
    _raise(_errors(guard, new.kind, new))


def check_changes(guard: Guard, kind: Kind, changes: ApplicationChanges) -> None:
    """Raise ValidationFailed unless an application of a kind may have the changed fields."""
    _raise(_errors(guard, kind, changes))


def _raise(found: Iterator[FieldError]) -> None:
    if errors := list(found):
        raise ValidationFailed(errors=errors)


def _errors(guard: Guard, kind: Kind, fields: NewApplication | ApplicationChanges) -> Iterator[FieldError]:
    if kind == "machine":
        yield from _machine_errors(fields)
        return
    if fields.redirect_uris is not None:
        yield from redirect_uri_errors(kind, "redirect_uris", fields.redirect_uris)
        if not fields.redirect_uris:
            yield FieldError("redirect_uris", "Must contain at least one URI.")
    yield from redirect_uri_errors(kind, "logout_uris", fields.logout_uris or ())
    if fields.backchannel_logout_uri:
        yield from _backchannel_errors(guard, kind, fields.backchannel_logout_uri)
    if fields.require_pkce is False and not has_secret(kind):
        yield FieldError("require_pkce", f"Must be true: an application of kind {kind} has no secret.")


def _machine_errors(fields: NewApplication | ApplicationChanges) -> Iterator[FieldError]:
    for name in ("redirect_uris", "logout_uris", "backchannel_logout_uri", "first_party"):
        if getattr(fields, name):
            yield FieldError(name, _NO_USERS)
    if fields.require_pkce is False:
        yield FieldError("require_pkce", _NO_USERS)


def _backchannel_errors(guard: Guard, kind: Kind, url: str) -> Iterator[FieldError]:
    """Check a URL that Auth1 calls. Its host is resolved at each call."""
    if kind != "web":
        yield FieldError("backchannel_logout_uri", "Must be omitted: only an application of kind web is called.")
        return
    try:
        guard.check_url(url)
    except UrlNotAllowed as error:
        yield FieldError("backchannel_logout_uri", str(error))
