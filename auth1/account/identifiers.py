"""List, add, change and remove a user's phone and email. `linking` has the steps."""

from auth1.account import linking
from auth1.account.linking import LinkCode, Owner
from auth1.account.schemas import IdentifierIn, IdentifierOut, IdentifierProof, Identifiers
from auth1.challenges.recipients import parse_recipient
from auth1.challenges.schemas import CodeSent, without_proof
from auth1.core.http.pagination import PageQuery
from auth1.core.http.request import Request
from auth1.errors import Conflict, FieldError, NotFound, ValidationFailed
from auth1.idempotency.header import read_claim
from auth1.identifiers import IdentifierType, parse_identifier
from auth1.services import Services
from auth1.sessions.guards import LoggedIn, require_recent_login

ROUTE = "POST /api/auth/me/identifiers"


async def list_identifiers(app: Services, request: Request[LoggedIn], query: PageQuery) -> Identifiers:
    """List the phone and email that the user can log in with."""
    user = request.caller.user
    known: list[tuple[IdentifierType, str | None]] = [("phone", user.phone), ("email", user.email)]
    found = [IdentifierOut(kind, value) for kind, value in known if value is not None]
    # Their types sort backwards.
    return Identifiers(
        *query.split([one for one in found if not query.cursor or one.type < query.cursor], lambda one: one.type)
    )


async def begin_identifier(app: Services, request: Request[LoggedIn], body: IdentifierIn) -> CodeSent:
    """Send a code to a phone or email that the user wants to add, or that replaces the current one."""
    caller = request.caller
    require_recent_login(app, caller)
    own = (caller.user.phone, caller.user.email)
    # The user's phone may have been stored under other rules than today's.
    is_own_phone = body.email is None and body.phone is not None and body.phone in own
    if is_own_phone or (identifier := parse_identifier(phone=body.phone, email=body.email)).value in own:
        raise Conflict("This phone or email is already linked to your account.")
    # An Idempotency-Key belongs to one session.
    claim = read_claim(request, caller.tenant, f"{ROUTE} {caller.session_id}", without_proof(body))
    order = LinkCode(identifier, claim, body.locale, body.challenge_id, body.proof)
    return await linking.send_link_code(app, request, _owner(caller), order)


async def prove_identifier(app: Services, request: Request[LoggedIn], body: IdentifierProof) -> IdentifierOut:
    """Link a phone or email to the user after the right code. The same session must have requested it."""
    caller = request.caller
    identifier = await parse_recipient(app, caller.tenant.id, phone=body.phone, email=body.email)
    request.log["identifier"] = identifier.masked
    if caller.tenant.settings.require_challenge_id and body.challenge_id is None:
        raise ValidationFailed(errors=[FieldError("challenge_id", "This tenant requires it.")])
    await linking.prove(app, request, _owner(caller), identifier, body.code, body.challenge_id)
    return IdentifierOut(identifier.type, identifier.value)


async def remove_identifier(app: Services, request: Request[LoggedIn]) -> None:
    """Remove a phone or email and end the sessions that it opened. The last one cannot be removed."""
    identifier_type = request.parameters["type"]
    if identifier_type not in ("phone", "email"):
        raise NotFound
    require_recent_login(app, request.caller)
    await linking.remove(app, request, _owner(request.caller), "phone" if identifier_type == "phone" else "email")


def _owner(caller: LoggedIn) -> Owner:
    return Owner(caller.tenant, caller.user_id, caller.session_id)
