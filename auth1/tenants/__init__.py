"""Tenants, their settings and their API keys.

settings       Tenant and TenantSettings, as a request sees them
setting_rules  the meaning of names, settings and origins
languages      language tags
handlers       tenants for the operator; settings and keys for a tenant's admin
logo           upload, delete and serve a tenant's logo
png            the check of an uploaded image
service        the same operations for routes and the command line
previews       a message as its recipient would see it
"""
