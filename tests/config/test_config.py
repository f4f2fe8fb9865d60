"""Settings of the environment are checked together, and every problem is reported."""

from pathlib import Path

import pytest

from auth1.config.settings import ConfigurationError, load_settings

ENOUGH = {
    "DATABASE_URL": "postgresql://auth1:pass@db:5432/auth1_db?sslmode=require",
    "REDIS_URL": "redis://redis:6379",
    "JWT_SECRET": "0123456789abcdef0123456789abcdef",
}
TWILIO = {
    "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
    "TWILIO_AUTH_TOKEN": "token",
    "TWILIO_MESSAGING_SERVICE_SID": "MG" + "0" * 32,
}


def problems(environ: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(environ)
    return caught.value.problems


def test_defaults_match_the_guide() -> None:
    settings = load_settings(ENOUGH)

    assert (settings.port, settings.host, settings.workers) == (3000, "0.0.0.0", 1)
    assert (settings.rate_limit_max, settings.rate_limit_window_ms) == (100, 3_600_000)
    assert settings.cors_origins == ("*",)
    assert settings.database_pool_size == 20
    assert settings.app_url == "http://localhost:3000"
    assert settings.admin_token is None
    assert [str(network) for network in settings.trusted_proxies] == ["127.0.0.1/32", "::1/128"]
    assert settings.sms_providers == ()


def test_all_problems_are_reported_at_once() -> None:
    found = "\n".join(
        problems({"JWT_SECRET": "short", "PORT": "http", "WORKERS": "0", "LOG_LEVEL": "loud", "TRUSTED_PROXIES": "ten"})
    )

    for name in ("DATABASE_URL", "REDIS_URL", "JWT_SECRET", "PORT", "WORKERS", "LOG_LEVEL", "TRUSTED_PROXIES"):
        assert name in found


@pytest.mark.parametrize("secret", ["your-256-bit-secret-here", "x" * 31, "é" * 15])
def test_sample_or_short_secret_is_rejected(secret: str) -> None:
    assert "JWT_SECRET" in problems(ENOUGH | {"JWT_SECRET": secret})[0]


def test_secret_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("a secret in a file, long enough to be taken\n")
    environ = {name: value for name, value in ENOUGH.items() if name != "JWT_SECRET"}

    assert load_settings(environ | {"JWT_SECRET_FILE": str(file)}).jwt_secret == file.read_text().strip()
    assert "both set" in problems(ENOUGH | {"JWT_SECRET_FILE": str(file)})[0]
    assert "cannot be read" in problems(environ | {"JWT_SECRET_FILE": str(tmp_path / "none")})[0]


def test_empty_variable_counts_as_unset() -> None:
    assert load_settings(ENOUGH | {"PORT": "", "ADMIN_TOKEN": " ", "TWILIO_ACCOUNT_SID": ""}).port == 3000


def test_twilio_needs_all_three_variables() -> None:
    assert load_settings(ENOUGH | TWILIO).sms_providers == ("twilio",)
    for name in TWILIO:
        rest = {other: value for other, value in TWILIO.items() if other != name}
        assert name in problems(ENOUGH | rest)[0]


@pytest.mark.parametrize(
    "environ",
    [
        {"AWS_SNS_REGION": "us-east-1"},
        {"SNS_ORIGINATION_NUMBER": "+12015550123"},
        {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"},
        {"AWS_WEB_IDENTITY_TOKEN_FILE": __file__},
        {"AWS_ENDPOINT_URL_SNS": "http://127.0.0.1:4566"},
        {"SMS_PROVIDERS": "SNS"},
    ],
    ids=lambda environ: next(iter(environ)),
)
def test_sns_is_on_when_any_variable_of_it_is_set(environ: dict[str, str]) -> None:
    settings = load_settings(ENOUGH | environ)

    assert settings.sns is not None
    assert settings.sns.region == "us-east-1"
    assert settings.sns.origination_number == environ.get("SNS_ORIGINATION_NUMBER")
    assert settings.sms_providers == ("sns",)


def test_sns_is_off_without_its_variables() -> None:
    assert load_settings(ENOUGH | {"AWS_REGION": "eu-west-1", "AWS_SNS_REGION": " "}).sns is None


@pytest.mark.parametrize("region", ["eu-central-1", "us-gov-west-1", "us-isob-east-1", "ap-southeast-5", "cn-north-1"])
def test_every_partition_of_aws_has_valid_regions(region: str) -> None:
    sns = load_settings(ENOUGH | {"AWS_SNS_REGION": region}).sns

    assert sns is not None
    assert sns.region == region


def test_sms_providers_sets_the_failover_order() -> None:
    both = ENOUGH | TWILIO | {"AWS_SNS_REGION": "us-east-1"}

    assert load_settings(both).sms_providers == ("twilio", "sns")
    assert load_settings(both | {"SMS_PROVIDERS": "sns, twilio"}).sms_providers == ("sns", "twilio")
    assert load_settings(both | {"SMS_PROVIDERS": "twilio"}).sms_providers == ("twilio",)


def test_sample_values_of_the_guide_are_rejected() -> None:
    guide = {
        "TWILIO_ACCOUNT_SID": "your_twilio_sid",
        "TWILIO_AUTH_TOKEN": "your_twilio_token",
        "TWILIO_MESSAGING_SERVICE_SID": "your_messaging_sid",
    }
    found = "\n".join(problems(ENOUGH | guide))
    for name in guide:
        assert name in found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://db/auth1"),
        ("REDIS_URL", "http://redis"),
        ("APP_URL", "auth.example.com"),
        ("CORS_ORIGINS", "https://app.example.com/path"),
        ("PORT", "70000"),
        ("PORT", "٣٠٠٠"),
        ("RATE_LIMIT_MAX", "-1"),
        ("SMS_PROVIDERS", "pigeon"),
        ("SMS_PROVIDERS", "twilio"),
        ("SMS_PROVIDERS", "console,console"),
        ("AWS_SNS_REGION", "Virginia"),
        ("AWS_SNS_REGION", "us-east-1.example.com"),
        ("AWS_ENDPOINT_URL_SNS", "localhost:4566"),
        ("SNS_ORIGINATION_NUMBER", "12015550123"),
        ("SNS_ORIGINATION_NUMBER", "+1 201 555 0123"),
        ("SNS_ORIGINATION_NUMBER", "+٣٠٠٠٠٠٠٠"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("DNS_SERVERS", "192.0.2.53:0"),
        ("DNS_SERVERS", "192.0.2.53:65536"),
        ("DNS_SERVERS", "192.0.2.53:"),
        ("DNS_SERVERS", "[::1"),
        ("DNS_SERVERS", "1:2"),
        ("DATABASE_POOL_SIZE", "0"),
    ],
)
def test_invalid_value_is_rejected_with_its_name(name: str, value: str) -> None:
    assert any(problem.startswith(name) for problem in problems(ENOUGH | {name: value}))


def test_dns_servers_have_an_optional_port() -> None:
    servers = "192.0.2.53, 192.0.2.54:5353,2001:db8::53,[2001:db8::54]:5353"

    found = load_settings(ENOUGH | {"DNS_SERVERS": servers}).dns_servers

    assert found == (("192.0.2.53", 53), ("192.0.2.54", 5353), ("2001:db8::53", 53), ("2001:db8::54", 5353))


def test_workers_share_the_pool_and_each_needs_a_connection() -> None:
    assert load_settings(ENOUGH | {"WORKERS": "4"}).pool_size_per_worker == 5
    assert "DATABASE_POOL_SIZE" in problems(ENOUGH | {"WORKERS": "4", "DATABASE_POOL_SIZE": "3"})[0]


MAIL = {"SMTP_URL": "smtp://user%40example.com:p%3Aw@mail.example.com", "EMAIL_FROM": "no-reply@example.com"}


@pytest.mark.parametrize(
    ("url", "port", "tls", "starttls"),
    [
        ("smtp://u:p@mail.example.com:587?starttls=true", 587, False, True),
        ("smtp://u:p@mail.example.com", 587, False, True),  # a password is not sent in the clear
        ("smtp://u:p@mail.example.com?starttls=false", 25, False, False),
        ("smtp://mail.example.com", 25, False, None),
        ("smtp://mail.example.com?starttls=true", 587, False, True),
        ("smtps://u:p@mail.example.com", 465, True, False),
    ],
)
def test_smtp_url_sets_port_and_tls(url: str, port: int, tls: bool, starttls: bool | None) -> None:
    smtp = load_settings(ENOUGH | MAIL | {"SMTP_URL": url}).smtp

    assert smtp is not None
    assert (smtp.host, smtp.port, smtp.tls, smtp.starttls) == ("mail.example.com", port, tls, starttls)


def test_smtp_credentials_are_percent_decoded() -> None:
    smtp = load_settings(ENOUGH | MAIL).smtp

    assert smtp is not None
    assert (smtp.username, smtp.password) == ("user@example.com", "p:w")


def test_email_needs_a_server_and_a_sender() -> None:
    assert load_settings(ENOUGH).smtp is None
    for name in MAIL:
        assert problems(ENOUGH | {name: MAIL[name]})[0].endswith("email needs both")


@pytest.mark.parametrize("sender", ["no-reply@example.com", "Auth1 <no-reply@example.com>", "<no-reply@example.com>"])
def test_sender_may_have_a_display_name(sender: str) -> None:
    smtp = load_settings(ENOUGH | MAIL | {"EMAIL_FROM": sender}).smtp

    assert smtp is not None
    assert smtp.sender == "no-reply@example.com"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SMTP_URL", "mail.example.com:25"),
        ("SMTP_URL", "https://mail.example.com"),
        ("SMTP_URL", "smtp://"),
        ("SMTP_URL", "smtp://mail.example.com/path"),
        ("SMTP_URL", "smtp://mail.example.com:99999"),
        ("SMTP_URL", "smtp://mail.example.com?starttls=maybe"),
        ("SMTP_URL", "smtp://mail.example.com?tls=true"),
        ("SMTP_URL", "smtps://mail.example.com?starttls=true"),
        ("EMAIL_FROM", "missing"),
        ("EMAIL_FROM", "a@b.co, c@d.co"),
        ("EMAIL_FROM", "<a@b.co> <c@d.co>"),
        ("EMAIL_FROM", "a b@c.co"),
        ("EMAIL_FROM", "ä@example.com"),
    ],
)
def test_invalid_email_setting_is_rejected_with_its_name(name: str, value: str) -> None:
    assert [problem.split()[0] for problem in problems(ENOUGH | MAIL | {name: value})] == [name]


def test_smtp_url_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("smtps://u:p@mail.example.com\n")
    smtp = load_settings(ENOUGH | {"EMAIL_FROM": MAIL["EMAIL_FROM"], "SMTP_URL_FILE": str(file)}).smtp

    assert smtp is not None
    assert smtp.password == "p"
