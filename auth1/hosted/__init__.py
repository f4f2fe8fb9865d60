"""Hosted login: the pages between an authorization request and the code for the application.

handlers  show a page, act on its forms
routes    of these pages
records   logins as the store reads and writes them
account   the user's own account; account_views: its pages
visits    a request to a page: the login, its language, its cookie
steps     send and verify a code, continue with a session
links     log in by a magic link
profile   add a phone or email that is required, or that the account pages want
completion  consent, and the way back
typed     read what a person types
problems  errors in words for people
preview   a page with settings that are not stored
views     the pages as responses; endings: the last ones
"""
