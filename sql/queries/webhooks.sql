-- Webhooks of a tenant. See the migration for the order of locks and for `due_at`.

-- name: lock_owner
-- Lock a tenant, to count its webhooks. No row without the tenant.
select id from tenants where id = @tenant_id and deleted_at is null for no key update

-- name: count_webhooks
-- A statement of its own, after the lock: it sees what was committed during the wait.
select count(*) as webhooks from webhooks where tenant_id = @tenant_id and deleted_at is null

-- name: insert_webhook
-- Insert a webhook. It receives events from the transaction of its own event on.
with new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network, data)
  values (@tenant_id, @event_id, 'webhook.created', @actor, @webhook_id, @request_id, @network, jsonb_build_object('events', @events::text[]))
  returning e.tx, event_json(e) as event
), created as (
  insert into webhooks (tenant_id, id, url, events, sandbox, secret, first_tx)
  select @tenant_id, @webhook_id, @url, @events::text[], @sandbox, @secret, tx from new_event
  returning *
)
select id as webhook_id, url, events, sandbox, is_enabled as enabled, disabled_reason, failing_since, previous_secret_until, created_at,
  (select json_agg(event)::text from new_event) as new_events
from created

-- name: list_webhooks
-- List a tenant's webhooks, oldest first.
select id as webhook_id, url, events, sandbox, is_enabled as enabled, disabled_reason, failing_since,
  case when previous_secret_until > now() then previous_secret_until end as previous_secret_until, created_at
from webhooks where tenant_id = @tenant_id and deleted_at is null and id > @after order by id limit @max_rows

-- name: find_webhook
-- A webhook of a tenant, with the time until which its previous secret signs as well.
select id as webhook_id, url, events, sandbox, is_enabled as enabled, disabled_reason, failing_since,
  case when previous_secret_until > now() then previous_secret_until end as previous_secret_until, created_at
from webhooks where tenant_id = @tenant_id and id = @webhook_id and deleted_at is null

-- name: update_webhook
-- Change a webhook; null leaves a field unchanged. Another URL is another endpoint: failures of the old one do not
-- count. Enabled again, or at another URL, it is due at once. Repeating changes nothing, and writes no event.
with locked as (
  select * from webhooks where tenant_id = @tenant_id and id = @webhook_id and deleted_at is null for no key update
), wanted as (
  select l.*, coalesce(@url, l.url) as new_url, coalesce(@events::text[], l.events) as new_events,
    coalesce(@enabled::boolean, l.is_enabled) as enables
  from locked l
), differing as (
  select w.*, w.new_url <> w.url or (w.enables and not w.is_enabled) as begins_again,
    array_remove(array[
      case when w.new_url <> w.url then 'url' end,
      case when w.new_events <> w.events then 'events' end,
      case when w.enables <> w.is_enabled then 'enabled' end], null) as changed
  from wanted w
), updated as (
  update webhooks w
  set url = d.new_url, events = d.new_events, is_enabled = d.enables,
    disabled_reason = case when d.enables then null when d.is_enabled then 'caller' else w.disabled_reason end,
    failures = case when d.begins_again then 0 else w.failures end,
    failing_since = case when d.begins_again then null else w.failing_since end,
    paused_until = case when d.begins_again then '-infinity' else w.paused_until end,
    due_at = case when d.begins_again then now() else w.due_at end
  from differing d
  where w.tenant_id = d.tenant_id and w.id = d.id and d.changed <> '{}'
  returning w.*, d.changed
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network, data)
  select tenant_id, @event_id, 'webhook.updated', @actor, id, @request_id, @network, jsonb_build_object('changed', changed)
  from updated
  returning event_json(e) as event
)
select l.id as webhook_id, coalesce(u.url, l.url) as url, coalesce(u.events, l.events) as events, l.sandbox,
  coalesce(u.is_enabled, l.is_enabled) as enabled,
  case when u.id is null then l.disabled_reason else u.disabled_reason end as disabled_reason,
  case when u.id is null then l.failing_since else u.failing_since end as failing_since,
  case when l.previous_secret_until > now() then l.previous_secret_until end as previous_secret_until, l.created_at,
  (select json_agg(event)::text from new_event) as new_events
from locked l left join updated u on u.id = l.id

-- name: delete_webhook
-- Delete a webhook. Nothing is sent from now on; retention deletes its deliveries, then the row. No row if there is no
-- such webhook.
with deleted as (
  update webhooks
  set deleted_at = now(), is_enabled = false, secret = '', previous_secret = null, previous_secret_until = null, due_at = null
  where tenant_id = @tenant_id and id = @webhook_id and deleted_at is null
  returning tenant_id, id
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network)
  select tenant_id, @event_id, 'webhook.deleted', @actor, id, @request_id, @network from deleted
  returning event_json(e) as event
)
select json_agg(event)::text as events from new_event having count(*) > 0

-- name: rotate_secret
-- Rotate a secret. The old one signs too for a while; an even older one ends. No row if there is no such webhook.
with rotated as (
  update webhooks
  set secret = @secret, previous_secret = case when @grace_in::int > 0 then secret end,
    previous_secret_until = case when @grace_in::int > 0 then now() + @grace_in::int * interval '1 s' end
  where tenant_id = @tenant_id and id = @webhook_id and deleted_at is null
  returning *
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network, data)
  select tenant_id, @event_id, 'webhook.updated', @actor, id, @request_id, @network, '{"changed": ["secret"]}' from rotated
  returning event_json(e) as event
)
select previous_secret_until, (select json_agg(event)::text from new_event) as events from rotated

-- name: fan_out
-- Make deliveries of the next final events, and wake their webhooks. Each event once: the place of the reader moves in the
-- same transaction. Webhooks are locked in the order of the key. No row without events.
with next as materialized (
  select tenant_id, id, type, tx from events
  where tx >= @tx::text::xid8 and (tx, id) > (@tx::text::xid8, @id::text)
    and tx < (select (pg_snapshot_xmin(pg_current_snapshot())::text::bigint + tx_offset)::text::xid8 from event_clock)
  order by events.tx, events.id limit @max_rows
), receivers as materialized (
  select o.tenant_id as event_tenant, r.*
  from (select distinct tenant_id from next order by tenant_id) as o
  cross join lateral (
    select w.tenant_id, w.id, w.events, w.first_tx, w.sandbox from webhooks w
    where w.tenant_id = split_part(o.tenant_id, ':', 1) and w.sandbox = (o.tenant_id like '%:test')
      and w.is_enabled and w.deleted_at is null
    order by w.id for no key update of w
  ) as r
), made as (
  insert into deliveries (tenant_id, webhook_id, event_id, type, is_sandbox, tx)
  select r.tenant_id, r.id, n.id, n.type, r.sandbox, n.tx
  from next n join receivers r on r.event_tenant = n.tenant_id
  where n.tx >= r.first_tx and (n.type = any(r.events) or '*' = any(r.events))
  on conflict do nothing
  returning tenant_id, webhook_id
), woken as (
  update webhooks w set due_at = now()
  from (select distinct tenant_id, webhook_id from made) as m
  where w.tenant_id = m.tenant_id and w.id = m.webhook_id
)
select last.tx::text as tx, last.id, (select count(*) from next) as events, (select count(*) from made) as deliveries
from (select tx, id from next order by next.tx desc, next.id desc limit 1) as last
