"""Tokens of OAuth clients: issued for codes and refresh tokens, checked and revoked.

token_exchange  tokens for an authorization code or a refresh token
grants          their statements
derived_tokens  the texts of codes and refresh tokens
access_tokens   sign, check and revoke access tokens
id_tokens       sign ID tokens and logout tokens, read hints
user_claims     the claims of a user by scope
"""
