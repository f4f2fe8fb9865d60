"""Hosted login: the pages between an authorization request and the code for the application.

routes         of these pages
records        logins as the store reads and writes them
account        the user's own account
account_views  its pages
visits         a request to a page: the login, its language, its cookie
typed          read the fields of forms
preview        a page with settings that are not stored
views          the pages as responses

login/  the steps of a login
"""
