"""POST /api/callbacks/twilio/status: Twilio's delivery reports (its "status callbacks")."""

import re

from auth1.core.http.request import Form, Request
from auth1.core.http.router import Auth
from auth1.core.ratelimit import ClientRateLimit
from auth1.errors import Forbidden, TenantMoved
from auth1.messaging import delivery_reports
from auth1.messaging.providers import twilio, twilio_signature
from auth1.messaging.schemas import StatusCallbackQuery
from auth1.messaging.store import DeliveryReport
from auth1.services import Services

_TENANT_ID = re.compile(r"tn_[0-9a-z]{26}", re.ASCII)
_MESSAGE_ID = re.compile(r"msg_[0-9a-z]{26}", re.ASCII)
_ERROR_CODE = re.compile(r"[0-9]{1,10}", re.ASCII)


async def _require_signature(app: Services, request: Request[None], rate_limit: ClientRateLimit | None) -> None:
    """Require a signature before the body is read; the handler verifies it, because it covers the body."""
    if app.settings.twilio is None or not request.header(b"x-twilio-signature"):
        raise Forbidden("Invalid Twilio signature.")


# Twilio, by the signature of its request.
signed_by_twilio = Auth(
    "signed_by_twilio",
    _require_signature,
    errors=(Forbidden, TenantMoved),
    request_headers=("x-twilio-signature", "x-twilio-webhooks-signature-settings"),
)


async def receive_status(app: Services, request: Request[None], form: Form, query: StatusCallbackQuery) -> None:
    """Record Twilio's delivery report of a message (its "status callback")."""
    _check_signature(app, request, form)
    report = _parse(query, form)
    if report is None:
        return  # the message is not from Auth1, or the status is not about its delivery
    request.log |= {"tenant_id": report.tenant_id, "message_id": report.message_id, "state": report.state}
    app.tenants.check_not_moved(report.tenant_id)
    is_retryable = twilio.is_retryable(*_reason(form))
    await delivery_reports.record(app.postgres, app.log, report, request.request_id, is_retryable=is_retryable)


def _check_signature(app: Services, request: Request[None], form: Form) -> None:
    account = app.settings.twilio
    query = request.query_string.decode("latin-1")
    if account is None or not twilio_signature.signature_is_valid(
        request.header(b"x-twilio-signature"),
        request.header(b"x-twilio-webhooks-signature-settings"),
        tokens=[token for token in (account.auth_token, account.auth_token_previous) if token],
        app_url=app.settings.app_url,
        target=twilio.CALLBACK_PATH + (f"?{query}" if query else ""),
        pairs=form.pairs,
    ):
        raise Forbidden("Invalid Twilio signature.")


def _parse(query: StatusCallbackQuery, form: Form) -> DeliveryReport | None:
    """Parse a callback. Our ids are in the URL, which the signature covers; the status is in the form."""
    tenant_id, message_id = query.tenant_id, query.message_id
    status = form.value("MessageStatus") or ""
    state = twilio.STATES.get(status)
    if state is None or not _TENANT_ID.fullmatch(tenant_id) or not _MESSAGE_ID.fullmatch(message_id):
        return None
    sid = form.value("MessageSid") or ""
    code = _reason(form)[1]
    return DeliveryReport(
        tenant_id=tenant_id,
        message_id=message_id,
        provider=twilio.Twilio.name,
        provider_message_id=sid if twilio.SID.fullmatch(sid) else None,
        state=state,
        error=f"{status}:{code or 'none'}" if state == "failed" else None,
    )


def _reason(form: Form) -> tuple[str, int | None]:
    """Return Twilio's status, and its error code where the form has a valid one."""
    code = form.value("ErrorCode") or ""
    return form.value("MessageStatus") or "", int(code) if _ERROR_CODE.fullmatch(code) else None
