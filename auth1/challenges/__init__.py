"""The main job: an open question to a phone or an email, and its answer.

identifiers  what a person claims, parsed and normalised
codes        the digits: made, sealed, authenticated
handlers     /api/auth/request and /api/auth/verify; asking is what the first is made of
sandbox      the magic numbers of test keys
wording      a message, worded for its channel
outbox       sends what was accepted and is not on its way yet
links        links in emails: what they are made of; link_handlers, link_pages (page_words), link_store serve them
grants       what may be changed for tokens
logins       the answer at the end of every login
receipts     what providers report of their messages, and what became of a challenge
message_handlers  what a tenant reads of its messages (message_schemas, message_store)
"""
