"""Authentication of callers: tenants by API key, the operator by admin token.

guards        checks of a route's caller, and the rate limit per client address
tenants       the tenant of an API key, cached in this process
guesses       look-ups by names that callers can guess
own_hosts     hosts of tenants, by the Host header
limits        rate limits per client address
management    pairs of routes that manage a tenant
"""
