"""Decode the body of a request by its media type, and encode the result of a handler."""

import re
from functools import partial
from typing import Any

import msgspec

from auth1.core import schemas
from auth1.core.http.request import CSV, FORM, JSON, NDJSON, PNG, Decode, Form, Image, Response, Stream, Upload
from auth1.core.http.router import Route
from auth1.errors import BadJson, ValidationFailed

Answer = tuple[int, bytes, bytes | Stream]  # status, content type, body

MAX_NESTING = 64  # of JSON
LINE_FEED = b"\n"
_MALFORMED = re.compile(r"JSON is malformed: ([a-zA-Z',:{}\[\] -]+) \(byte ([0-9]+)\)")  # msgspec's text
# One that has no end lasts to the end of the body: otherwise each quote in it would be the start of another search.
_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_BRACKETS = re.compile(rb"[\[\]{}]")


def empty_body(route: Route) -> object:
    """Return the body of a request without one: an empty object, or an empty form."""
    return route.decoders[JSON](b"{}") if JSON in route.decoders else route.decoders[FORM](b"")


def decoders(route: Route) -> dict[str, Decode]:
    """Return the decoder of each media type that a route accepts."""
    if route.body is None:
        return {}
    if route.body is Form:
        return {FORM: Form.decode}
    if route.body is Upload:
        return {media_type: partial(Upload, media_type) for media_type in (NDJSON, CSV)}
    if route.body is Image:
        return {PNG: Image}
    by_type: dict[str, Decode] = {JSON: partial(decode_json, msgspec.json.Decoder(route.body))}
    if route.form:
        by_type[FORM] = lambda raw: schemas.convert(dict(Form.decode(raw).pairs), route.body)
    return by_type


def decode_json(decoder: msgspec.json.Decoder[Any], raw: bytes) -> Any:
    """Decode a body of JSON. Raises BadJson or ValidationFailed."""
    if _is_nested_deeper(raw, MAX_NESTING):
        raise BadJson(f"The body is nested more than {MAX_NESTING} levels deep.")
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise ValidationFailed(errors=[schemas.field_error(error, decoder.type)]) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadJson(_json_problem(raw, str(error))) from None


def _json_problem(raw: bytes, problem: str) -> str | None:
    """Return a message with the place where a body stops being JSON, without its content; None: the default message."""
    if not raw.strip():
        return "The body is empty: send a JSON object."
    found = _MALFORMED.fullmatch(problem)
    if found is None:
        return None
    reason, place = found.groups()
    return f"The body is not valid JSON: {reason}, in line {raw.count(LINE_FEED, 0, int(place)) + 1} (byte {place})."


def _is_nested_deeper(raw: bytes, levels: int) -> bool:
    """Return whether JSON is nested deeper than some levels, where a recursive reader could fail."""
    if raw.count(b"[") + raw.count(b"{") <= levels:
        return False
    depth = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub(b"", raw)):
        depth += 1 if bracket in b"[{" else -1
        if depth > levels:
            return True
    return False


def encode_result(route: Route, result: object) -> Answer:
    """Return the response to what a handler returned."""
    if result is None:
        return 204, b"", b""
    if isinstance(result, Stream):
        return route.status, result.content_type, result
    if isinstance(result, Response):
        body = result.body if isinstance(result.body, bytes) else schemas.encode(result.body)
        return result.status, result.content_type, body
    return route.status, b"application/json", schemas.encode(result)
