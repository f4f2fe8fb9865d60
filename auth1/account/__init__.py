"""A user's own account, by session token.

handlers     who one is, and the metadata that one may write oneself
identifiers  phone and email: added, changed, removed; each proven by a challenge, after a recent login
metadata     what metadata may be
guards       a login that is recent enough
"""
