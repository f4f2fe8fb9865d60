"""Allow and block lists.

entries   the entry that decides about a request
cache     the lists of a tenant, kept in the process
store     entries in PostgreSQL, within their caps
values    checks of the values of entries
schemas   request and response bodies
handlers  the handlers that manage entries
"""
