"""compose.yaml: valid by the Compose Specification, and as documented. Starting it takes Docker."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

from auth1.config.settings import SECRETS, load_settings
from auth1.core.processes.supervisor import KILL_AFTER_S

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "compose.yaml").read_text()
# Secrets that the guide prints, and that everybody therefore knows.
SAMPLES = ("secret@", "your-256-bit-secret-here", "your_twilio_sid", "your_twilio_token", "your_messaging_sid")
REQUIRED = {"JWT_SECRET": "x" * 64, "POSTGRES_PASSWORD": "y" * 64}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    parsed = yaml.safe_load(TEXT)
    assert isinstance(parsed, dict)
    return parsed


def interpolate(text: str, environ: dict[str, str]) -> str:
    """Fill in ${NAME:-default} and ${NAME:?message} as Compose does.

    Raises KeyError with the message where a required variable is missing or empty.
    """

    def value(match: re.Match[str]) -> str:
        name, operator, rest = match.groups()
        if environ.get(name):
            return environ[name]
        if operator == ":?":
            raise KeyError(rest)
        return rest

    filled = re.sub(r"\$\{(\w+)(:[-?])([^}]*)\}", value, text)
    assert "$" not in filled, "an interpolation that this test does not know"
    return filled


def environment_of_auth1(compose: dict[str, Any], environ: dict[str, str]) -> dict[str, str]:
    given = compose["services"]["auth1"]["environment"]
    return {name: interpolate(str(value), environ) for name, value in given.items()}


def test_compose_file_is_valid_by_the_specification() -> None:
    parsed = PyCompose.from_yaml(TEXT)
    parsed.validate()
    assert sorted(parsed.service_names()) == ["auth1", "postgres", "redis"]


def test_compose_validator_rejects_a_misspelt_key() -> None:
    with pytest.raises(Exception, match="missing field `condition`"):
        PyCompose.from_yaml(TEXT.replace("condition:", "conditon:"))


def test_compose_file_has_no_version_key(compose: dict[str, Any]) -> None:
    assert "version" not in compose


def test_auth1_waits_for_healthy_postgres_and_redis(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert services["auth1"]["depends_on"] == {name: {"condition": "service_healthy"} for name in ("postgres", "redis")}
    assert all("test" in services[name]["healthcheck"] for name in ("postgres", "redis"))


def test_images_command_volume_and_restart_policy_are_as_documented(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert {name: service["image"] for name, service in services.items()} == {
        "auth1": "auth1/auth1-server:latest",
        "postgres": "postgres:16-alpine",
        "redis": "redis:7-alpine",
    }
    assert services["redis"]["command"] == "redis-server --maxmemory 128mb --maxmemory-policy allkeys-lru"
    assert services["postgres"]["volumes"][0] == "pgdata:/var/lib/postgresql/data"
    assert "pgdata" in compose["volumes"]
    assert {service["restart"] for service in services.values()} == {"always"}


def test_image_is_built_locally_and_never_pulled(compose: dict[str, Any]) -> None:
    assert compose["services"]["auth1"]["build"] == "."
    assert compose["services"]["auth1"]["pull_policy"] == "build"


def test_only_auth1_publishes_a_port(compose: dict[str, Any]) -> None:
    ports = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert {name: [interpolate(port, {}) for port in given] for name, given in ports.items()} == {
        "auth1": ["3000:3000"]
    }


def test_compose_file_contains_no_sample_secret() -> None:
    assert [sample for sample in SAMPLES if sample in TEXT] == []


@pytest.mark.parametrize("name", sorted(REQUIRED))
def test_compose_requires_every_secret(name: str) -> None:
    with pytest.raises(KeyError, match=name):
        interpolate(TEXT, REQUIRED | {name: ""})


def test_required_secrets_are_a_valid_configuration(compose: dict[str, Any]) -> None:
    settings = load_settings(environment_of_auth1(compose, REQUIRED))
    assert settings.database_url == f"postgresql://auth1:{'y' * 64}@postgres:5432/auth1_db"
    assert settings.redis_url == "redis://redis:6379"
    assert settings.admin_token is None
    assert settings.twilio is None


def test_optional_variables_reach_auth1(compose: dict[str, Any]) -> None:
    given = REQUIRED | {
        "ADMIN_TOKEN": "z" * 64,
        "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
        "TWILIO_AUTH_TOKEN": "t" * 32,
        "TWILIO_MESSAGING_SERVICE_SID": "MG" + "0" * 32,
        "SMTP_URL": "smtp://user:pass@mail.example.com:587?starttls=true",
        "EMAIL_FROM": "no-reply@example.com",
        "APP_URL": "https://auth.example.com",
    }
    settings = load_settings(environment_of_auth1(compose, given))
    assert settings.admin_token == "z" * 64
    assert settings.twilio is not None
    assert settings.smtp is not None
    assert settings.app_url == "https://auth.example.com"


def test_auth1_trusts_only_the_network_gateway(compose: dict[str, Any]) -> None:
    (pool,) = compose["networks"]["default"]["ipam"]["config"]
    settings = load_settings(environment_of_auth1(compose, REQUIRED))
    assert [str(network) for network in settings.trusted_proxies] == [f"{pool['gateway']}/32"]


def test_stop_grace_period_exceeds_the_shutdown_timeout(compose: dict[str, Any]) -> None:
    assert int(compose["services"]["auth1"]["stop_grace_period"].rstrip("s")) > KILL_AFTER_S


# --- every variable of Auth1

# Read by the AWS client itself. `auth1` reads only whether SNS is configured.
AWS_CREDENTIALS = {"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ROLE_ARN"}


class Recorder(dict[str, str]):
    """An environment that remembers which variables were read."""

    def __init__(self, values: dict[str, str]) -> None:
        super().__init__(values)
        self.read: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.read.add(name)
        return super().get(name, default)

    def __getitem__(self, name: str) -> str:
        self.read.add(name)
        return super().__getitem__(name)


def variables_of_auth1() -> set[str]:
    """Return every variable that Auth1 reads, without the `_FILE` forms of secrets."""
    environ = Recorder({"DATABASE_URL": "postgresql://a/b", "REDIS_URL": "redis://r", "JWT_SECRET": "0" * 64})
    load_settings(environ)
    return {name for name in environ.read if name.removesuffix("_FILE") not in SECRETS or name in SECRETS}


def test_every_variable_of_auth1_reaches_the_container(compose: dict[str, Any]) -> None:
    expected = variables_of_auth1()
    assert {"DATABASE_URL", "METRICS_TOKEN", "WORKERS", "RATE_LIMIT_MAX", "AWS_WEB_IDENTITY_TOKEN_FILE"} <= expected
    given = set(compose["services"]["auth1"]["environment"])
    assert expected - given == set(), "add these variables to compose.yaml"
    assert given - expected == AWS_CREDENTIALS | {"NODE_ENV"}, "compose.yaml has variables that Auth1 does not read"


def test_every_variable_except_the_fixed_ones_can_be_set_in_env(compose: dict[str, Any]) -> None:
    environment = compose["services"]["auth1"]["environment"]
    marked = {name: f"marked-{name}" for name in environment}
    reached = {name: interpolate(str(value), REQUIRED | marked) for name, value in environment.items()}
    fixed = {name for name in environment if reached[name] != marked[name]}
    assert fixed == {"DATABASE_URL", "REDIS_URL", "PORT", "HOST", "NODE_ENV"}


def test_compose_defaults_equal_auth1_defaults(compose: dict[str, Any]) -> None:
    plain = load_settings(
        {"DATABASE_URL": "postgresql://a/b", "REDIS_URL": "redis://r", "JWT_SECRET": REQUIRED["JWT_SECRET"]}
    )
    composed = load_settings(environment_of_auth1(compose, REQUIRED))
    differing = {name for name in plain.__struct_fields__ if getattr(plain, name) != getattr(composed, name)}
    assert differing == {"database_url", "redis_url", "trusted_proxies"}


def test_container_listens_on_the_published_port(compose: dict[str, Any]) -> None:
    settings = load_settings(environment_of_auth1(compose, REQUIRED | {"PORT": "8080", "HOST": "127.0.0.1"}))
    assert (settings.host, settings.port) == ("0.0.0.0", 3000)


# --- the database role


def test_scripts_that_create_the_role_are_mounted_in_order(compose: dict[str, Any]) -> None:
    postgres = compose["services"]["postgres"]
    mounts = [volume.split(":") for volume in postgres["volumes"][1:]]
    assert [(source, mode) for source, _, mode in mounts] == [
        ("./ops/postgres/init.sql", "ro"),
        ("./ops/postgres/lock-superuser.sql", "ro"),
    ]
    targets = [target for _, target, _ in mounts]
    assert targets == sorted(targets)
    assert all(re.fullmatch(r"/docker-entrypoint-initdb\.d/[\w-]+\.sql", target) for target in targets)
    assert all((ROOT / source).is_file() for source, _, _ in mounts)


def test_role_of_auth1_is_not_the_superuser(compose: dict[str, Any]) -> None:
    environment = compose["services"]["postgres"]["environment"]
    assert environment.keys() == {"POSTGRES_PASSWORD"}  # the superuser has the image's default name, postgres
    settings = load_settings(environment_of_auth1(compose, REQUIRED))
    assert settings.database_url.startswith("postgresql://auth1:")
    assert "create role auth1 login nosuperuser" in (ROOT / "ops/postgres/init.sql").read_text()
