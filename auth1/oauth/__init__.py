"""Exchange grants for tokens, introspect and revoke tokens, publish keys and discovery documents.

handlers       of session tokens: /api/auth/token, introspect, keys
endpoints      of OAuth clients, below the issuer of each tenant
routes         of these endpoints
metadata       the endpoints and abilities of an issuer
requests       the parameters of an authorization request, as stored
issuers        the issuer of a request
clients        client authentication
access_tokens  sign, check and revoke the tokens of clients
token_exchange  tokens for an authorization code or a refresh token
grants         their statements
derived_tokens  the texts of codes and refresh tokens
id_tokens      sign ID tokens and logout tokens, read hints
user_claims    the claims of a user by scope
userinfo       returns them
request_parameters  read the parameters of an authorization request
authorize      begin a login for an application; authorize_routes
logins         its statement
backchannel    tell applications that a session ended
logout         end the session of a browser
responses      send a browser on, or to the application
codes          the response to an authorization request
consents       whether a user must allow an application to use scopes
"""
