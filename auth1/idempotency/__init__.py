"""Idempotency-Key: a request that would cost money or create twice runs once.

run_idempotent  reads the header, runs a handler once, replays its response
"""
