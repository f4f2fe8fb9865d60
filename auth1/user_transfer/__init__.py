"""Import and export of users in bulk.

handlers   routes
importer   rows to users, in batches
exporter   users to rows, in pages
parsers    NDJSON, CSV and JSON as numbered rows
field_map  field names of Auth0, Cognito, Firebase and Supabase
validate   checks of one row
"""
