"""Text of SMS, emails, notices and pages, without I/O.

schemas       a tenant's branding and its own texts
locales       language tags, and the fallback from one to the next
strings       built-in texts: one TOML file per language
placeholders  the grammar of a text with {brand}, {code} and {minutes}
sms           the text of a code by SMS
email         the plain text and HTML of an email; email_words selects its words
notices       messages about a change to an account
pages         the HTML of the pages behind a link
login_pages   the HTML of the hosted login
html          the Jinja templates of emails and pages
segments      alphabet, length and segments of an SMS
colors        button colours with readable text
validation    checks of a tenant's own texts
"""
