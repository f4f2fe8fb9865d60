"""The commands of the API reference are run in a shell against a server."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from auth1.openapi.metadata import FIELDS as EXAMPLES
from auth1.openapi.operation import HOST, command
from tests.openapi.conftest import Callers, run
from tests.support import described
from tests.support.png import png
from tests.support.process import Auth1
from tests.support.providers.twilio import TwilioServer

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")

# What cannot succeed as it stands, because a code, a link or a signature is not for an example to know.
REJECTED = {
    "verify_code": (400, "no_active_challenge"),
    "prove_identifier": (400, "no_active_challenge"),
    "remove_identifier": (409, "conflict"),  # the last one stays
    "token": (401, "invalid_token"),
    "get_userinfo": (401, "invalid_token"),
    "post_userinfo": (401, "invalid_token"),
    "issue_token": (401, "invalid_client"),
    "introspect_token": (401, "invalid_client"),
    "push_request": (401, "invalid_client"),
    "revoke_token": (401, "invalid_client"),
    "receive_status": (403, "forbidden"),
    "show_link": (400, "This link no longer works"),
    "get_authorize": (400, "html"),  # no client
    "post_authorize": (303, ""),
    "post_logout": (303, ""),
    "show_login": (400, "This sign-in has expired"),
    "continue_login": (303, ""),
    "show_account": (303, ""),  # to a sign-in
    "change_account": (303, ""),
    "get_logo": (404, "not_found"),
    "confirm_link": (400, "This link no longer works"),
}
ENDLESS = {"stream_events", "stream_all_events"}  # curl reads them until it gives up
GAVE_UP = 28
COMMANDS = [
    pytest.param(path, verb, operation, id=operation["operationId"])
    for path, verbs in described.snapshot()["paths"].items()
    for verb, operation in verbs.items()
]


@pytest.mark.parametrize(("path", "verb", "operation"), COMMANDS)
async def test_command_of_each_operation_returns_its_example(
    auth1: Auth1, twilio_server: TwilioServer, path: str, verb: str, operation: dict[str, Any], tmp_path: Path
) -> None:
    callers = await Callers.new(auth1, twilio_server)
    (tmp_path / "logo.png").write_bytes(png())
    text = command(path, verb, operation).replace(HOST, auth1.url)
    text = text.replace(str(EXAMPLES["tenant_id"]), callers.tenant["tenant_id"])
    text = text.replace(str(EXAMPLES["user_id"]), callers.login["user_id"])

    shown = f"{text} --silent --show-error --output answer --write-out '%{{http_code}}'"
    is_endless = operation["operationId"] in ENDLESS
    if is_endless:
        shown = shown.replace("--show-error", "--max-time 2")
    environment = {"PATH": os.environ["PATH"]} | callers.variables
    code, status = await run("sh", "-c", shown, environment=environment, directory=tmp_path)
    await callers.restore_default_policy()

    answer = (tmp_path / "answer").read_text() if (tmp_path / "answer").exists() else ""
    assert code == (GAVE_UP if is_endless else 0), status
    if operation["operationId"] in REJECTED:
        expected, word = REJECTED[operation["operationId"]]
        assert int(status) == expected, answer
        assert word in answer
    else:
        # What an example names need not be there; it must be understood.
        ids = [str(EXAMPLES[f"{name}_id"]) for name in ("key", "session", "challenge", "client", "host")]
        ids += ["fl_01", "fd_01", "/hooks/", "whk_01"]  # an entry of a list, a decision, a hook, a webhook
        made_up = "myapp" in text or any(example in text for example in ids)
        assert status[0] == "2" or (made_up and status in ("404", "409")), f"{text}\n{status} {answer}"
