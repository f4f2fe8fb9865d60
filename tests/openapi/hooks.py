"""Schemathesis hooks: sign each request as one of the permitted callers, in turn."""

import itertools
import json
import os
from typing import Any

import schemathesis
from schemathesis.generation.meta import CoveragePhaseData, CoverageScenario

# Header values by scheme and, where a scheme has several holders, by the beginning of the path.
CREDENTIALS: dict[str, dict[str, list[str]]] = json.loads(os.environ["AUTH1_CREDENTIALS"])
ENDS_A_SESSION = {"logout", "end_my_sessions", "end_my_session", "delete_me"}
UNSIGNED = {(CoverageScenario.MISSING_PARAMETER, header) for header in ("authorization", "x-api-key")}

_turns = itertools.count()
_ended = itertools.count(1)
_session = 0


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Put credentials on a request."""
    data = case.meta.phase.data if case.meta is not None else None
    if isinstance(data, CoveragePhaseData) and (data.scenario, (data.parameter or "").lower()) in UNSIGNED:
        return  # that it is missing is the point
    raw = case.operation.definition.raw
    alternatives = raw.get("security") or [{}]
    for scheme in alternatives[next(_turns) % len(alternatives)]:
        described = case.operation.schema.raw_schema["components"]["securitySchemes"][scheme]
        holders = CREDENTIALS[scheme]
        place = next((place for place in holders if case.operation.path.startswith(place)), "")
        values = holders[place]
        value = values[_session % len(values)] if scheme == "sessionToken" else values[0]
        if described["type"] == "apiKey":
            case.headers[described["name"]] = value
        else:
            case.headers["authorization"] = f"Bearer {value}"


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    """Use another session after one was revoked."""
    global _session
    if response.status_code == 204 and case.operation.definition.raw["operationId"] in ENDS_A_SESSION:
        _session = next(_ended)
