"""The tenant's users: found, made, changed, banned, shown to themselves, erased; imported and exported in bulk.

handlers     what the routes do; manage what one user can be subjected to, with its events and its sessions
metadata     what a tenant or a user writes of a user: its bounds, and how it is merged
searching    which users are meant
erasing      a user goes with all that was asked of it
mapping      other names for our fields: the presets for Auth0, Cognito, Firebase and Supabase
reading      NDJSON, CSV and JSON as numbered rows; rows: what a row says, checked
importing    rows to users, a batch at a time; exporting users to rows, a page at a time
"""
