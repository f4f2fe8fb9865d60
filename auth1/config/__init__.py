"""Settings of the operator, read once from the environment.

settings      Settings, and how each is read and checked
environ       the environment: required values, secrets in files, numbers, lists
smtp          SMTP_URL
signing_keys  JWT_PRIVATE_KEY
sms_rates     prices per SMS by country; sms_rates.csv holds the built-in estimates
"""
