"""docs/deployment.md and docs/operations.md: tables match the files, and backup and restore are run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from auth1.config.checklist import check_settings
from auth1.config.settings import load_settings
from tests.ops.conftest import ComposePostgres
from tests.ops.grafana import RULES

ROOT = Path(__file__).parents[2]
DEPLOYMENT = (ROOT / "docs/deployment.md").read_text()
OPERATIONS = (ROOT / "docs/operations.md").read_text()
BIN = Path(sys.executable).parent  # has auth1


def section(page: str, heading: str) -> str:
    """Return a section of a page, up to the next heading."""
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert found is not None, heading
    return found[1]


def first_column(text: str) -> list[str]:
    """Return the first cell of each row of the tables of a section, without the heads."""
    rows = re.findall(r"^\| (.*?) \|.*\n", text, re.MULTILINE)
    heads = re.findall(r"^\| (.*?) \|.*\n\|---", text, re.MULTILINE)
    return [row for row in rows if row not in heads]


def commands(page: str, heading: str) -> str:
    """Return the first block of commands of a section."""
    found = re.search(r"^```sh\n(.*?)^```", section(page, heading), re.MULTILINE | re.DOTALL)
    assert found is not None, heading
    return found[1]


def block(page: str, heading: str, command: str) -> str:
    """Return the block of commands of a section that has a command."""
    blocks = re.findall(r"^```sh\n(.*?)^```", section(page, heading), re.MULTILINE | re.DOTALL)
    (found,) = [text for text in blocks if command in text]
    assert isinstance(found, str)
    return found


def test_settings_of_the_page_are_read_by_the_command_of_the_services(tmp_path: Path) -> None:
    """Run the block that writes them, and the wrapper, with other paths: `env` prints what Auth1 would get."""
    file = tmp_path / "auth1.env"
    script = block(DEPLOYMENT, "One machine with systemd and nginx", "/etc/auth1/auth1.env <<END")
    written = f'PASSWORD=secret\nsudo() {{ "$@"; }}\n{script}'.replace("/etc/auth1/auth1.env", str(file))
    subprocess.run(["sh", "-eu", "-c", written], check=True)
    assert file.stat().st_mode & 0o777 == 0o600

    wrapper = (ROOT / "ops/systemd/auth1.sh").read_text().replace("/etc/auth1/auth1.env", str(file))
    printed = subprocess.run(
        ["sh", "-eu", "-c", wrapper.replace("/opt/auth1/bin/auth1", "env"), "auth1", "--null"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    settings = load_settings(dict(line.split("=", 1) for line in printed.split("\0") if line))
    assert settings.database_url == "postgresql://auth1:secret@127.0.0.1:5432/auth1_db"
    assert settings.app_url == "https://auth.example.com"
    assert settings.admin_token is not None
    assert all(finding.status != "fail" for finding in check_settings(settings))


def test_every_alert_has_first_steps() -> None:
    alerts = [rule["alert"] for group in RULES["groups"] for rule in group["rules"]]
    assert first_column(section(OPERATIONS, "Alerts")) == alerts


@pytest.mark.parametrize("page", [DEPLOYMENT, OPERATIONS], ids=["deployment", "operations"])
def test_every_file_named_on_a_page_exists(page: str) -> None:
    named = set(re.findall(r"\b((?:ops|tests)/[\w./*@-]*\w)", page))
    assert named != set()
    assert [path for path in named if not list(ROOT.glob(path))] == []


def test_variables_that_env_cannot_set_are_those_of_the_compose_file() -> None:
    compose = (ROOT / "compose.yaml").read_text()
    environment = compose[compose.index("    environment:") : compose.index("    depends_on:")]
    lines = re.findall(r"^      ([A-Z_]+): (.*)$", environment, re.MULTILINE)
    fixed = {name for name, value in lines if f"${{{name}:" not in value}
    documented = {name for cell in first_column(section(DEPLOYMENT, "Docker Compose")) for name in cell.split(", ")}
    assert documented == fixed


def test_env_file_of_the_page_has_what_compose_requires() -> None:
    compose = (ROOT / "compose.yaml").read_text()
    required = set(re.findall(r"\$\{(\w+):\?", compose))
    written = set(
        re.findall(r"^(\w+)=\$\(openssl rand -hex 32\)$", section(DEPLOYMENT, "Docker Compose"), re.MULTILINE)
    )
    assert required <= written


def test_dashboard_panels_of_the_alerts_table_exist() -> None:
    dashboard = (ROOT / "ops/grafana/dashboards/auth1.json").read_text()
    panels = re.findall(r"[Pp]anels? \"([^\"]+)\"", section(OPERATIONS, "Alerts"))
    panels += re.findall(r"and \"([^\"]+)\"", section(OPERATIONS, "Alerts"))
    assert len(panels) > 3
    assert [panel for panel in panels if f'"title": "{panel}"' not in dashboard] == []


async def test_backup_and_restore_commands_work(
    compose_postgres: ComposePostgres, environment: dict[str, str], tmp_path: Path
) -> None:
    """Run the blocks of the page as they are, but for `sudo`: migrate, back up, restore, and compare."""
    url = compose_postgres.url
    variables = environment | compose_postgres.environment
    variables |= {
        "PATH": f"{compose_postgres.environment['PATH']}{os.pathsep}{BIN}",
        "DATABASE_URL": url,
        "NEW_URL": url.replace("/auth1_db", "/auth1_restored"),
    }

    def run(script: str) -> str:
        plain = script.replace("sudo -u postgres ", "")
        done = subprocess.run(
            ["sh", "-eu", "-c", plain], env=variables, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("auth1 migrate && auth1 tenants create 'My App' --slug myapp")
    run(commands(OPERATIONS, "Backup"))
    run(commands(OPERATIONS, "Restore"))

    restored = await asyncpg.connect(variables["NEW_URL"])
    original = await asyncpg.connect(url)
    counts = [await connection.fetch("select id, slug from tenants order by id") for connection in (original, restored)]
    assert counts[0] == counts[1]
    assert [row["slug"] for row in counts[1]] == ["myapp"]
    await restored.close()
    await original.close()
