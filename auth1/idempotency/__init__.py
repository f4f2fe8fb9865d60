"""Idempotency-Key: a request that costs money or creates an object runs once.

header          the header, and the use of a key that it stands for
run_idempotent  claims a key, runs a handler, stores and replays its response
"""
