"""Messages on their way out.

texts     what an SMS says; templates are what a tenant may write instead, with {brand}, {code} and {minutes} in it
locales   in which language
segments  what an SMS costs: its alphabet, its length, how it is cut
mails     an email, written down; mail_texts says whose words it has, mail_words are ours, colors those of its button
notices   what a person is told of a change to their account
provider  what a provider is: it takes a message, or fails in one of six ways
twilio sns smtp console sandbox   the providers; sns_client is what of SNS is loaded late
breaker   leaves a provider alone that keeps failing
send      order of providers, and what becomes of a message
receipts  what a provider reports of it later; twilio_signature: is it Twilio that calls?
"""
