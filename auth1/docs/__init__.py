"""The description of the API as it is served: openapi.json, and a page made of it.

handlers   GET /openapi.json and /docs
page       the page: HTML, its style and script, and the policy that lets through nothing else
operation  one operation on the page
pieces     what the page is put together from
"""
