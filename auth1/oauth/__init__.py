"""Exchange grants for tokens, introspect and revoke tokens, publish keys and discovery documents.

handlers        of session tokens: /api/auth/token, introspect, keys
endpoints       of OAuth clients, below the issuer of each tenant
routes          of these endpoints
browser_routes  of the endpoints that browsers visit
issuers         the issuer of a request
clients         client authentication
metadata        the endpoints and capabilities of an issuer
userinfo        the claims of a user
logout          end the session of a browser
backchannel     tell applications that a session ended

authorization/  authorization requests of applications
tokens/         tokens of clients
"""
