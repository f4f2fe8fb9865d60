"""Webhooks (https://www.standardwebhooks.com): endpoints of tenants, and the events on their way to them.

body               the body of a delivery
handlers           manage webhooks and their secrets
delivery_handlers  list, replay, cancel and test deliveries
delivery_store     reads and changes them
delivery_ids       the id of a delivery
routes             the table of their routes
fan_out            deliveries from events: a reader of the table of events
delivery_worker    leases endpoints with something due
endpoint_queue     the deliveries of one leased endpoint
call_slots         how many calls a worker makes at once
attempts           one call, and what its result means
turns              the order in which calls leave
schedule           when to try again, and how long to pause
traces             traces of requests for the deliveries of their events
leases             the queue in PostgreSQL
"""
