"""Exchange grants for tokens, introspect and revoke tokens, publish keys and discovery documents.

handlers       of session tokens: /api/auth/token, introspect, keys
endpoints      of OAuth clients, below the issuer of each tenant
routes         of these endpoints
requests       the parameters of an authorization request, as stored
issuers        the issuer of a request
clients        client authentication
access_tokens  sign, check and revoke the tokens of clients
"""
