-- Delete old rows in small steps that delay no login. A purge skips locked rows; a later step or round finds them. Large
-- tables have no index on the age of a row, because it would slow down every login. They are scanned by ranges of pages.

-- name: make_partitions
-- Create the partitions of events for this month and the next two.
select make_events_partition((date_trunc('month', now() at time zone 'UTC') + make_interval(months => n))::date)
from generate_series(0, 2) as n

-- name: make_decisions_partitions
-- Create the partitions of decisions for today and the next two days.
select make_decisions_partition((now() at time zone 'UTC')::date + n) from generate_series(0, 2) as n

-- name: drop_decisions_partitions
-- Drop partitions of decisions after the retention period.
select drop_decisions_partitions((now() at time zone 'UTC')::date - @days::int)

-- name: make_delivery_attempts_partitions
-- Create the partitions of calls of webhooks for this month and the next two.
select make_delivery_attempts_partition((date_trunc('month', now() at time zone 'UTC') + make_interval(months => n))::date)
from generate_series(0, 2) as n

-- name: drop_delivery_attempts_partitions
-- Drop months of calls whose deliveries are purged.
select drop_delivery_attempts_partitions(now() - @days::int * interval '1 day')

-- name: pages
-- Return the number of pages of a table.
select pg_relation_size(@table_name::text::regclass) / current_setting('block_size')::int as pages

-- name: purge_challenges
-- Delete expired rows; skip locked ones.
with old as (
  select tenant_id, id from challenges
  where ctid >= format('(%s,0)', @first_page::bigint)::tid and ctid < format('(%s,0)', @end_page::bigint)::tid
    and expires_at < now() - interval '30 days'
  limit @max_rows for update skip locked
), deleted as (
  delete from challenges c using old where c.tenant_id = old.tenant_id and c.id = old.id returning 1
)
select count(*) as purged from deleted

-- name: purge_messages
-- Delete expired messages; skip locked rows. Queued messages do not expire: the outbox settles them.
with old as (
  select tenant_id, id from messages
  where ctid >= format('(%s,0)', @first_page::bigint)::tid and ctid < format('(%s,0)', @end_page::bigint)::tid
    and created_at < now() - interval '30 days' and state <> 'queued'
  limit @max_rows for update skip locked
), deleted as (
  delete from messages m using old where m.tenant_id = old.tenant_id and m.id = old.id returning 1
)
select count(*) as purged from deleted

-- name: purge_message_hours
-- A little later than the messages themselves. Rows are selected by ctid, because they are never updated.
with old as (
  select tenant_id, ctid from message_hours
  where ctid >= format('(%s,0)', @first_page::bigint)::tid and ctid < format('(%s,0)', @end_page::bigint)::tid
    and hour < now() - interval '32 days'
  limit @max_rows for update skip locked
), deleted as (
  delete from message_hours h
  where h.ctid = any(array(select ctid from old)) and (h.tenant_id, h.ctid) in (select tenant_id, ctid from old) returning 1
)
select count(*) as purged from deleted

-- name: purge_exposures
-- After a month without a message little of an exposure is left. A row that is saved meanwhile is locked or has moved.
with old as (
  select tenant_id, scope, key from exposures
  where ctid >= format('(%s,0)', @first_page::bigint)::tid and ctid < format('(%s,0)', @end_page::bigint)::tid
    and second < extract(epoch from now() - interval '31 days')
  limit @max_rows for update skip locked
), deleted as (
  delete from exposures e using old
  where e.tenant_id = old.tenant_id and e.scope = old.scope and e.key = old.key
  returning 1
)
select count(*) as purged from deleted

-- name: purge_links
-- Delete expired rows; skip locked ones.
with old as (
  select tenant_id, message_id from links
  where ctid >= format('(%s,0)', @first_page::bigint)::tid and ctid < format('(%s,0)', @end_page::bigint)::tid
    and expires_at < now() - interval '1 day'
  limit @max_rows for update skip locked
), deleted as (
  delete from links l using old where l.tenant_id = old.tenant_id and l.message_id = old.message_id returning 1
)
select count(*) as purged from deleted

-- name: purge_sessions
-- Delete expired rows; skip locked ones.
with old as (
  select tenant_id, id from sessions
  where ctid >= format('(%s,0)', @first_page::bigint)::tid and ctid < format('(%s,0)', @end_page::bigint)::tid
    and least(expires_at, idle_at, revoked_at) < now() - interval '30 days'
  limit @max_rows for update skip locked
), deleted as (
  delete from sessions s using old where s.tenant_id = old.tenant_id and s.id = old.id returning 1
)
select count(*) as purged from deleted

-- name: purge_logins
-- Hosted logins, those of deleted applications at once. For a day the repeated redemption of a code revokes its grant; a login
-- without a code goes an hour after it expired, so that its page can lead back to the application; a pushed request that no
-- browser has used goes at once.
with old as (
  select ctid from logins
  where ctid >= format('(%s,0)', @first_page::bigint)::tid and ctid < format('(%s,0)', @end_page::bigint)::tid
    and (expires_at < now() - case
        when browser_digest = '' then interval '0' when code_number = 0 then interval '1 hour' else interval '1 day' end
      or client_id is not null and not exists (
      select from applications a where a.tenant_id = split_part(logins.tenant_id, ':', 1) and a.id = logins.client_id))
  limit @max_rows for update skip locked
), deleted as (
  delete from logins where ctid = any(array(select ctid from old)) returning 1
)
select count(*) as purged from deleted

-- name: purge_grants
-- Delete what is old or of a deleted application, skipping rows that are locked.
with old as (
  select ctid from grants
  where ctid >= format('(%s,0)', @first_page::bigint)::tid and ctid < format('(%s,0)', @end_page::bigint)::tid
    and (least(expires_at, revoked_at) < now() - interval '1 day' or not exists (
      select from applications a where a.tenant_id = split_part(grants.tenant_id, ':', 1) and a.id = grants.client_id))
  limit @max_rows for update skip locked
), deleted as (
  delete from grants where ctid = any(array(select ctid from old)) returning 1
)
select count(*) as purged from deleted

-- name: purge_consents
-- Delete consents that ended, or whose application was deleted; skip locked rows.
with old as (
  select ctid from consents
  where ctid >= format('(%s,0)', @first_page::bigint)::tid and ctid < format('(%s,0)', @end_page::bigint)::tid
    and (revoked_at < now() - interval '30 days' or not exists (
      select from applications a where a.tenant_id = split_part(consents.tenant_id, ':', 1) and a.id = consents.client_id))
  limit @max_rows for update skip locked
), deleted as (
  delete from consents where ctid = any(array(select ctid from old)) returning 1
)
select count(*) as purged from deleted

-- name: purge_identifiers
-- Delete unverified identifiers when none of their budgets applies any more; skip locked rows.
with old as (
  select tenant_id, identifier from identifiers
  where ctid >= format('(%s,0)', @first_page::bigint)::tid and ctid < format('(%s,0)', @end_page::bigint)::tid
    and user_id is null
    and coalesce(sent_at[1], '-infinity') < now() - interval '2 days'
    and coalesce(wrong_at[1], '-infinity') < now() - interval '2 days'
    and coalesce(unnamed_locked_until, '-infinity') < now()
  limit @max_rows for update skip locked
), deleted as (
  delete from identifiers i using old where i.tenant_id = old.tenant_id and i.identifier = old.identifier returning 1
)
select count(*) as purged from deleted

-- name: purge_line_types
-- Delete results of look-ups that are no longer used; skip locked rows.
with old as (
  select digest from line_types
  where ctid >= format('(%s,0)', @first_page::bigint)::tid and ctid < format('(%s,0)', @end_page::bigint)::tid
    and greatest(looked_up_at, signals_at) < now() - interval '30 days'
  limit @max_rows for update skip locked
), deleted as (
  delete from line_types l using old where l.digest = old.digest returning 1
)
select count(*) as purged from deleted

-- name: purge_deliveries
-- Deliveries that ended a month ago. One that has been pending for three months belongs to a disabled webhook. Rows are
-- selected by ctid, which their locks keep: by the key, a planner may read the whole table.
with old as (
  select tenant_id, ctid from deliveries
  where ctid >= format('(%s,0)', @first_page::bigint)::tid and ctid < format('(%s,0)', @end_page::bigint)::tid
    and (finished_at < now() - interval '30 days'
      or state = 'pending' and event_id < id_floor('evt', now() - interval '90 days'))
  limit @max_rows for update skip locked
), deleted as (
  delete from deliveries d
  where d.ctid = any(array(select ctid from old)) and (d.tenant_id, d.ctid) in (select tenant_id, ctid from old) returning 1
)
select count(*) as purged from deleted

-- name: purge_idempotency
-- Delete expired rows; skip locked ones. Here and below, a range with two ends makes the planner expect few
-- rows, and use the index, before it knows the table.
with old as (
  select tenant_id, route, digest from idempotency
  where claimed_at between '-infinity' and now() - interval '24 hours'
  order by claimed_at limit @max_rows for update skip locked
), deleted as (
  delete from idempotency k using old
  where k.tenant_id = old.tenant_id and k.route = old.route and k.digest = old.digest returning 1
)
select count(*) as purged from deleted

-- name: purge_spending
-- Delete spending of more than 13 months ago, the default retention of events; skip locked rows.
with old as (
  select tenant_id, day, country, channel, slot from spending
  where day between '-infinity' and (now() at time zone 'UTC')::date - interval '13 months'
  order by day limit @max_rows for update skip locked
), deleted as (
  delete from spending s using old
  where (s.tenant_id, s.day, s.country, s.channel, s.slot)
    = (old.tenant_id, old.day, old.country, old.channel, old.slot) returning 1
)
select count(*) as purged from deleted

-- name: purge_fraud_lists
-- Expired entries. The lock of the owner's settings comes first, as in each change of the lists.
with owners as (
  select s.tenant_id from fraud_settings s
  where s.tenant_id in (
    select l.tenant_id from fraud_lists l where l.expires_at between '-infinity' and now() order by l.expires_at limit @max_rows)
  order by s.tenant_id for update skip locked
), old as (
  select l.tenant_id, l.id from fraud_lists l join owners o on o.tenant_id = l.tenant_id
  where l.expires_at between '-infinity' and now() limit @max_rows for update of l skip locked
), deleted as (
  delete from fraud_lists l using old where l.tenant_id = old.tenant_id and l.id = old.id returning l.tenant_id
), counted as (
  update fraud_settings s set list_entries = s.list_entries - d.entries
  from (select tenant_id, count(*)::int as entries from deleted group by tenant_id) as d where s.tenant_id = d.tenant_id
)
select count(*) as purged from deleted

-- name: purge_deliveries_of_deleted_webhooks
-- Delete deliveries of deleted webhooks: after a minute no worker delivers to them.
with old as (
  select o.* from (
    select tenant_id, id from webhooks where deleted_at between '-infinity' and now() - interval '1 minute'
    order by deleted_at limit @max_rows
  ) as w
  cross join lateral (
    select d.tenant_id, d.webhook_id, d.event_id from deliveries d where d.tenant_id = w.tenant_id and d.webhook_id = w.id
    order by d.tenant_id, d.webhook_id, d.event_id limit @max_rows for update of d skip locked
  ) as o
  limit @max_rows
), deleted as (
  delete from deliveries d using old
  where d.tenant_id = old.tenant_id and d.webhook_id = old.webhook_id and d.event_id = old.event_id returning 1
)
select count(*) as purged from deleted

-- name: purge_webhooks
-- Delete the rows of deleted webhooks, after their deliveries.
with old as (
  select w.tenant_id, w.id from webhooks w
  where w.deleted_at between '-infinity' and now() - interval '1 minute'
    and (select true from deliveries d where d.tenant_id = w.tenant_id and d.webhook_id = w.id
      order by d.tenant_id, d.webhook_id, d.event_id limit 1) is null
  order by w.deleted_at limit @max_rows for update skip locked
), deleted as (
  delete from webhooks w using old where w.tenant_id = old.tenant_id and w.id = old.id returning 1
)
select count(*) as purged from deleted

-- name: purge_deleted_sessions
-- Delete the rows of a deleted tenant, dependent tables first. After a minute no worker has it in its cache. Each statement
-- reads rows in the order of the primary key: otherwise the planner may scan the whole table for a tenant without rows.
with old as (
  select o.* from tenants t
  cross join lateral (
    select s.tenant_id, s.id from sessions s where s.tenant_id in (t.id, t.id || ':test')
    order by s.tenant_id, s.id limit @max_rows for update of s skip locked
  ) as o
  where t.deleted_at < now() - interval '1 minute' limit @max_rows
), deleted as (
  delete from sessions s using old where s.tenant_id = old.tenant_id and s.id = old.id returning 1
)
select count(*) as purged from deleted

-- name: purge_deleted_identifiers
-- Delete expired rows; skip locked ones.
with old as (
  select o.* from tenants t
  cross join lateral (
    select i.tenant_id, i.identifier from identifiers i where i.tenant_id in (t.id, t.id || ':test')
    order by i.tenant_id, i.identifier limit @max_rows for update of i skip locked
  ) as o
  where t.deleted_at < now() - interval '1 minute' limit @max_rows
), deleted as (
  delete from identifiers i using old where i.tenant_id = old.tenant_id and i.identifier = old.identifier returning 1
)
select count(*) as purged from deleted

-- name: purge_deleted_users
-- Delete users of deleted tenants after all dependent rows: a cascade would wait for locked rows.
with old as (
  select o.* from tenants t
  cross join lateral (
    select u.tenant_id, u.id from users u where u.tenant_id in (t.id, t.id || ':test')
    order by u.tenant_id, u.id limit @max_rows for update of u skip locked
  ) as o
  where t.deleted_at < now() - interval '1 minute'
    and (select true from sessions s where s.tenant_id in (t.id, t.id || ':test') order by s.tenant_id, s.id limit 1) is null
    and (select true from identifiers i where i.tenant_id in (t.id, t.id || ':test') order by i.tenant_id, i.identifier limit 1) is null
  limit @max_rows
), deleted as (
  delete from users u using old where u.tenant_id = old.tenant_id and u.id = old.id returning 1
)
select count(*) as purged from deleted

-- name: purge_deleted_challenges
-- Delete expired rows; skip locked ones.
with old as (
  select o.* from tenants t
  cross join lateral (
    select c.tenant_id, c.id from challenges c where c.tenant_id in (t.id, t.id || ':test')
    order by c.tenant_id, c.id limit @max_rows for update of c skip locked
  ) as o
  where t.deleted_at < now() - interval '1 minute' limit @max_rows
), deleted as (
  delete from challenges c using old where c.tenant_id = old.tenant_id and c.id = old.id returning 1
)
select count(*) as purged from deleted

-- name: purge_deleted_messages
-- Delete expired rows; skip locked ones.
with old as (
  select o.* from tenants t
  cross join lateral (
    select m.tenant_id, m.id from messages m where m.tenant_id in (t.id, t.id || ':test')
    order by m.tenant_id, m.id limit @max_rows for update of m skip locked
  ) as o
  where t.deleted_at < now() - interval '1 minute' limit @max_rows
), deleted as (
  delete from messages m using old where m.tenant_id = old.tenant_id and m.id = old.id returning 1
)
select count(*) as purged from deleted

-- name: purge_deleted_spending
-- Delete expired rows; skip locked ones.
with old as (
  select o.* from tenants t
  cross join lateral (
    select s.tenant_id, s.day, s.country, s.channel, s.slot from spending s where s.tenant_id in (t.id, t.id || ':test')
    order by s.tenant_id, s.day limit @max_rows for update of s skip locked
  ) as o
  where t.deleted_at < now() - interval '1 minute' limit @max_rows
), deleted as (
  delete from spending s using old
  where (s.tenant_id, s.day, s.country, s.channel, s.slot)
    = (old.tenant_id, old.day, old.country, old.channel, old.slot) returning 1
)
select count(*) as purged from deleted

-- name: purge_deleted_budgets
-- Delete expired rows; skip locked ones.
with old as (
  select b.tenant_id from tenants t join budgets b on b.tenant_id in (t.id, t.id || ':test')
  where t.deleted_at < now() - interval '1 minute' limit @max_rows for update of b skip locked
), deleted as (
  delete from budgets b using old where b.tenant_id = old.tenant_id returning 1
)
select count(*) as purged from deleted

-- name: purge_deleted_message_hours
-- Delete expired rows; skip locked ones.
with old as (
  select o.* from tenants t
  cross join lateral (
    select h.tenant_id, h.ctid from message_hours h where h.tenant_id = t.id
    order by h.hour limit @max_rows for update of h skip locked
  ) as o
  where t.deleted_at < now() - interval '1 minute' limit @max_rows
), deleted as (
  delete from message_hours h
  where h.ctid = any(array(select ctid from old)) and (h.tenant_id, h.ctid) in (select tenant_id, ctid from old) returning 1
)
select count(*) as purged from deleted

-- name: purge_deleted_fraud_lists
-- Delete expired rows; skip locked ones.
with old as (
  select o.* from tenants t
  cross join lateral (
    select l.tenant_id, l.id from fraud_lists l where l.tenant_id = t.id
    order by l.tenant_id, l.id limit @max_rows for update of l skip locked
  ) as o
  where t.deleted_at < now() - interval '1 minute' limit @max_rows
), deleted as (
  delete from fraud_lists l using old where l.tenant_id = old.tenant_id and l.id = old.id returning 1
)
select count(*) as purged from deleted

-- name: purge_deleted_fraud_settings
-- Delete expired rows; skip locked ones.
with old as (
  select f.tenant_id from tenants t join fraud_settings f on f.tenant_id = t.id
  where t.deleted_at < now() - interval '1 minute' limit @max_rows for update of f skip locked
), deleted as (
  delete from fraud_settings f using old where f.tenant_id = old.tenant_id returning 1
)
select count(*) as purged from deleted

-- name: purge_deleted_hooks
-- Delete expired rows; skip locked ones.
with old as (
  select h.tenant_id, h.name from tenants t join hooks h on h.tenant_id = t.id
  where t.deleted_at < now() - interval '1 minute' limit @max_rows for update of h skip locked
), deleted as (
  delete from hooks h using old where h.tenant_id = old.tenant_id and h.name = old.name returning 1
)
select count(*) as purged from deleted

-- name: purge_deleted_hosts
-- Delete hosts of deleted tenants; skip locked rows.
with old as (
  select h.tenant_id, h.id from tenants t join hosts h on h.tenant_id in (t.id, t.id || ':test')
  where t.deleted_at < now() - interval '1 minute' limit @max_rows for update of h skip locked
), deleted as (
  delete from hosts h using old where h.tenant_id = old.tenant_id and h.id = old.id returning 1
)
select count(*) as purged from deleted

-- name: purge_revoked_tokens
-- Delete revoked tokens that have expired, also those of deleted tenants; skip locked rows.
with old as (
  select tenant_id, jti from revoked_tokens where expires_at < now() limit @max_rows for update skip locked
), deleted as (
  delete from revoked_tokens r using old where r.tenant_id = old.tenant_id and r.jti = old.jti returning 1
)
select count(*) as purged from deleted

-- name: purge_deleted_applications
-- Delete applications of deleted tenants; skip locked rows.
with old as (
  select a.tenant_id, a.id from tenants t join applications a on a.tenant_id in (t.id, t.id || ':test')
  where t.deleted_at < now() - interval '1 minute' limit @max_rows for update of a skip locked
), deleted as (
  delete from applications a using old where a.tenant_id = old.tenant_id and a.id = old.id returning 1
)
select count(*) as purged from deleted

-- name: purge_deleted_signing_keys
-- Delete the rows of deleted tenants and of their sandboxes; skip locked ones.
with old as (
  select k.tenant_id, k.kid from tenants t join signing_keys k on k.tenant_id in (t.id, t.id || ':test')
  where t.deleted_at < now() - interval '1 minute' limit @max_rows for update of k skip locked
), deleted as (
  delete from signing_keys k using old where k.tenant_id = old.tenant_id and k.kid = old.kid returning 1
)
select count(*) as purged from deleted

-- name: purge_deleted_logins
-- Delete the rows of deleted tenants and of their sandboxes; skip locked ones.
with old as (
  select o.* from tenants t
  cross join lateral (
    select l.tenant_id, l.id from logins l where l.tenant_id in (t.id, t.id || ':test')
    order by l.tenant_id, l.id limit @max_rows for update of l skip locked
  ) as o
  where t.deleted_at < now() - interval '1 minute' limit @max_rows
), deleted as (
  delete from logins l using old where l.tenant_id = old.tenant_id and l.id = old.id returning 1
)
select count(*) as purged from deleted

-- name: purge_deleted_grants
-- Delete the rows of deleted tenants and of their sandboxes; skip locked ones.
with old as (
  select o.* from tenants t
  cross join lateral (
    select g.tenant_id, g.id from grants g where g.tenant_id in (t.id, t.id || ':test')
    order by g.tenant_id, g.id limit @max_rows for update of g skip locked
  ) as o
  where t.deleted_at < now() - interval '1 minute' limit @max_rows
), deleted as (
  delete from grants g using old where g.tenant_id = old.tenant_id and g.id = old.id returning 1
)
select count(*) as purged from deleted

-- name: purge_deleted_consents
-- Delete the rows of deleted tenants and of their sandboxes; skip locked ones.
with old as (
  select o.* from tenants t
  cross join lateral (
    select c.tenant_id, c.user_id, c.client_id from consents c where c.tenant_id in (t.id, t.id || ':test')
    order by c.tenant_id, c.user_id, c.client_id limit @max_rows for update of c skip locked
  ) as o
  where t.deleted_at < now() - interval '1 minute' limit @max_rows
), deleted as (
  delete from consents c using old where c.tenant_id = old.tenant_id and c.user_id = old.user_id and c.client_id = old.client_id returning 1
)
select count(*) as purged from deleted

-- name: end_webhooks_of_deleted_tenants
-- Mark webhooks of deleted tenants as deleted, so that their deliveries are purged first.
with old as (
  select o.* from tenants t
  cross join lateral (
    select w.tenant_id, w.id from webhooks w where w.tenant_id = t.id and w.deleted_at is null
    order by w.tenant_id, w.id limit @max_rows for update of w skip locked
  ) as o
  where t.deleted_at < now() - interval '1 minute' limit @max_rows
), ended as (
  update webhooks w
  set deleted_at = now() - interval '1 minute', is_enabled = false, secret = '', previous_secret = null,
    previous_secret_until = null, due_at = null
  from old where w.tenant_id = old.tenant_id and w.id = old.id returning 1
)
select count(*) as purged from ended

-- name: purge_deleted_exposures
-- Delete expired rows; skip locked ones.
with old as (
  select o.* from tenants t
  cross join lateral (
    select e.tenant_id, e.scope, e.key from exposures e where e.tenant_id = t.id
    order by e.scope, e.key limit @max_rows for update of e skip locked
  ) as o
  where t.deleted_at < now() - interval '1 minute' limit @max_rows
), deleted as (
  delete from exposures e using old
  where e.tenant_id = old.tenant_id and e.scope = old.scope and e.key = old.key
  returning 1
)
select count(*) as purged from deleted

-- name: purge_deleted_tenants
-- The tenant's row, after all other rows. Its events stay until their partition is dropped. An ordered subquery, unlike
-- `not exists`, is not turned into a join that reads the whole table.
with old as (
  select t.id from tenants t
  where t.deleted_at < now() - interval '1 minute'
    and (select true from users u where u.tenant_id in (t.id, t.id || ':test') order by u.tenant_id, u.id limit 1) is null
    and (select true from identifiers i where i.tenant_id in (t.id, t.id || ':test') order by i.tenant_id, i.identifier limit 1) is null
    and (select true from challenges c where c.tenant_id in (t.id, t.id || ':test') order by c.tenant_id, c.id limit 1) is null
    and (select true from messages m where m.tenant_id in (t.id, t.id || ':test') order by m.tenant_id, m.id limit 1) is null
    and (select true from spending s where s.tenant_id in (t.id, t.id || ':test') order by s.tenant_id, s.day limit 1) is null
    and (select true from fraud_lists l where l.tenant_id = t.id order by l.tenant_id, l.id limit 1) is null
    and (select true from webhooks w where w.tenant_id = t.id order by w.tenant_id, w.id limit 1) is null
    and not exists (select from fraud_settings f where f.tenant_id = t.id)
    and not exists (select from hooks h where h.tenant_id = t.id)
    and (select true from hosts h where h.tenant_id in (t.id, t.id || ':test') order by h.tenant_id, h.id limit 1) is null
    and (select true from applications a where a.tenant_id in (t.id, t.id || ':test') order by a.tenant_id, a.id limit 1) is null
    and (select true from signing_keys k where k.tenant_id in (t.id, t.id || ':test') order by k.tenant_id, k.kid limit 1) is null
    and (select true from logins l where l.tenant_id in (t.id, t.id || ':test') order by l.tenant_id, l.id limit 1) is null
    and (select true from grants g where g.tenant_id in (t.id, t.id || ':test') order by g.tenant_id, g.id limit 1) is null
    and (select true from consents c where c.tenant_id in (t.id, t.id || ':test') order by c.tenant_id, c.user_id limit 1) is null
    and not exists (select from budgets b where b.tenant_id in (t.id, t.id || ':test'))
    and (select true from message_hours h where h.tenant_id = t.id order by h.hour limit 1) is null
  limit @max_rows for update skip locked
), deleted as (
  delete from tenants t using old where t.id = old.id returning 1
)
select count(*) as purged from deleted
