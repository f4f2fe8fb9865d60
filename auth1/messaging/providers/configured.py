"""The providers that the operator's settings name."""

from auth1.config.settings import Settings
from auth1.core.telemetry.log import Log
from auth1.messaging.providers.console import Console
from auth1.messaging.providers.protocol import Provider, SendError
from auth1.messaging.providers.smtp import Smtp
from auth1.messaging.providers.sns import Sns
from auth1.messaging.providers.twilio import CALLBACK_PATH, Twilio


def sms_providers(settings: Settings, console: Console) -> list[Provider]:
    """Return the operator's providers in order of use."""
    providers: list[Provider] = []
    for name in settings.sms_providers:
        if name == "console":
            providers.append(console)
        elif name == "sns" and settings.sns is not None:
            scale = settings.timeout_scale
            providers.append(Sns(settings.sns.region, settings.sns.origination_number, timeout_scale=scale))
        elif name == "twilio" and settings.twilio is not None:
            callback = settings.app_url + CALLBACK_PATH if settings.app_url_is_set else None
            providers.append(Twilio(settings.twilio, callback, timeout_scale=settings.timeout_scale))
    return providers


def email_providers(settings: Settings, console: Console) -> list[Provider]:
    """Return the provider of email, if there is one."""
    if settings.email_to_console:
        return [console]
    if settings.smtp is None:
        return []
    return [Smtp(settings.smtp, settings.app_url, timeout_scale=settings.timeout_scale)]


async def warm_up(provider: Sns, log: Log) -> None:
    """Load in advance what would delay the first message."""
    try:
        await provider.warm_up()
    except SendError as error:
        log.warn("provider is not ready", provider=provider.name, failure=error.failure, error_code=error.code)
