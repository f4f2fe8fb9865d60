"""Registered OAuth clients of a tenant, managed by the tenant and the operator.

handlers       of the API
service        the same for API and command line
routes         their routes
kinds          the kinds of applications
redirect_uris  which redirect URIs may be registered, and whether a request's URI is
"""
