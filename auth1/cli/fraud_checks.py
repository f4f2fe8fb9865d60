"""Checks of Twilio Lookup and of the country database for `auth1 doctor`. They buy nothing."""

import time

import httpx
import maxminddb

from auth1.config.checklist import Finding
from auth1.config.settings import Settings
from auth1.fraud.datasets.countries import open_copy

TIMEOUT_S = 5.0
MAX_AGE_DAYS = 90  # networks move; vendors publish every month
DAY_S = 24 * 3600
_NUMBER = "+14159929960"  # of Twilio's own examples; a look-up without packages is free


async def check_lookup(settings: Settings) -> list[Finding]:
    """Check that Twilio Lookup answers, by a look-up that is free."""
    account = settings.twilio
    if account is None or not account.lookup_fields:
        return []
    url = f"{account.lookup_url}/v2/PhoneNumbers/{_NUMBER}"
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as client:
            response = await client.get(url, auth=(account.account_sid, account.auth_token))
    except httpx.HTTPError as error:
        message = f"Twilio Lookup does not answer: {error or type(error).__name__}."
        return [Finding("Lookup", "fail", message, "allow outgoing https to lookups.twilio.com")]
    if response.status_code != httpx.codes.OK:
        message = f"Twilio Lookup answers {response.status_code}."
        return [Finding("Lookup", "fail", message, "check TWILIO_LOOKUP_URL and the account in the Twilio Console")]
    return [Finding("Lookup", "ok", "Twilio Lookup answers.")]


async def check_geoip(settings: Settings) -> list[Finding]:
    """Check that the country database can be read, and its age."""
    if settings.geoip_file is None:
        return []
    try:
        metadata = open_copy(settings.geoip_file).metadata()
    except OSError:
        return []  # the checklist reports it
    except (ValueError, maxminddb.InvalidDatabaseError) as error:
        fix = "get a country database in MaxMind's format (.mmdb)"
        return [Finding("GeoIP", "fail", f"GEOIP_FILE cannot be read: {error}.", fix)]
    days = (time.time() - metadata.build_epoch) / DAY_S
    message = f"GEOIP_FILE is {metadata.database_type}, {max(days, 0):.0f} days old."
    if days > MAX_AGE_DAYS:
        return [Finding("GeoIP", "warn", message, "get a newer one: networks move between countries")]
    return [Finding("GeoIP", "ok", message)]
