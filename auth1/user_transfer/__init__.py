"""Import and export of users in bulk.

handlers   routes
importer   rows to users, in batches
exporter   users to rows, in pages
parsers    NDJSON, CSV and JSON as numbered lines
csv_rows   rows of CSV, and stray quotes
json_rows  objects of a JSON document, as a stream
lines      one line of a file
field_map  field names of Auth0, Cognito, Firebase and Supabase
validate   checks of one row
dates      timestamps without a second meaning
"""
