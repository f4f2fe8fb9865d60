"""The signed-in user's own account.

handlers     profile and user metadata
identifiers  phone and email: added, changed, removed; each proven by a challenge, after a recent login
"""
