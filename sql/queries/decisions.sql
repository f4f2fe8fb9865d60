-- Decisions of the fraud rules.

-- name: record_event
-- Record an event of which nothing else is stored.
insert into events as e (tenant_id, id, type, actor, subject, request_id, network, data)
values (@tenant_id, @event_id, @type, @actor, @subject, @request_id, @network, @data)
returning json_build_array(event_json(e))::text as events
