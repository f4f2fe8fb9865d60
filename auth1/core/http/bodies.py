"""How the body of a route is decoded, by media type."""

from functools import partial

import msgspec

from auth1.core import schemas
from auth1.core.http.request import CSV, FORM, JSON, NDJSON, PNG, Decode, Form, Image, Upload, decode_json
from auth1.core.http.router import Route


def empty_body(route: Route) -> object:
    """Return what a request without a body counts as: an empty object, or an empty form."""
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
