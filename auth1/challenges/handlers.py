"""Request and verify codes; show challenges."""

from msgspec import UNSET

from auth1.challenges import store
from auth1.challenges.magic_link import link_options
from auth1.challenges.recipients import parse_recipient
from auth1.challenges.schemas import METADATA_BYTES, ChallengeOut, CodeAnswer, CodeRequest, CodeSent, without_proof
from auth1.challenges.send_code import LOGIN, SendCode, send_code
from auth1.challenges.verify_code import VerifyCode, log_in
from auth1.core import stored_json
from auth1.core.http.request import Request
from auth1.errors import FieldError, NotFound, ValidationFailed
from auth1.idempotency.header import HEADER, read_claim
from auth1.identifiers import parse_identifier
from auth1.services import Services
from auth1.sessions.schemas import Verified
from auth1.tenants.settings import Tenant

ROUTE = "POST /api/auth/request"


async def request_code(app: Services, request: Request[Tenant], body: CodeRequest) -> CodeSent:
    """Send a one-time code to a phone or email."""
    tenant = request.caller
    identifier = parse_identifier(phone=body.phone, email=body.email)
    if body.metadata is not None:
        stored_json.check("metadata", body.metadata, METADATA_BYTES)
    wants_link = body.mode != "code" or body.redirect_to is not None or body.code_challenge is not None
    order = SendCode(
        identifier=identifier,
        purpose=LOGIN,
        claim=read_claim(request, tenant, ROUTE, without_proof(body)) if request.header(HEADER) is not None else None,
        locale=body.locale,
        challenge_id=body.challenge_id,
        metadata=body.metadata,
        proof=body.proof,
        link=link_options(request, identifier, body) if wants_link else None,
    )
    return await send_code(app, request, tenant, order)


async def verify_code(app: Services, request: Request[Tenant], body: CodeAnswer) -> Verified:
    """Verify a code: open a session, and return its tokens."""
    tenant = request.caller
    identifier = await parse_recipient(app, tenant.id, phone=body.phone, email=body.email)
    request.log["identifier"] = identifier.masked
    if tenant.settings.require_challenge_id and body.challenge_id is None:
        raise ValidationFailed(errors=[FieldError("challenge_id", "This tenant requires it.")])
    device_name = body.device.name if body.device else None
    return await log_in(app, request, tenant, VerifyCode(identifier, body.code, body.challenge_id, device_name))


async def get_challenge(app: Services, request: Request[Tenant]) -> ChallengeOut:
    """Return the status of a challenge and of its newest message."""
    challenge = await store.find_challenge(app.postgres, request.caller.id, request.parameters["challenge_id"])
    if challenge is None:
        raise NotFound
    tenant = request.caller
    if tenant.key_kind != "sk" and tenant.settings.sign_up == "closed":
        challenge.message = None  # only known identifiers have one: it would reveal a user
    elif challenge.message is not None and tenant.key_kind != "sk":
        challenge.message.error = UNSET  # for the tenant's server only: publishable keys are public
    return challenge
