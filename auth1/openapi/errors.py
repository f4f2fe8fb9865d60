"""The refusals of routes by status, and the headers of responses: each described once for all that share it."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from auth1.core import schemas
from auth1.core.http import framing
from auth1.core.http.problems import CONTENT_TYPE, problem
from auth1.core.http.request import CSV, FORM, NDJSON, Form, Upload, read_body
from auth1.core.http.router import Route
from auth1.errors import ApiError, InternalError, MethodNotAllowed, NotFound, OriginNotAllowed, Unavailable
from auth1.openapi import metadata
from auth1.openapi.metadata import Json
from auth1.openapi.reach import Reached, reach

_PROBLEM = CONTENT_TYPE.decode()
_ID = "req_01jd8k2m4n6p8q0r2s4t6v8w0x"
# Statuses whose answers may say when to come back; of 429 all do.
_MAY_WAIT = (400, 409, 502, 503)
# Headers that a refusal has where guard or handler have set them, and how that shows in its name.
_OF_HANDLERS = {"ratelimit-policy": "limited", "ratelimit": "", "idempotent-replayed": "repeatable"}
# Bodies that are no JSON, by what a route names them.
NO_JSON: dict[Any, Json] = {
    Form: {FORM: {"schema": {"type": "object", "additionalProperties": {"type": "string"}}}},
    Upload: {  # any bytes at all are a file: what is no user is named in the answer
        NDJSON: {"schema": {}, "example": '{"email":"a@b.co","external_id":"42"}\n'},
        CSV: {"schema": {}, "example": "email,external_id\r\na@b.co,42\r\n"},
    },
}


def _some(*functions: Callable[..., object]) -> frozenset[type[ApiError]]:
    return frozenset(reach(*functions).refusals)


_ANYWHERE = _some(framing.check) | {Unavailable, InternalError}
_OF_FILES = _some(read_body, Form.decode)
_OF_BODIES = _some(read_body, schemas.decode)


class Headers:
    """The headers of responses that were named so far."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def use(self, headers: Iterable[str]) -> Json:
        """Name headers of a response."""
        headers = list(headers)
        self._used |= set(headers)
        return {name: {"$ref": f"#/components/headers/{name}"} for name in headers}

    def described(self) -> Json:
        """All that were named."""
        return {name: self._header(name) for name in sorted(self._used)}

    @staticmethod
    def _header(name: str) -> Json:
        kind = {"type": "integer", "minimum": 1} if name == "retry-after" else {"type": "string"}
        header: Json = {"description": metadata.RESPONSE_HEADERS[name], "schema": kind}
        return header | ({"required": True} if name in ("x-request-id", "www-authenticate") else {})


class Refusals:
    """The refusals that were described so far, each status with its codes under a name of its own."""

    def __init__(self, headers: Headers) -> None:
        self.described: dict[str, Json] = {}
        self._headers = headers

    def of(self, route: Route, reached: Reached) -> Json:
        """The refusals of a route by status."""
        refusals = reached.refusals | _ANYWHERE
        if not route.page:
            refusals |= {OriginNotAllowed}
        if "{" in route.path:
            refusals |= {NotFound}
        if route.body is not None:
            refusals |= _OF_FILES if route.body in NO_JSON else _OF_BODIES
        by_status: dict[int, dict[str, type[ApiError]]] = {}
        for refusal in refusals:
            # A class of our own inside a refusal (Unavailable's, say) has its code; the one of errors.py describes it.
            known = by_status.setdefault(refusal.status, {})
            if refusal.code not in known or refusal.__module__ == ApiError.__module__:
                known[refusal.code] = refusal
        more = [name for name in _OF_HANDLERS if name.encode() in reached.words]
        ours = route.path.startswith("/api/")
        return {
            str(status): {"$ref": f"#/components/responses/{self._name(status, codes, more, ours=ours)}"}
            for status, codes in sorted(by_status.items())
        }

    def of_paths(self) -> None:
        """Describe what is refused where there is no operation: an unknown method, of a path that there is."""
        self._name(405, {MethodNotAllowed.code: MethodNotAllowed}, [], ours=True)

    def _name(self, status: int, codes: dict[str, type[ApiError]], more: list[str], *, ours: bool) -> str:
        """Describe the refusals of one status, once for all routes that have the same; returns its name."""
        marks = [mark for name in more if (mark := _OF_HANDLERS[name])]
        name = ".".join([str(status), *sorted(codes), *marks, *([] if ours else ["open"])])
        if name in self.described:
            return name
        headers = ["x-request-id"]
        headers += ["cache-control"] if ours else []
        headers += more
        headers += ["allow"] if status == 405 else []
        headers += ["www-authenticate"] if status == 401 else []
        headers += ["retry-after"] if status == 429 or status in _MAY_WAIT else []
        ordered = dict(sorted(codes.items()))
        first = next(iter(ordered.values()))
        example = problem(first(retry_after=30) if status == 429 else first(), _ID)
        self.described[name] = {
            "description": "\n".join(f"- `{code}`: {refusal().detail}" for code, refusal in ordered.items()),
            "headers": self._headers.use(headers),
            "content": {
                _PROBLEM: {
                    "schema": {
                        "allOf": [
                            {"$ref": "#/components/schemas/Problem"},
                            {"properties": {"status": {"const": status}, "code": {"enum": list(ordered)}}},
                        ]
                    },
                    "example": msgspec.to_builtins(example),
                }
            },
        }
        return name

    def with_answer(self, answer: Json, refusal: Json) -> Json:
        """One status that is a refusal or an answer of another form: which, the media type says."""
        refused = self.described[refusal["$ref"].rpartition("/")[2]]
        return {
            "description": f"{answer['description']}\n\n{refused['description']}",
            "headers": answer["headers"] | refused["headers"],
            "content": answer["content"] | refused["content"],
        }
