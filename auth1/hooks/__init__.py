"""Blocking hooks: URLs of tenants that Auth1 calls before an action, and that can deny it.

config   the hooks of a tenant, cached with the tenant
schemas  bodies of the routes, and the answer of a hook
store    what PostgreSQL keeps
handlers manage hooks
routes   their routes
caller   call a hook within bounds
answers  read the answer of a hook
actions  the three hooks: what each sends, and what follows from its answer
"""
