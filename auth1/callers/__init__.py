"""Who is calling: a tenant by API key, the operator by admin token. (A user by session token: sessions/guards.)

keys         the form of an API key: kind, slug, random part, checksum
tenant       Tenant and its settings, as a request sees them
cache        tenants by key, kept in the process and dropped when they change
guards       what a route requires of its caller; the door's limit per client address
idempotency  what is done once, however often it is asked for
"""
