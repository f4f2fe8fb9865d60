"""Tests of line types: prefixes, Twilio Lookup, phonenumbers."""
