-- Back-channel logouts on their way to applications.

-- name: claim_logouts
-- Lease what is due, within the limits of each application and tenant, and of all tenants in turn.
-- Without tenant, application or address there is nothing to deliver. The applications with messages are found one by one in
-- the index, so a long queue of one does not delay the others.
with recursive receivers as (
  (select tenant_id, client_id from logout_messages order by tenant_id, client_id limit 1)
  union all
  select n.tenant_id, n.client_id from receivers r cross join lateral (
    select m.tenant_id, m.client_id from logout_messages m
    where (m.tenant_id, m.client_id) > (r.tenant_id, r.client_id) order by m.tenant_id, m.client_id limit 1
  ) as n
), due as materialized (
  select m.* from receivers r
  left join unnest(@applications::text[], @calls_of_applications::int[]) as a(id, calls) on a.id = r.client_id
  cross join lateral (
    select o.tenant_id, o.session_id, o.client_id, o.due_at from logout_messages o
    where o.tenant_id = r.tenant_id and o.client_id = r.client_id and o.due_at <= now()
    order by o.due_at limit greatest(@application_calls::int - coalesce(a.calls, 0), 0) for update skip locked
  ) as m
), ranked as (
  select d.*, row_number() over (partition by split_part(d.tenant_id, ':', 1) order by d.due_at) as place from due d
), chosen as (
  select k.* from ranked k
  left join unnest(@tenants::text[], @calls_of_tenants::int[]) as t(id, calls) on t.id = split_part(k.tenant_id, ':', 1)
  where k.place <= @tenant_calls::int - coalesce(t.calls, 0)
  order by k.place, k.due_at limit @max_rows
), claimed as (
  update logout_messages m set attempts = m.attempts + 1, due_at = now() + @lease_s::int * interval '1 s'
  from chosen d where m.tenant_id = d.tenant_id and m.session_id = d.session_id and m.client_id = d.client_id
  returning m.*
)
select c.tenant_id, c.session_id, c.client_id, c.user_id, c.attempts, t.slug, a.backchannel_logout_uri as url, a.id_token_alg as alg
from claimed c
left join tenants t on t.id = split_part(c.tenant_id, ':', 1) and t.deleted_at is null
left join applications a on a.tenant_id = t.id and a.id = c.client_id

-- name: retry_logout
-- Send a logout message again after a delay.
update logout_messages set due_at = now() + @delay_s::int * interval '1 s'
where tenant_id = @tenant_id and session_id = @session_id and client_id = @client_id

-- name: finish_logout
-- Delete a logout that was delivered or cannot be, or record its last failure.
with finished as (
  delete from logout_messages where tenant_id = @tenant_id and session_id = @session_id and client_id = @client_id
  returning tenant_id, session_id, client_id, user_id
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, data)
  select tenant_id, @event_id, 'application.logout_failed', 'auth1', client_id,
    jsonb_build_object('user_id', user_id, 'session_id', session_id, 'error', @error::text)
  from finished where @error::text is not null
  returning event_json(e) as event
)
select json_agg(event)::text as events from new_event

-- name: queue_tenant_logouts
-- Queue the logouts of some grants whose sessions their tenant ended, and note the last one. Null: there are no more.
with batch as (
  select * from grants where tenant_id = @tenant_id and id > @after order by id limit @max_rows
), queued as (
  insert into logout_messages (tenant_id, session_id, client_id, user_id)
  select distinct b.tenant_id, b.session_id, b.client_id, b.user_id
  from batch b
  join tenants t on t.id = split_part(b.tenant_id, ':', 1) and b.created_at < t.sessions_from
  join applications a on a.tenant_id = t.id and a.id = b.client_id
  where b.revoked_at is null and a.backchannel_logout_uri is not null
  on conflict do nothing
), noted as (
  update logout_messages set user_id = (select max(id) from batch), due_at = now()
  where tenant_id = @tenant_id and session_id = '' and client_id = '' and exists (select from batch)
)
select max(id) as last from batch
