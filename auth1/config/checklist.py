"""The production checklist, as far as settings alone show it.

`auth1 serve` logs its findings at start, `auth1 doctor` prints them.
`settings` rejects values that cannot work. The values here work, and are unsafe or incomplete in production.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple
from urllib.parse import parse_qs, urlsplit

from auth1.config.environ import MIN_SECRET_BYTES, SECRET_COMMAND
from auth1.config.redis_url import skips_verification, split_hosts, uses_tls
from auth1.config.settings import Settings
from auth1.config.urls import file_problem

Status = Literal["ok", "warn", "fail"]
MIN_DISTINCT_CHARACTERS = 10  # 32 random hexadecimal digits have fewer only once in 10 million
MAX_RATE_LIMIT = 10_000  # requests per address and hour; a login needs two
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1", "")


class Finding(NamedTuple):
    """One line of the checklist: what was found, and what to do."""

    check: str
    status: Status
    message: str
    fix: str = ""


def check_settings(settings: Settings) -> list[Finding]:
    """Return one finding or more for each check that needs only the settings."""
    checks = (
        _secrets,
        _admin_token,
        _app_url,
        _cors,
        _database_tls,
        _redis_tls,
        _proxies,
        _rate_limit,
        _sms,
        _email,
        _lookup,
        _geoip,
    )
    return [finding for check in checks for finding in check(settings)]


def is_local(url: str) -> bool:
    """Return whether a server is on this machine or reached by a socket."""
    parts = urlsplit(url)
    return parts.scheme == "unix" or all(host in LOCAL_HOSTS for host, _ in split_hosts(parts))


def _has_local_redis(settings: Settings) -> bool:
    parts = urlsplit(settings.redis_url)
    return parts.scheme == "unix" or all(host in LOCAL_HOSTS for host, _ in split_hosts(parts))


def _secrets(settings: Settings) -> Iterator[Finding]:
    fix = f"generate one: {SECRET_COMMAND}"
    weak = [
        name
        for name, value in (
            ("JWT_SECRET", settings.jwt_secret),
            ("JWT_SECRET_PREVIOUS", settings.jwt_secret_previous),
            ("METRICS_TOKEN", settings.metrics_token),
        )
        if value is not None and len(set(value)) < MIN_DISTINCT_CHARACTERS
    ]
    for name in weak:
        yield Finding("secrets", "fail", f"{name} is easy to guess.", fix)
    if not weak:
        yield Finding("secrets", "ok", "JWT_SECRET is long enough and not a sample.")
    if settings.jwt_secret_previous is not None:
        yield Finding(
            "secrets",
            "warn",
            "JWT_SECRET_PREVIOUS is set.",
            "unset it when all sessions from before the change have ended: 30 days by default",
        )


def _admin_token(settings: Settings) -> Iterator[Finding]:
    token = settings.admin_token
    if token is None:
        yield Finding("admin token", "ok", "The admin API is off, because ADMIN_TOKEN is unset.")
    elif len(token.encode()) < MIN_SECRET_BYTES or len(set(token)) < MIN_DISTINCT_CHARACTERS:
        yield Finding(
            "admin token",
            "fail",
            f"ADMIN_TOKEN is easy to guess: it needs {MIN_SECRET_BYTES} random bytes.",
            f"generate one: {SECRET_COMMAND}",
        )
    else:
        yield Finding("admin token", "ok", "ADMIN_TOKEN is long enough.")


def _app_url(settings: Settings) -> Iterator[Finding]:
    parts = urlsplit(settings.app_url)
    fix = "set APP_URL to the public https URL"
    if not settings.app_url_is_set:
        yield Finding("APP_URL", "warn", "APP_URL is unset: links and tokens name http://localhost:3000.", fix)
    elif parts.hostname in LOCAL_HOSTS:
        yield Finding("APP_URL", "warn", f"APP_URL is {settings.app_url}: no other machine can open its links.", fix)
    elif parts.scheme != "https":
        yield Finding("APP_URL", "fail", f"APP_URL is {settings.app_url}: codes and tokens travel unencrypted.", fix)
    else:
        yield Finding("APP_URL", "ok", f"APP_URL is {settings.app_url}.")


def _cors(settings: Settings) -> Iterator[Finding]:
    if "*" in settings.cors_origins:
        yield Finding(
            "CORS", "warn", "CORS_ORIGINS is *: any web page may call.", "set CORS_ORIGINS to your pages' origins"
        )
    else:
        yield Finding("CORS", "ok", f"CORS_ORIGINS allows {len(settings.cors_origins)} origins.")


def _database_tls(settings: Settings) -> Iterator[Finding]:
    for name, url in (("DATABASE_URL", settings.database_url), ("DATABASE_READ_URL", settings.database_read_url)):
        if url is None:
            continue
        mode = parse_qs(urlsplit(url).query).get("sslmode", ["prefer"])[-1]
        if is_local(url) or mode in ("verify-full", "verify-ca"):
            yield Finding("database TLS", "ok", f"{name} is on this machine, or its certificate is checked.")
        elif mode == "require":
            yield Finding(
                "database TLS",
                "ok",
                f"{name} uses TLS and does not check the certificate.",
                "sslmode=verify-full with sslrootcert checks it",
            )
        else:
            yield Finding(
                "database TLS",
                "warn",
                f"{name} has no sslmode=require: another machine's database may be reached unencrypted.",
                "append ?sslmode=require, unless a private network protects the connection",
            )


def _redis_tls(settings: Settings) -> Iterator[Finding]:
    parts = urlsplit(settings.redis_url)
    if skips_verification(settings.redis_url):
        yield Finding(
            "Redis TLS",
            "warn",
            "REDIS_URL has ssl_cert_reqs=none: any server can pretend to be Redis.",
            "remove ssl_cert_reqs, and name the authority in ssl_ca_certs",
        )
    elif _has_local_redis(settings) or uses_tls(settings.redis_url):
        yield Finding("Redis TLS", "ok", "Redis is on this machine, or reached by TLS.")
    else:
        yield Finding(
            "Redis TLS",
            "warn",
            f"REDIS_URL is {parts.scheme}:// on another machine: its traffic is unencrypted.",
            f"use {parts.scheme.replace('redis', 'rediss')}://, unless a private network protects the connection",
        )
    if not _has_local_redis(settings) and not parts.password:
        yield Finding(
            "Redis password", "warn", "REDIS_URL has no password.", "set one, unless only Auth1 reaches Redis"
        )


def _proxies(settings: Settings) -> Iterator[Finding]:
    wide = [network for network in settings.trusted_proxies if network.prefixlen == 0]
    if wide:
        yield Finding(
            "proxies",
            "fail",
            f"TRUSTED_PROXIES contains {wide[0]}: any client can forge its address and avoid rate limits.",
            "list the networks of your proxies only",
        )
    else:
        yield Finding("proxies", "ok", f"X-Forwarded-For is accepted from {len(settings.trusted_proxies)} networks.")


def _rate_limit(settings: Settings) -> Iterator[Finding]:
    limit, hours = settings.rate_limit_max, settings.rate_limit_window_ms / 3_600_000
    message = f"RATE_LIMIT_MAX allows {limit} requests per address in {settings.rate_limit_window_ms // 1000} s."
    if limit > MAX_RATE_LIMIT * hours:
        yield Finding("rate limit", "warn", message, "lower RATE_LIMIT_MAX, or guessing from one address is cheap")
    else:
        yield Finding("rate limit", "ok", message, "compare it with the traffic that you expect")


def _sms(settings: Settings) -> Iterator[Finding]:
    if not settings.sms_providers:
        yield Finding(
            "SMS",
            "warn",
            "No SMS provider is configured.",
            "set TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN and TWILIO_MESSAGING_SERVICE_SID, or AWS_SNS_REGION",
        )
    elif "console" in settings.sms_providers:
        yield Finding(
            "SMS",
            "fail",
            "SMS_PROVIDERS contains console: SMS are printed with their codes, not sent.",
            "remove console from SMS_PROVIDERS",
        )
    else:
        fix = "" if len(settings.sms_providers) > 1 else "a second provider takes over when this one fails"
        yield Finding("SMS", "ok", f"SMS go through {' and '.join(settings.sms_providers)}.", fix)


def _email(settings: Settings) -> Iterator[Finding]:
    if settings.email_to_console:
        yield Finding(
            "email",
            "fail",
            "SMTP_URL is console: emails are printed with their codes, not sent.",
            "set SMTP_URL to your mail server, or unset it",
        )
    elif settings.smtp is None:
        yield Finding("email", "ok", "Email is off, because SMTP_URL is unset.")
    elif settings.smtp.username and not (settings.smtp.tls or settings.smtp.starttls):
        yield Finding(
            "email", "fail", "SMTP_URL sends its password unencrypted.", "remove starttls=false from SMTP_URL"
        )
    else:
        yield Finding("email", "ok", f"Email goes through {settings.smtp.host}.")


def _lookup(settings: Settings) -> Iterator[Finding]:
    if settings.twilio is not None and settings.twilio.lookup_fields:
        fields = " and ".join(settings.twilio.lookup_fields)
        message = f"Twilio Lookup is on: {fields}. Twilio bills each of them per number."
        yield Finding("Lookup", "ok", message)
    else:
        yield Finding("Lookup", "ok", "Twilio Lookup is off. TWILIO_LOOKUP_FIELDS switches it on.")


def _geoip(settings: Settings) -> Iterator[Finding]:
    path = settings.geoip_file
    if path is None:
        yield Finding("GeoIP", "ok", "GEOIP_FILE is unset: the country of an address is unknown.")
    elif problem := file_problem(path):
        fix = "put a country database (.mmdb) there; Auth1 loads it without a restart"
        yield Finding("GeoIP", "warn", f"GEOIP_FILE={path} {problem}.", fix)
    else:
        yield Finding("GeoIP", "ok", f"GEOIP_FILE is {path}.")
