"""Tenants and their keys: what the operator manages.

handlers   /api/admin/tenants and its keys
manage     the same acts for the routes and the command line
"""
