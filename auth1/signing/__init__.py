"""Keys that sign the OAuth tokens of a tenant.

keys        create, encrypt and describe a key
key_cache   the keys of each tenant, cached in this process
rotation    replace old keys, with an overlap
store       the statements
"""
