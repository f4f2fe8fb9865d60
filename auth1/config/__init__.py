"""Settings of the operator, read once from the environment.

settings      Settings, and how each is read and checked
environ       the environment: required values, secrets in files, numbers, lists
urls          URLs and origins: what each may contain
redis_url     REDIS_URL: one server, Sentinel or Redis Cluster
providers     Twilio, SNS, SMTP and their order
checklist     findings about settings that work and are unsafe in production
countries     country codes
smtp          SMTP_URL
signing_keys  JWT_PRIVATE_KEY
tracing       the variables of OpenTelemetry that turn tracing on
sms_rates     prices per SMS by country; sms_rates.csv contains the built-in estimates
"""
