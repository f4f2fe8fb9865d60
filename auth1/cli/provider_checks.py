"""Checks of providers and of the public URL for `auth1 doctor`. They log in and send nothing."""

import asyncio
import ssl
import time
from urllib.parse import urlsplit

import aiosmtplib
import httpx

from auth1.config.checklist import LOCAL_HOSTS, Finding
from auth1.config.settings import Settings
from auth1.messaging.providers.protocol import SendError
from auth1.messaging.providers.sns import Sns

TIMEOUT_S = 5.0
MIN_CERTIFICATE_DAYS = 14
DAY_S = 24 * 3600


async def check_public_url(settings: Settings) -> list[Finding]:
    """Check that Auth1 responds at APP_URL, and how long its certificate is valid."""
    parts = urlsplit(settings.app_url)
    if not settings.app_url_is_set or parts.hostname in LOCAL_HOSTS:
        return []
    url = f"{settings.app_url}/health/live"
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as client:
            response = await client.get(url)
    except httpx.HTTPError as error:
        message = f"{url} does not answer: {error or type(error).__name__}."
        return [Finding("public URL", "warn", message, "start auth1 serve; check the proxy, DNS and certificate")]
    findings = []
    if response.status_code == httpx.codes.OK:
        findings.append(Finding("public URL", "ok", f"{url} answers."))
    else:
        fix = "let the proxy pass this path to Auth1"
        findings.append(Finding("public URL", "warn", f"{url} answers {response.status_code}.", fix))
    if parts.scheme == "https":
        days = await _certificate_days(parts.hostname or "", parts.port or 443)
        is_ok = days >= MIN_CERTIFICATE_DAYS
        message = f"The certificate is valid for {days:.0f} days."
        findings.append(Finding("certificate", "ok" if is_ok else "fail", message, "" if is_ok else "renew it"))
    return findings


async def check_twilio(settings: Settings) -> list[Finding]:
    """Check Twilio's credentials by fetching the account."""
    account = settings.twilio
    if account is None:
        return []
    url = f"{account.api_url}/2010-04-01/Accounts/{account.account_sid}.json"
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as client:
            response = await client.get(url, auth=(account.account_sid, account.auth_token))
        status = response.json().get("status") if response.status_code == httpx.codes.OK else None
    except (httpx.HTTPError, ValueError, AttributeError) as error:
        message = f"Twilio does not answer: {error or type(error).__name__}."
        return [Finding("Twilio", "fail", message, "allow outgoing https to api.twilio.com")]
    if response.status_code in (401, 403, 404):
        fix = "copy TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN from the Twilio Console"
        return [Finding("Twilio", "fail", f"Twilio rejects the credentials ({response.status_code}).", fix)]
    if status != "active":
        message = f"Twilio answers {response.status_code}, account status {status or 'unknown'}."
        return [Finding("Twilio", "fail", message, "check the account in the Twilio Console")]
    return [Finding("Twilio", "ok", "Twilio accepts the credentials, and the account is active.")]


async def check_sns(settings: Settings) -> list[Finding]:
    """Check that the AWS library finds credentials."""
    if settings.sns is None or "sns" not in settings.sms_providers:
        return []
    provider = Sns(settings.sns.region, settings.sns.origination_number)
    try:
        await provider.warm_up()
    except SendError as error:
        fix = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role"
        return [Finding("SNS", "fail", f"SNS is not ready: {error.code}.", fix)]
    finally:
        await provider.close()
    return [Finding("SNS", "ok", f"AWS credentials are present for {settings.sns.region}.")]


async def check_smtp(settings: Settings) -> list[Finding]:
    """Check the mail server by logging in, then NOOP."""
    server = settings.smtp
    if server is None:
        return []
    connection = aiosmtplib.SMTP(
        hostname=server.host,
        port=server.port,
        username=server.username,
        password=server.password if server.username else None,
        timeout=TIMEOUT_S,
        use_tls=server.tls,
        start_tls=False if server.tls else server.starttls,
    )
    try:
        await connection.connect()
        await connection.noop()
    except aiosmtplib.SMTPAuthenticationError as error:
        fix = "correct the user name and password in SMTP_URL"
        return [Finding("SMTP", "fail", f"{server.host} rejects the login ({error.code}).", fix)]
    except (aiosmtplib.SMTPException, OSError) as error:
        message = f"{server.host}:{server.port} does not answer: {error or type(error).__name__}."
        return [Finding("SMTP", "fail", message, "check the host, the port and TLS in SMTP_URL")]
    finally:
        connection.close()
    return [Finding("SMTP", "ok", f"{server.host}:{server.port} accepts the login.")]


async def _certificate_days(host: str, port: int) -> float:
    """Return for how many days a server's certificate is still valid."""
    _, writer = await asyncio.open_connection(host, port, ssl=ssl.create_default_context())
    try:
        certificate = writer.get_extra_info("peercert")
        return (ssl.cert_time_to_seconds(certificate["notAfter"]) - time.time()) / DAY_S
    finally:
        writer.close()
