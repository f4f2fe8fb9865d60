"""The signed-in user's own account.

handlers     profile and user metadata
identifiers  phone and email in the API
linking      add, change and remove them: each proven by a challenge, after a recent login
required     the identifiers that a tenant requires
"""
