"""The revocable row, and the tokens that name it.

tokens   the signed session token (JWT) and the refresh token
"""
