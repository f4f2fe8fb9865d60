"""Messages on their way out.

texts     what a message says
provider  what a provider is: it takes a message, or fails in one of six ways
twilio console sandbox   the providers
send      order of providers, and what becomes of a message
outbox    finishes what a dead process left behind
"""
