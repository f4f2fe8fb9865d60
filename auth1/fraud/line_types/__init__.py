"""Line types of phone numbers: mobile, landline, VoIP and others.

types     line types, and what a policy does with one
finder    a prefix, Twilio Lookup or phonenumbers, with the results that were bought
lookup    line types and signals from Twilio Lookup
prefixes  line types by prefix, from a file
"""
