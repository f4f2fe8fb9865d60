"""Exchange grants for tokens, introspect and revoke tokens, publish keys and discovery documents.

handlers       of session tokens: /api/auth/token, introspect, keys
endpoints      of OAuth clients, below the issuer of each tenant
routes         of these endpoints
browser_routes the endpoints that browsers visit
metadata       the endpoints and abilities of an issuer
issuers        the issuer of a request
clients        client authentication
access_tokens  sign, check and revoke the tokens of clients
token_exchange  tokens for an authorization code or a refresh token
grants         their statements
derived_tokens  the texts of codes and refresh tokens
id_tokens      sign ID tokens and logout tokens, read hints
user_claims    the claims of a user by scope
userinfo       returns them
backchannel    tell applications that a session ended
logout         end the session of a browser

authorization/  authorization requests of applications
"""
