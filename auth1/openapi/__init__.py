"""The OpenAPI document and the reference page.

document   the document, from routes and schemas (`just openapi`)
errors     error responses by status, and the errors of each route
schemas    Structs as JSON Schema
examples   an example of any schema
metadata   texts and examples that no source has
handlers   GET /, /docs and /openapi.json
page       the reference page: HTML, style, script, and its Content-Security-Policy
operation  one operation on the page
pieces     parts of the page
"""
