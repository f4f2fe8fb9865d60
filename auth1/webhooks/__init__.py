"""Webhooks (https://www.standardwebhooks.com): endpoints of tenants, and the events on their way to them.

delivery_ids  the id of a delivery
"""
