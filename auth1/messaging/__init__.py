"""Outgoing messages: dispatch and delivery.

dispatcher        order of providers, and the outcome of a message
delivery_reports  provider reports that arrive later
statistics        lists and sums of messages
handlers          messages and statistics of a tenant
mime              an email as it is sent
providers         Twilio, SNS, SMTP, console, sandbox (package)
"""
