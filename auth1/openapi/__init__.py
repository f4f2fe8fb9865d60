"""The OpenAPI document and the reference pages.

document   the document, from routes and schemas (`just openapi`)
errors     error responses by status, and the errors of each route
schemas    Structs as JSON Schema
examples   an example of any schema
metadata   texts and examples that no source has
handlers   GET /, /docs, its sections, and /openapi.json
page       the pages of the reference: HTML, style, script, and its Content-Security-Policy
contents   the contents on each page
operation  one operation on the page
pieces     parts of the page
"""
