"""The revocable row, and the tokens that name it.

tokens          the signed session token (JWT): signed and checked
refresh_tokens  derived and never kept
opening         what a login writes down, and the tokens that the person gets
refreshing      a refresh token for a new pair
cache           live sessions in Redis: one question per check
guards          who has logged in
handlers        looked into, listed, ended
"""
