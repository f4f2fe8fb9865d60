"""Exposures: what was sent and not verified, by scope. Acquired in Redis, settled in the background.

messages    a message that a request would send: its scopes and keys
acquire     acquire rate limits and scopes in one call
call        the parameters of that call, and its outcome
settlements right codes, messages not sent, wrong codes: settled in the background
saved       the exposures that PostgreSQL keeps
local_copy  the exposures of one worker while Redis is unavailable
"""
