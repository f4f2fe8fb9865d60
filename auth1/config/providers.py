"""Providers of SMS and email, as the environment configures them."""

import importlib.util
import re
from pathlib import Path

import msgspec
import phonenumbers

from auth1.config.environ import SAMPLE_SECRETS, Environment
from auth1.config.sms_rates import BUILT_IN, Rates, read_sms_rates
from auth1.config.smtp import CONSOLE, SmtpSettings, read_smtp_url
from auth1.config.urls import file_problem

SMS_PROVIDERS = ("twilio", "sns", "console")

# The regions of all partitions: us-east-1, ap-southeast-5, us-gov-west-1, us-isob-east-1, eusc-de-east-1.
_AWS_REGION = re.compile(
    r"(?:af|ap|ca|cn|eu|il|me|mx|sa|us|us-gov|us-iso[a-z]?|eu-iso[a-z]?|eusc-de)"
    r"-(?:central|north|south|east|west|northeast|northwest|southeast|southwest)-[1-9]"
)
# The data packages of Twilio Lookup that Auth1 uses. Twilio bills each of them per number.
LOOKUP_FIELDS = ("line_type_intelligence", "sms_pumping_risk", "sim_swap")
_TWILIO_NAMES = ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_MESSAGING_SERVICE_SID")


class TwilioAccount(msgspec.Struct, frozen=True):
    """The Twilio account that sends SMS. Tests and proxies set `api_url` and `lookup_url`.

    `lookup_fields` are the packages of Lookup to buy for a number; empty: no look-ups.
    """

    account_sid: str
    auth_token: str
    messaging_service_sid: str
    api_url: str
    auth_token_previous: str | None = None  # accepted for checking signatures only
    lookup_url: str = "https://lookups.twilio.com"
    lookup_fields: tuple[str, ...] = ()


class SnsSettings(msgspec.Struct, frozen=True):
    """Settings of AWS SNS. The AWS library reads the credentials itself."""

    region: str
    origination_number: str | None


def read_twilio(env: Environment) -> TwilioAccount | None:
    """Return the Twilio account; None where no variable of it is set."""
    sid, token, service, previous = (env.text(name) for name in (*_TWILIO_NAMES, "TWILIO_AUTH_TOKEN_PREVIOUS"))
    api_url = env.web_url("TWILIO_API_URL", "https://api.twilio.com")
    lookup_url = env.web_url("TWILIO_LOOKUP_URL", "https://lookups.twilio.com")
    # Twilio bills look-ups, so they are on only if a variable names them.
    packages = "line_type_intelligence" if env.text("TWILIO_LOOKUP_URL") else ""
    fields = env.items("TWILIO_LOOKUP_FIELDS", packages, _parse_lookup_field)
    if sid is None and token is None and service is None and previous is None:
        if env.text("TWILIO_LOOKUP_FIELDS"):
            env.problems.append(f"TWILIO_LOOKUP_FIELDS needs {', '.join(_TWILIO_NAMES)} too")
        return None
    missing = [name for name, value in zip(_TWILIO_NAMES, (sid, token, service), strict=True) if value is None]
    if sid is None or token is None or service is None:
        env.problems.append(f"{' and '.join(missing)} must be set too: Twilio needs all three")
        return None
    for name, value, prefix in (("TWILIO_ACCOUNT_SID", sid, "AC"), ("TWILIO_MESSAGING_SERVICE_SID", service, "MG")):
        if not re.fullmatch(rf"{prefix}[0-9a-fA-F]{{32}}", value):
            env.problems.append(f"{name} must be {prefix} and 32 hexadecimal digits, as the Twilio Console shows it")
    for name, value in (("TWILIO_AUTH_TOKEN", token), ("TWILIO_AUTH_TOKEN_PREVIOUS", previous or "")):
        if value in SAMPLE_SECRETS:
            env.problems.append(f"{name} is the sample from the guide; copy yours from the Twilio Console")
        elif not (value.isascii() and value.isprintable()):
            env.problems.append(f"{name} must be printable ASCII, as the Twilio Console shows it")
    return TwilioAccount(sid, token, service, api_url, previous, lookup_url, tuple(dict.fromkeys(fields)))


def read_sns(env: Environment, order: tuple[str, ...]) -> SnsSettings | None:
    """Return the settings of SNS; None where no setting, no credentials and no SMS_PROVIDERS name it."""
    region, number = env.text("AWS_SNS_REGION"), env.text("SNS_ORIGINATION_NUMBER")
    endpoint = env.web_url("AWS_ENDPOINT_URL_SNS")
    access_key, token_file = env.text("AWS_ACCESS_KEY_ID"), env.text("AWS_WEB_IDENTITY_TOKEN_FILE")
    if not (region or number or endpoint or access_key or token_file) and "sns" not in order:
        return None
    if region is not None and not _AWS_REGION.fullmatch(region):
        env.problems.append(f"AWS_SNS_REGION must be an AWS region such as us-east-1, not {region!r}")
    if number is not None and not _is_possible_number(number):
        env.problems.append("SNS_ORIGINATION_NUMBER must be a phone number in E.164, such as +12015550123")
    if access_key is not None and env.text("AWS_SECRET_ACCESS_KEY") is None:
        env.problems.append("AWS_SECRET_ACCESS_KEY must be set too: AWS_ACCESS_KEY_ID needs it")
    if token_file is not None and (problem := file_problem(token_file)):
        env.problems.append(f"AWS_WEB_IDENTITY_TOKEN_FILE={token_file} {problem}")
    return SnsSettings(region or "us-east-1", number)


def read_sms_providers(env: Environment, named: tuple[str, ...], configured: tuple[str, ...]) -> tuple[str, ...]:
    """Return the providers in order of trial; those that are configured where SMS_PROVIDERS is unset."""
    for name in named:
        if name not in SMS_PROVIDERS:
            env.problems.append(f"SMS_PROVIDERS: {name!r} is not a provider; use {', '.join(SMS_PROVIDERS)}")
    if "twilio" in named and "twilio" not in configured:
        env.problems.append(f"SMS_PROVIDERS names twilio; set {', '.join(_TWILIO_NAMES)} too")
    if len(set(named)) < len(named):
        env.problems.append("SMS_PROVIDERS names a provider twice; remove one")
    providers = named or configured
    if "sns" in providers and importlib.util.find_spec("aioboto3") is None:
        env.problems.append("SMS_PROVIDERS: sns needs aioboto3; run pip install 'auth1[sns]', or remove sns")
    return providers


def read_rates(env: Environment) -> Rates:
    """Return the prices of SMS_RATES_FILE, or the built-in estimates."""
    own = env.text("SMS_RATES_FILE")
    try:
        return read_sms_rates(Path(own) if own else BUILT_IN)
    except ValueError as error:
        env.problems.extend(f"SMS_RATES_FILE: {problem}" for problem in error.args)
        return Rates()


def read_smtp(env: Environment) -> SmtpSettings | None:
    """Return the mail server; None where email is off or printed to the console."""
    url, sender = env.text("SMTP_URL"), env.text("EMAIL_FROM")
    if url == CONSOLE:
        return None
    if url is not None and sender is not None:
        try:
            return read_smtp_url(url, sender)
        except ValueError as error:
            env.problems.extend(error.args)
    elif url is not None or sender is not None:
        env.problems.append(f"{'EMAIL_FROM' if url else 'SMTP_URL'} must be set too: email needs both")
    return None


def _parse_lookup_field(text: str) -> str:
    """Return a package of Lookup. Raises ValueError with the problem."""
    if text.lower() not in LOOKUP_FIELDS:
        raise ValueError(f"is not a package that Auth1 uses; use {', '.join(LOOKUP_FIELDS)}")
    return text.lower()


def _is_possible_number(text: str) -> bool:
    if not re.fullmatch(r"\+[1-9][0-9]{6,14}", text, re.ASCII):
        return False
    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(text))
    except phonenumbers.NumberParseException:
        return False
