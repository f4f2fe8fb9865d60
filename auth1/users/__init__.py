"""A tenant's users: found, created, changed, banned, erased.

handlers  routes of users
service   operations on one user, with events and sessions
search    find users
metadata  merging of metadata
export    everything stored about a user
erase     erase a user with all data
"""
