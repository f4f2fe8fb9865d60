"""The description of the API in OpenAPI 3.1, made from the routes, their schemas and the sources of their handlers.

document   puts it together
refusals   what a route refuses with, by status
reach      which refusals, headers and queries a handler comes to
schemas    Structs as JSON Schema
samples    an example of any schema
command    `auth1 openapi`
words      what cannot be derived: credentials, parameters, headers, names of sections

Nothing here runs in a server: it serves the file that this made (`just openapi`), which a test holds against the code.
"""
