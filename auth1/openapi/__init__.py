"""The OpenAPI document, and the reference page made from it.

document   builds the document from routes and schemas (`just openapi`)
errors     error responses of each route
reach      errors, headers and queries that a handler reaches
schemas    Structs as JSON Schema
examples   an example of any schema
metadata   texts that cannot be derived: credentials, parameters, headers, tags
handlers   GET /openapi.json and /docs
page       the reference page: HTML, style, script, and its Content-Security-Policy
operation  one operation on the page
pieces     parts of the page
"""
