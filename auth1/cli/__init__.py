"""Commands of `auth1`; the parser of their arguments is `auth1/__main__.py`, with `arguments`.

arguments        the arguments of tenants, keys, apps and hosts
commands         migrate, tenants and keys
tenants          change the name, the settings and the logo of a tenant
move             move a tenant to a database of its own
audit            verify the audit log
apps             register and manage OAuth clients
hosts            own hosts of tenants
users            import and export users
fraud            load prefixes and networks
serve            migrate, check, then serve
dev              all of Auth1 on one machine, PostgreSQL and Redis included
doctor           the production checklist
service_checks   of the checklist: PostgreSQL, Redis and backups
provider_checks  of the checklist: providers and the public URL
fraud_checks     of the checklist: Twilio Lookup and the country database
webhook_checks   of the checklist: the secrets of webhooks and hooks
openapi          print the OpenAPI document
"""
