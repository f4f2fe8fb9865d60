-- Allow and block lists. The caller of each change holds the locks of the operator's and the owner's fraud_settings.

-- name: count_all_entries
-- Count the entries of all tenants and of the operator.
select coalesce(sum(list_entries), 0)::bigint as entries from fraud_settings

-- name: delete_expired_entries
-- Delete expired entries of one owner: those of one value, or all where the value is null.
with deleted as (
  delete from fraud_lists
  where tenant_id = @tenant_id and expires_at <= now()
    and (@value::text is null or list = @list and kind = @kind and value = @value)
  returning 1
)
select count(*) as purged from deleted

-- name: insert_entry
-- Insert an entry. No row if the list has the value already.
with inserted as (
  insert into fraud_lists (tenant_id, id, list, kind, value, reason, expires_at, author)
  values (@tenant_id, @entry_id, @list, @kind, @value, @reason, @expires_at, @actor)
  on conflict (tenant_id, kind, value, list) do nothing
  returning *
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network, data)
  select tenant_id, @event_id, 'fraud.list_entry_added', @actor, id, @request_id, @network,
    jsonb_build_object('list', list, 'kind', kind)
  from inserted
  returning event_json(e) as event
)
select id as entry_id, list, kind, value, reason, expires_at, author, created_at,
  (select json_agg(event)::text from new_event) as events
from inserted

-- name: delete_entry
-- Delete an entry. No row if there is no such entry.
with deleted as (
  delete from fraud_lists where tenant_id = @tenant_id and id = @entry_id returning *
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network, data)
  select tenant_id, @event_id, 'fraud.list_entry_removed', @actor, id, @request_id, @network,
    jsonb_build_object('list', list, 'kind', kind)
  from deleted
  returning event_json(e) as event
)
select json_agg(event)::text as events from new_event having count(*) > 0

-- name: count_change
-- A statement of its own, after the change that it counts. Workers load the lists again because of the version.
update fraud_settings s set list_version = list_version + 1, list_entries = (
  select count(*) from fraud_lists l where l.tenant_id = s.tenant_id)
where tenant_id = @tenant_id returning list_version

-- name: list_entries
-- List the entries of an owner, newest first, without expired ones.
select id as entry_id, list, kind, value, reason, expires_at, author, created_at
from fraud_lists
where tenant_id = @tenant_id and id < @before and (expires_at is null or expires_at > now())
  and (@list::text is null or list = @list) and (@kind::text is null or kind = @kind)
order by id desc limit @max_rows

-- name: load_entries
-- A page of all entries of an owner, with the version of the lists. Expired entries are rows without a value, so that
-- the page is full.
select l.id as entry_id, l.list, l.kind, case when l.expires_at <= now() then null else l.value end as value,
  extract(epoch from l.expires_at)::float8 as expires_at, s.list_version
from fraud_settings s
left join lateral (
  select * from fraud_lists where tenant_id = s.tenant_id and id > @after order by id limit @max_rows
) as l on true
where s.tenant_id = @tenant_id
