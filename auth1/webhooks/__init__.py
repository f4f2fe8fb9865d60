"""Webhooks (https://www.standardwebhooks.com): endpoints of tenants, and the events on their way to them.

handlers           manage webhooks and their secrets
delivery_handlers  list, replay, cancel and test deliveries
delivery_store     reads and changes them
delivery_ids       the id of a delivery
routes             the table of their routes

delivery/  from an event to the calls of an endpoint
"""
