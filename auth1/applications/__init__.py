"""Registered OAuth clients of a tenant, managed by the tenant and the operator.

handlers       of the API
service        the same for API and command line
routes         their routes
kinds          the kinds of applications
records        applications as they are stored
rules          what an application of each kind may have
consents       the access of applications to a user's account
consent_handlers  list and end it
redirect_uris  which redirect URIs may be registered, and whether a request's URI is
"""
