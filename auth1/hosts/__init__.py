"""Hosts of tenants: added, verified by DNS, made canonical, removed. Requests find them in `authn/own_hosts.py`.

routes    that manage them
handlers  of these routes
service   the operations, for the API and the command line
names     which names a host may have, and its TXT record
"""
