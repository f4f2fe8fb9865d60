"""Outgoing messages: rendering, dispatch, delivery.

texts     SMS texts; templates are a tenant's own, with {brand}, {code} and {minutes}
locales   language of a message
segments  alphabet, length and segments of an SMS
mails     an email, rendered; mail_texts picks its words, mail_words are ours, colors are the button's
notices   texts about a change to an account
dispatcher        order of providers, and the outcome of a message
delivery_reports  provider reports that arrive later
statistics        lists and sums of messages
handlers          messages and statistics of a tenant
providers         Twilio, SNS, SMTP, console, sandbox (package)
"""
