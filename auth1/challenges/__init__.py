"""The main job: an open question to a phone or an email, and its answer.

identifiers  what a person claims, parsed and normalised
codes        the digits: made, sealed, authenticated
links        links in emails: what they are made of; link_pages, link_handlers, link_store serve them
wording      a message, worded for its channel
logins       the answer at the end of every login
handlers     /api/auth/request and /api/auth/verify
message_handlers  what a tenant reads of its messages
receipts     what providers report of their messages, and what became of a challenge
"""
