"""Authentication of callers: tenants by API key, the operator by admin token.

guards        checks of a route's caller, and the rate limit per client address
tenant_cache  tenants by API key, cached in this process
"""
