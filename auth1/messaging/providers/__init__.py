"""Providers: each accepts a message, or says why not.

protocol          Provider, OutgoingMessage and failures
configured        the providers that the settings name
twilio            SMS by Twilio; twilio_webhook receives its delivery reports, twilio_signature checks them
sns               SMS by AWS SNS; sns_client is imported on first use
smtp              email
console           prints messages, for development
sandbox           outcomes of test keys
"""
