"""Tenants and their keys: what the operator manages.

handlers   tenants for the operator; settings and keys for whoever manages a tenant
manage     the same acts for the routes and the command line
previews   a text as a person would get it
"""
