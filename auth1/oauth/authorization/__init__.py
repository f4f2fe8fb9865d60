"""Authorization requests: from the parameters of a browser to the response to the application.

authorize           begin a login for an application
request_parameters  read the parameters of a request
pushed_requests     store a request before the user comes
requests            the parameters, as stored
logins              the statement that begins a login
consents            find and store the consents of users to applications
codes               the response to a request
responses           redirect a browser to a page, or to the application
"""
