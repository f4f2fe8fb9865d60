"""Outgoing messages: dispatch, delivery, retries and statistics.

dispatcher        providers in order, failover, and the outcome of a message
outbox            sends queued messages, retries, and settles unknown ones
uncertain         returns messages to the outbox whose request lost the database
delivery_reports  provider reports that arrive later
statistics        lists and sums of messages
handlers          messages and statistics of a tenant
mime              an email as bytes
providers         Twilio, SNS, SMTP, console, sandbox (package)
"""
