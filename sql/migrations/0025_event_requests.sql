-- Which request caused an event, from which network, and in which transaction: readers follow the table by `tx`, which tells
-- them what is committed. Events of earlier versions have transaction 0.
alter table events add column if not exists request_id text;
alter table events add column if not exists network text;       -- the /24 (IPv6: /48) of the caller
alter table events add column if not exists tx xid8 not null default '0';
alter table events alter column tx set default pg_current_xact_id();
create index if not exists events_tx on events (tx);

-- Return an event as every statement returns the events that it inserted.
create or replace function event_json(e events) returns json
language sql stable
as $$
  select json_build_object('tenant_id', e.tenant_id, 'id', e.id, 'type', e.type, 'actor', e.actor, 'subject', e.subject,
    'request_id', e.request_id, 'network', e.network, 'data', e.data)
$$;
