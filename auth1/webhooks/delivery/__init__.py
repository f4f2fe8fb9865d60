"""From an event to the calls of an endpoint: deliveries, their queue in PostgreSQL, and the workers that send them.

fan_out         deliveries from events: a reader of the table of events
body            the body of a delivery
leases          the queue in PostgreSQL
worker          leases endpoints with something due
endpoint_queue  the deliveries of one leased endpoint
call_slots      limit the calls that a worker makes at once
turns           send concurrent calls in order
attempts        one call, and what its result means
schedule        when to try again, and how long to pause
traces          traces of requests for the deliveries of their events
"""
