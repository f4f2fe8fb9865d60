"""Authorization requests: from the parameters that a browser brings to the response to the application.

authorize           begin a login for an application
request_parameters  read the parameters of a request
requests            the parameters, as stored
logins              the statement that begins a login
consents            whether a user must allow an application to use scopes
codes               the response to a request
responses           send a browser on, or to the application
"""
