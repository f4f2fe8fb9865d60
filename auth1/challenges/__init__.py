"""The main job: an open question to a phone or an email, and its answer.

identifiers  what a person claims, parsed and normalised
codes        the digits: made, sealed, authenticated
handlers     /api/auth/request and /api/auth/verify
"""
