"""The routes of events: of a tenant, and of the operator over all tenants."""

from typing import Any

from auth1.audit import handlers
from auth1.audit.schemas import EventExportQuery, EventFilters, EventQuery
from auth1.audit.sealing import heads
from auth1.audit.stream import HEADER
from auth1.authn.guards import operator
from auth1.authn.management import managed
from auth1.core.http.request import CSV, EVENT_STREAM, NDJSON
from auth1.core.http.router import Route
from auth1.core.postgres import REPORT_S

ALL_EVENTS_PATH = "/api/admin/events"
LIST_DEADLINE_S = REPORT_S + 2.0
EXPORT: dict[str, Any] = {
    "query": EventExportQuery,
    "deadline_s": 3600.0,  # the time a client may take to read all events
    "max_concurrent": 2,
    "responses": ((200, NDJSON), (200, CSV)),
    "response_headers": ("content-disposition",),
}
STREAM: dict[str, Any] = {
    "query": EventFilters,
    "responses": ((200, EVENT_STREAM),),
    "request_headers": (HEADER,),
    "response_headers": ("x-accel-buffering",),
}

EVENT_ROUTES = (
    *managed("GET", "/events", handlers.list_events, query=EventQuery, deadline_s=LIST_DEADLINE_S),
    *managed("GET", "/events/export", handlers.export_events, **EXPORT),
    *managed("GET", "/events/stream", handlers.stream_events, **STREAM),
    *managed("GET", "/events/head", heads.get_head),
    Route("GET", ALL_EVENTS_PATH, handlers.list_all_events, operator, query=EventQuery, deadline_s=LIST_DEADLINE_S),
    Route("GET", ALL_EVENTS_PATH + "/export", handlers.export_all_events, operator, **EXPORT),
    Route("GET", ALL_EVENTS_PATH + "/stream", handlers.stream_all_events, operator, **STREAM),
)
