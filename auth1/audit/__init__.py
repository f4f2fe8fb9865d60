"""The audit log: reading of events, retention, and seals.

lists     pages of events
export    all events as NDJSON or CSV
stream    events as they happen, as server-sent events
handlers  reading over HTTP
routes    the table of their routes
purge     retention: marks, then deletion

sealing/  seals of events, and their verification
"""
