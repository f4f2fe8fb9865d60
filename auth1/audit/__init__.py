"""The audit log: seals, their verification, retention and reading of events.

canonical  the digest of an event
seals      one seal per tenant and round; the chain
heads      the head of each chain on stdout, and for a tenant
lists      pages of events
export     all events as NDJSON or CSV
stream     events as they happen, as server-sent events
handlers   reading over HTTP
routes     the table of their routes
purge      retention: marks, then deletion
verify     events against seals, chains and MACs
compare    the events of one seal, and the kinds of findings
pages      seals and events as streams
heads_log  seals against the heads of a log
"""
