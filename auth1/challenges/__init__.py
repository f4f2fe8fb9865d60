"""One-time codes and links: open a challenge, send a code, verify it.

handlers    POST /api/auth/request and /api/auth/verify, GET /api/auth/challenges/{id}
send_code   the step that sends a code
verify_code the step that verifies a code and opens a session
codes       digits: made, sealed, authenticated
magic_link  links in emails: created with the challenge
recipients  the phone or email of a submitted code
rejections  the errors of requests that PostgreSQL rejects
sandbox     magic numbers of test keys
messages    a message, rendered for its channel
"""
