"""LOG_EVENTS and LOG_FORMAT, as an operator sets them."""

from pathlib import Path

import pytest

from tests.support.process import Auth1, until


@pytest.mark.parametrize(("switch", "is_written"), [("on", True), ("off", False)])
async def test_events_are_written_at_any_log_level(
    environment: dict[str, str], tmp_path: Path, switch: str, is_written: bool
) -> None:
    settings = environment | {"LOG_LEVEL": "error", "LOG_EVENTS": switch, "LOG_FORMAT": "text"}

    async with Auth1(settings, tmp_path / "log") as server:
        await server.tenant()
        if is_written:
            await until(lambda: "info  tenant.created tn_" in server.text(), explain=server.text)
        assert ("tenant.created" in server.text()) is is_written
        assert "/api/admin/tenants" not in server.text()
