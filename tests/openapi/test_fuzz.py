"""Schemathesis looks for responses of a real server that the description does not allow.

CI runs a few fixed examples of each operation; `just fuzz` runs a given number of new ones.
"""

import copy
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.openapi.conftest import Callers, run
from tests.support import described
from tests.support.api_client import ADMIN_TOKEN
from tests.support.process import Auth1
from tests.support.providers.twilio import TwilioServer

EXAMPLES = int(os.environ.get("AUTH1_FUZZ_EXAMPLES", "1"))
ONLY = os.environ.get("AUTH1_FUZZ_ONLY", "")
# A value that the schema allows may be rejected for other reasons: a number in no country, a wrong code.
LEFT_OUT = (
    "positive_data_acceptance,ignored_auth,use_after_free,ensure_resource_availability,object_level_authorization"
)
ENDLESS = "/events/stream$"  # a response of 15 minutes
SESSIONS = 12
FORWARDED_FOR = "auth1-forwarded-for"
CONFIG = """
[checks]
negative_data_rejection.expected-statuses = [400, 401, 403, 404, 405, 409, 413, 414, 415, 422, 429]
missing_required_header.expected-statuses = [401, 415]
"""


@pytest.mark.timeout(0 if EXAMPLES > 10 else 900)
async def test_responses_match_the_api_description(auth1: Auth1, twilio_server: TwilioServer, tmp_path: Path) -> None:
    people = await Callers.new(auth1, twilio_server)
    managed = await Callers.new(auth1, twilio_server)
    (tmp_path / "openapi.json").write_text(json.dumps(await with_real_ids(auth1, managed, people)))
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    tokens = [people.login["token"]] + [(await people.log_in(twilio_server))["token"] for _ in range(SESSIONS)]
    own, theirs = people.tenant, managed.tenant
    credentials = {
        "publishableKey": {"": [own["api_key"]]},
        "secretKey": {"/api/tenant/": [theirs["secret_key"]], "": [own["secret_key"]]},
        "testKey": {"": [own["test_key"]]},
        "sessionToken": {"": tokens},
        "adminToken": {"": [ADMIN_TOKEN]},
        "metricsToken": {"": ["none"]},
    }
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "SCHEMATHESIS_HOOKS": "tests.openapi.hooks",
        "AUTH1_CREDENTIALS": json.dumps(credentials),
    }
    few = ["--generation-deterministic", "--no-shrink"] if EXAMPLES <= 10 else ["--generation-database", "none"]
    only = ["--include-path-regex", ONLY] if ONLY else []

    # One worker: in Python 3.11 two threads that parse sources at once break each other, and hypothesis parses them.
    code, printed = await run(
        *(str(Path(sys.executable).with_name("st")), "run", "openapi.json", "--url", auth1.url, "--workers", "1"),
        *("--phases", "coverage,fuzzing", "--max-examples", str(EXAMPLES), "--exclude-checks", LEFT_OUT),
        *("--warnings", "off", "--continue-on-failure", *few, *only),
        *("--exclude-path-regex", ENDLESS),
        environment=environment,
        directory=tmp_path,
        timeout_s=3600 if EXAMPLES > 10 else 800,
    )
    await people.restore_default_policy()

    assert code == 0, printed
    errors = auth1.lines("request failed")
    assert errors == []


async def with_real_ids(auth1: Auth1, managed: Callers, people: Callers) -> dict[str, Any]:
    """Return the description with existing ids in its paths; ids to be deleted are used once."""
    document = copy.deepcopy(described.snapshot())
    tenant_id = managed.tenant["tenant_id"]
    spare = [(await auth1.tenant())["tenant_id"] for _ in range(3)]
    keys = [
        (await auth1.operator("POST", f"/api/admin/tenants/{tenant_id}/keys", {"kind": "pk"})).json()["key_id"]
        for _ in range(5)
    ]
    requested = await auth1.ask("+15005550000", people.tenant["test_key"])
    ids = {
        "tenant_id": [tenant_id],
        "key_id": keys,
        "user_id": [managed.login["user_id"]],
        "session_id": [managed.login["session_id"], people.login["session_id"]],
        "challenge_id": [requested.json()["challenge_id"]],
    }
    for verbs in document["paths"].values():
        for operation in verbs.values():
            ends_tenants = operation["operationId"] in ("delete_tenant", "suspend_tenant")
            # Whatever came in it would be rejected before anything else is looked at.
            operation["parameters"] = [one for one in operation.get("parameters", ()) if one["name"] != FORWARDED_FOR]
            for parameter in operation["parameters"]:
                if parameter["in"] == "path" and parameter["name"] in ids:
                    real = spare if ends_tenants else ids[parameter["name"]]
                    parameter["schema"] = {"type": "string", "enum": [*real, parameter["example"]]}
                    parameter["example"] = real[0]
    return document
