"""`auth1 tenants update` changes the name, the settings and the logo of a tenant."""

import json
import secrets
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.support.png import png

LOOK = {"dark_color": "#facc15", "terms_url": "https://example.com/terms"}


@pytest.fixture
async def slug(run: Run) -> str:
    slug = f"cli-{secrets.token_hex(6)}"
    assert (await run("tenants", "create", "My App", "--slug", slug)).code == 0
    return slug


async def test_branding_of_a_tenant_is_changed_and_reset(run: Run, slug: str, tmp_path: Path) -> None:
    logo = tmp_path / "logo.png"
    logo.write_bytes(png())
    look = ("--setting", "brand_color=#0f766e", "--setting", f"login_page={json.dumps(LOOK)}", "--logo", str(logo))
    branded = json.loads((await run("tenants", "update", slug, "--name", "Notes", *look, "--json")).out)
    reset = ("--setting", "brand_color=null", "--remove-logo")
    plain = json.loads((await run("tenants", "update", branded["tenant_id"], *reset, "--json")).out)
    shown = await run("tenants", "update", slug)

    settings = branded["settings"]
    assert (branded["name"], settings["brand_color"]) == ("Notes", "#0f766e")
    assert LOOK.items() <= settings["login_page"].items()
    assert settings["logo"] is not None
    assert (plain["settings"]["brand_color"], plain["settings"]["logo"]) == (None, None)
    assert LOOK.items() <= plain["settings"]["login_page"].items()
    assert shown.out.splitlines() == [f"tenant_id  {branded['tenant_id']}", "name       Notes", f"slug       {slug}"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--setting", "brand_color=green"), "settings.brand_color: Must be a colour"),
        (("--setting", "color=#0f766e"), "settings.color: Unknown field."),
        (("--logo", __file__), "logo: Must be a PNG image"),
        (("--logo", "missing.png"), "missing.png: No such file or directory"),
    ],
)
async def test_invalid_branding_is_named_and_changes_nothing(
    run: Run, slug: str, options: tuple[str, str], problem: str
) -> None:
    before = (await run("tenants", "update", slug, "--json")).out
    ended = await run("tenants", "update", slug, *options)

    assert (ended.code, ended.out) == (1, "")
    assert problem in ended.err
    assert (await run("tenants", "update", slug, "--json")).out == before


async def test_logo_cannot_be_set_and_removed_at_once(run: Run, tmp_path: Path) -> None:
    ended = await run("tenants", "update", "myapp", "--logo", str(tmp_path / "logo.png"), "--remove-logo")

    assert (ended.code, ended.out) == (2, "")
    assert "--remove-logo: not allowed with argument --logo" in ended.err
