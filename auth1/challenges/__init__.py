"""One-time codes and links: open a challenge, send it, verify it. The main job.

handlers    POST /api/auth/request and /api/auth/verify
send_code   the step that sends a code
codes       digits: made, sealed, authenticated
magic_link  links in emails: created with the challenge
sandbox     magic numbers of test keys
messages    a message, rendered for its channel
outbox      sends accepted messages that are not sent yet
logins      the response at the end of every login
receipts    Twilio's delivery reports, and the status of a challenge
"""
