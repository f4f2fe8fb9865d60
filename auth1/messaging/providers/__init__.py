"""Providers: they accept a message, or fail in one of six ways.

protocol          Provider, OutgoingMessage and failures
twilio            SMS by Twilio; twilio_signature checks its callbacks
sns               SMS by AWS SNS; sns_client is imported late
smtp              email
console           prints messages, for development
sandbox           outcomes of test keys
"""
