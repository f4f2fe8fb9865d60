"""The steps of a hosted login, from the first page to the way back to the application.

handlers    show the page of a login, process its forms
steps       send and verify a code, continue with a session
links       log in by a magic link
profile     add a phone or email that is required, or that the account pages want
completion  consent, and the way back
endings     the last pages
problems    error texts for forms
"""
