"""Idempotency-Key: a request that costs money or creates an object runs once.

header          reads the header
run_idempotent  claims a key, runs a handler, stores and replays its response
"""
