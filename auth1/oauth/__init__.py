"""OAuth endpoints.

handlers  token, introspection, public keys and discovery document
"""
