"""Messages on their way out.

texts     what a message says, in which language
templates what a tenant may write instead: text with {brand}, {code} and {minutes} in it
segments  what an SMS costs: its alphabet, its length, how it is cut
provider  what a provider is: it takes a message, or fails in one of six ways
mails     an email: what it says (mail_words), and how it is written down
notices   what a person is told of a change to their account
twilio sns smtp console sandbox   the providers; sns_client is what of SNS is loaded late
breaker   leaves a provider alone that keeps failing
twilio_signature         is it Twilio that calls?
send      order of providers, and what becomes of a message
outbox    finishes what a dead process left behind
"""
