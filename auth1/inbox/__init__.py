"""The inbox of `auth1 dev`: SMS and emails as their recipients see them. `auth1 serve` never loads it.

app    the ASGI application of `auth1 dev`: the inbox, and everything else
page   the page and its Content-Security-Policy
store  the newest messages, in Redis, so that all workers share them
"""
