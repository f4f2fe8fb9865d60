"""Tenants, their settings and their API keys.

settings   Tenant and TenantSettings, as a request sees them
handlers   tenants for the operator; settings and keys for a tenant's admin
service    the same operations for routes and the command line
previews   a text as a recipient would get it
"""
