"""Settings are checked by meaning: the problem names the variable and says what to do."""

from pathlib import Path

import pytest

from auth1.config.checklist import check_settings
from auth1.config.settings import load_settings
from tests.config.test_config import ENOUGH, MAIL, TWILIO, problems

DATABASE = ENOUGH["DATABASE_URL"]


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("CORS_ORIGINS", "https://*.example.com", "wildcard"),
        ("CORS_ORIGINS", "null", "sandboxed page"),
        ("CORS_ORIGINS", "*,https://app.example.com", "remove it, or remove the others"),
        ("CORS_ORIGINS", "https://app.example.com/path", "https://app.example.com"),
        ("CORS_ORIGINS", "https://app.example.com?x", "https://app.example.com"),
        ("CORS_ORIGINS", "https://user@app.example.com", "without user"),
        ("CORS_ORIGINS", "app.example.com", "https://app.example.com"),
        ("CORS_ORIGINS", "https://app.example.com:0", "port"),
        ("CORS_ORIGINS", "https://app.example.com:99999", "port"),
        ("CORS_ORIGINS", "https://app..example.com", "invalid host name"),
        ("CORS_ORIGINS", "https://bücher.example", "xn--bcher-kva.example"),
        ("CORS_ORIGINS", "file:///srv/app", "file"),
        ("APP_URL", "https://auth.example.com/#top", "fragment"),
        ("APP_URL", "https://auth.example.com/?x=1", "query"),
        ("APP_URL", "https://auth.example.com?", "query"),
        ("APP_URL", "https://user:pass@auth.example.com", "password"),
        ("APP_URL", "https://auth.example.com/a//b", "path"),
        ("APP_URL", "https://auth.example.com/../b", "path"),
        ("APP_URL", "https://auth example.com", "spaces"),
        ("APP_URL", "https:/auth.example.com", "https://"),
        ("APP_URL", "https://256.1.1.1", "invalid address"),
        ("LOG_LEVEL", "warning", "warn"),
        ("REDIS_URL", "redis://redis:6379/abc", "'abc'"),
        ("REDIS_URL", "redis://redis:6379/0/1", "'0/1'"),
        ("REDIS_URL", "redis://redis:6379?ssl_cert_reqs=none", "write rediss://"),
        ("REDIS_URL", "redis+cluster://a,b?ssl_ca_certs=/ca.pem", "write rediss+cluster://"),
        ("REDIS_URL", "rediss://redis?ssl_ca_certs=/no/ca.pem", "/no/ca.pem"),
        ("REDIS_URL", f"rediss://redis?ssl_ca_certs={__file__}", "PEM"),
        ("REDIS_URL", f"rediss+sentinel://a/x?ssl_certfile={__file__}", "do not fit"),
        ("REDIS_URL", f"rediss://redis?ssl_keyfile={__file__}", "ssl_certfile"),
        ("REDIS_URL", "rediss://redis?ssl_check_hostname=no", "true, false"),
        ("REDIS_URL", "redis://redis?sentinel_password=x", "redis+sentinel:// only"),
        ("REDIS_URL", "redis://a:6379,b:6379", "redis+cluster://"),
        ("REDIS_URL", "redis+sentinel://a:26379,b:26379", "name the service"),
        ("REDIS_URL", "redis+sentinel://a:26379,b:26379/service/x", "'x'"),
        ("REDIS_URL", "redis+sentinel://a:26379,b:port/service", "port"),
        ("REDIS_URL", "redis+cluster://a:6379,:6379", "each comma"),
        ("REDIS_URL", "redis+cluster://a:6379,b..c", "'b..c'"),
        ("REDIS_URL", "redis+cluster://a:6379,b/1", "only database 0"),
        ("REDIS_URL", "redis+cluster://:p@ss@a,b", "percent-encode"),
        ("REDIS_URL", "redis://redis:6379/0?db=1", "two databases"),
        ("REDIS_URL", "redis://redis:6379?db=x", "'x'"),
        ("REDIS_URL", "redis://:pa#ss@redis:6379", "percent-encode"),
        ("REDIS_URL", "redis://:p@ss@redis:6379", "percent-encode"),
        ("REDIS_URL", "redis://:6379", "host"),
        ("REDIS_URL", "unix://", "path"),
        ("REDIS_URL", "redis://secret@redis", "redis://:password@host"),
        ("DATABASE_URL", "postgresql://auth1@db", "name the database"),
        ("DATABASE_URL", "postgresql://auth1:p@ss@db/auth1_db", "%40"),
        ("DATABASE_URL", "postgresql://auth1:p#ss@db/auth1_db", "%23"),
        ("DATABASE_URL", "postgresql://auth1@a,b/auth1_db", "target_session_attrs=read-write"),
        ("DATABASE_URL", "postgresql://auth1@a,b/auth1_db?target_session_attrs=master", "read-write"),
        ("DATABASE_URL", "postgresql://auth1@db:port/auth1_db", "port"),
        ("DATABASE_URL", "postgresql://auth1@db/auth1_db?sslmode=on", "verify-full"),
        ("DATABASE_URL", "postgresql://auth1@db/auth1_db?sslmode", "parameters like"),
        ("DATABASE_URL", "postgresql://auth1@db/auth1_db?sslmode=require&sslrootcert=/no/ca.pem", "/no/ca.pem"),
        ("DATABASE_URL", f"postgresql://auth1@db/auth1_db?sslmode=verify-full&sslrootcert={__file__}", "PEM"),
        ("DATABASE_URL", "postgresql://auth1@db/auth1_db?sslcert=/no/client.pem", "/no/client.pem"),
        ("DATABASE_URL", "postgresql://auth1@db/auth1_db?connect_timeout=5", "connect_timeout"),
        ("DATABASE_URL", "postgresql://auth1@db/auth1_db?channel_binding=require", "channel_binding"),
        ("DATABASE_READ_URL", "postgresql://auth1@replica/auth1_db?pgbouncer=true", "pgbouncer"),
        ("HOST", "auth.example.com", "127.0.0.1"),
        ("HOST", "0.0.0.0:3000", "0.0.0.0"),
        ("HOST", "fe80::1%eth0", "::"),
        ("PORT", "0", "1 to 65535"),
        ("ADMIN_TOKEN", "pässword" * 8, "ASCII"),
        ("ADMIN_TOKEN", "your-256-bit-secret-here", "openssl rand -hex 32"),
        ("ADMIN_TOKEN", ENOUGH["JWT_SECRET"], "a value of its own"),
        ("JWT_SECRET_PREVIOUS", ENOUGH["JWT_SECRET"], "unset it"),
        ("JWT_SECRET", f'"{"0123456789abcdef" * 2}"', "quotation marks"),
        ("JWT_SECRET_PREVIOUS", "one line\rand another, longer than needed", "one line"),
        ("TWILIO_ACCOUNT_SID", "AC" + "x" * 32, "hexadecimal"),
        ("TWILIO_MESSAGING_SERVICE_SID", "+12015550123", "MG"),
        ("TWILIO_AUTH_TOKEN", "tökən", "printable ASCII"),
        ("TWILIO_API_URL", "https://api.twilio.com/?x", "query"),
        ("AWS_SNS_REGION", "us-est-1", "us-east-1"),
        ("SNS_ORIGINATION_NUMBER", "+999999999", "E.164"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/no/token", "/no/token"),
        ("TRUSTED_PROXIES", "10.0.0.1/8", "write 10.0.0.0/8"),
        ("TRUSTED_PROXIES", "proxy.internal", "network"),
        ("DNS_SERVERS", "dns.example.com", "[2001:db8::53]:5353"),
        ("LOG_FORMAT", "xml", "json, text"),
        ("LOG_EVENTS", "maybe", "on or off"),
        ("SMTP_URL", "smtp://u:p@ss@mail.example.com", "percent-encode"),
        ("SMTP_URL", "smtp://mail..example.com", "invalid host name"),
        ("SMTP_URL", "smtp://mail.example.com?timeout=5", "timeout"),
        ("EMAIL_FROM", "no-reply@localhost", "no-reply@example.com"),
        ("EMAIL_FROM", "no-reply@example..com", "no-reply@example.com"),
        ("EMAIL_FROM", ".no@example.com", "no-reply@example.com"),
    ],
)
def test_problem_names_the_variable_and_the_fix(name: str, value: str, advice: str) -> None:
    environ = ENOUGH | TWILIO | MAIL | {name: value}

    [problem] = problems(environ)
    assert problem.startswith(name)
    assert advice in problem


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("CORS_ORIGINS", "https://a.example:443", "cors_origins", ("https://a.example",)),
        ("CORS_ORIGINS", "HTTP://A.example:80/, http://[::1]:80", "cors_origins", ("http://a.example", "http://[::1]")),
        ("CORS_ORIGINS", "capacitor://localhost", "cors_origins", ("capacitor://localhost",)),
        ("APP_URL", "HTTPS://Auth.Example.com:443/", "app_url", "https://auth.example.com"),
        ("APP_URL", "https://example.com/auth/", "app_url", "https://example.com/auth"),
        ("HOST", "localhost", "host", "127.0.0.1"),
        ("HOST", "[::]", "host", "::"),
        ("REDIS_URL", "redis://redis?db=2", "redis_url", "redis://redis?db=2"),
        ("REDIS_URL", "rediss://user:p%40ss@redis:6380/15", "redis_url", None),
        ("REDIS_URL", "unix:///run/redis.sock?db=1", "redis_url", None),
        ("DATABASE_URL", "postgres://u:p@a:5432,b:5432/auth1_db?target_session_attrs=primary", "database_url", None),
        ("DATABASE_URL", "postgresql:///auth1_db?host=/run/postgresql", "database_url", None),
        ("DATABASE_URL", "postgresql://u@db/auth1_db?application_name=auth1", "database_url", None),
        ("LOG_EVENTS", "Off", "log_events", False),
        ("LOG_FORMAT", "TEXT", "log_format", "text"),
    ],
)
def test_valid_spelling_is_accepted_and_normalised(name: str, value: str, field: str, expected: object) -> None:
    found = getattr(load_settings(ENOUGH | {name: value}), field)

    assert found == (value if expected is None else expected)


def test_file_of_a_secret_must_exist_and_not_be_empty(tmp_path: Path) -> None:
    environ = {name: value for name, value in ENOUGH.items() if name != "JWT_SECRET"}
    empty = tmp_path / "empty"
    empty.touch()

    assert problems(environ | {"JWT_SECRET_FILE": str(empty)}) == [f"JWT_SECRET_FILE={empty} is empty"]
    assert "JWT_SECRET_FILE" in problems(environ | {"JWT_SECRET_FILE": str(tmp_path)})[0]


@pytest.mark.parametrize("quote", ["'", '"'])
def test_quotation_marks_are_named_as_the_problem(quote: str) -> None:
    found = problems(ENOUGH | {"APP_URL": f"{quote}https://auth.example.com{quote}"})

    assert found[0].startswith("APP_URL is in quotation marks")


def test_access_key_of_aws_needs_its_secret() -> None:
    assert problems(ENOUGH | {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE"})[0].startswith("AWS_SECRET_ACCESS_KEY")


def test_sms_rates_name_the_right_country_code(tmp_path: Path) -> None:
    rates = tmp_path / "rates.csv"
    rates.write_text("country,price\nUK,0.04\n*,0.15\n")

    assert "write GB" in problems(ENOUGH | {"SMS_RATES_FILE": str(rates)})[0]


PRODUCTION = (
    ENOUGH
    | TWILIO
    | {
        "ADMIN_TOKEN": "abcdefghijklmnopqrstuvwxyz0123456789",
        "APP_URL": "https://auth.example.com",
        "CORS_ORIGINS": "https://app.example.com",
        "REDIS_URL": "rediss://:secret@redis:6379",
    }
)


def test_checklist_finds_nothing_in_production_settings() -> None:
    assert [finding for finding in check_settings(load_settings(PRODUCTION)) if finding.status != "ok"] == []


@pytest.mark.parametrize(
    ("changes", "check", "status"),
    [
        ({"ADMIN_TOKEN": "short"}, "admin token", "fail"),
        ({"ADMIN_TOKEN": "x" * 32}, "admin token", "fail"),
        ({"JWT_SECRET": "x" * 32}, "secrets", "fail"),
        ({"JWT_SECRET_PREVIOUS": "zyxwvutsrqponmlkjihgfedcba9876543210"}, "secrets", "warn"),
        ({"APP_URL": ""}, "APP_URL", "warn"),
        ({"APP_URL": "http://auth.example.com"}, "APP_URL", "fail"),
        ({"APP_URL": "https://localhost"}, "APP_URL", "warn"),
        ({"CORS_ORIGINS": ""}, "CORS", "warn"),
        ({"DATABASE_URL": "postgresql://auth1@db/auth1_db"}, "database TLS", "warn"),
        ({"REDIS_URL": "redis://:secret@redis"}, "Redis TLS", "warn"),
        ({"REDIS_URL": "redis+cluster://:secret@127.0.0.1,redis"}, "Redis TLS", "warn"),
        ({"REDIS_URL": "rediss+sentinel://:secret@redis/x?ssl_cert_reqs=none"}, "Redis TLS", "warn"),
        ({"REDIS_URL": "rediss://redis"}, "Redis password", "warn"),
        ({"TRUSTED_PROXIES": "0.0.0.0/0"}, "proxies", "fail"),
        ({"RATE_LIMIT_MAX": "1000000"}, "rate limit", "warn"),
        ({"SMS_PROVIDERS": "console"}, "SMS", "fail"),
        ({"SMTP_URL": "console:"}, "email", "fail"),
        ({**MAIL, "SMTP_URL": "smtp://u:p@mail.example.com?starttls=false"}, "email", "fail"),
    ],
)
def test_checklist_finds_an_unsafe_setting(changes: dict[str, str], check: str, status: str) -> None:
    found = [finding for finding in check_settings(load_settings(PRODUCTION | changes)) if finding.status != "ok"]

    assert [(finding.check, finding.status) for finding in found] == [(check, status)]
    assert found[0].fix
