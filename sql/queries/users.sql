-- A tenant's users. A change of a user's identifiers takes lock_account first. Rows are locked in one order everywhere:
-- identifiers, challenges, links, users, sessions. A statement does not see rows that were committed while it waited for a
-- lock. So the lock and the decision under it are two statements of one transaction where the second reads such rows. A
-- ban that has ended is shown as none. The end of a permanent ban is the last second of the year 9999.

-- name: lock_account
-- Lock the set of a user's identifiers until the end of the transaction. Row locks are not enough: a snapshot from before
-- the wait does not contain an identifier that the user gets meanwhile.
select pg_advisory_xact_lock(hashtextextended(@tenant_id::text || ' ' || @user_id::text, 6001))

-- name: list_users
-- List users, newest first.
select u.id, i.phone, i.email, u.external_id, u.created_at, u.last_login_at,
  case when u.banned_until > now() then least(u.banned_until, timestamptz '9999-12-31 23:59:59Z') end as banned_until,
  case when u.banned_until > now() then u.ban_reason end as ban_reason,
  nullif(u.unverified_phone, i.phone) as unverified_phone, nullif(u.unverified_email, i.email) as unverified_email,
  u.metadata::text, u.user_metadata::text
from users u
cross join lateral (
  select max(identifier) filter (where type = 'phone') as phone,
    max(identifier) filter (where type = 'email') as email
  from identifiers where tenant_id = u.tenant_id and user_id = u.id
) as i
where u.tenant_id = @tenant_id and u.id < coalesce(nullif(@before, ''), '~')
order by u.id desc limit @max_rows

-- name: find_users
-- Return users by their ids, unordered.
select u.id, i.phone, i.email, u.external_id, u.created_at, u.last_login_at,
  case when u.banned_until > now() then least(u.banned_until, timestamptz '9999-12-31 23:59:59Z') end as banned_until,
  case when u.banned_until > now() then u.ban_reason end as ban_reason,
  nullif(u.unverified_phone, i.phone) as unverified_phone, nullif(u.unverified_email, i.email) as unverified_email,
  u.metadata::text, u.user_metadata::text
from users u
cross join lateral (
  select max(identifier) filter (where type = 'phone') as phone,
    max(identifier) filter (where type = 'email') as email
  from identifiers where tenant_id = u.tenant_id and user_id = u.id
) as i
where u.tenant_id = @tenant_id and u.id = any(@ids::text[])

-- name: find_user_by_identifier
-- Return the id of the user with a phone or email.
select user_id as id from identifiers where tenant_id = @tenant_id and identifier = @identifier and user_id is not null

-- name: find_user_by_external_id
-- Return the id of the user with an external id.
select id from users where tenant_id = @tenant_id and external_id = @external_id

-- name: find_users_by_prefix
-- Users by a prefix of phone, email or external id, in that order: two ranges of two indexes, read to the end of the page.
-- A user with several matches is returned for the first one.
select found, kind, id from (
  (select i.identifier as found, 0 as kind, i.user_id as id
   from identifiers i
   where i.tenant_id = @tenant_id and i.identifier >= @first_identifier and i.identifier < @last_identifier and i.identifier > @after and i.user_id is not null
     and not exists (
       select from identifiers o where o.tenant_id = @tenant_id and o.user_id = i.user_id
         and o.identifier >= @first_identifier and o.identifier < i.identifier)
     and not exists (
       select from users u where u.tenant_id = @tenant_id and u.id = i.user_id
         and u.external_id >= @first_external_id and u.external_id < @last_external_id and u.external_id < i.identifier)
   order by i.identifier limit @max_rows)
  union all
  (select u.external_id, 1, u.id
   from users u
   where u.tenant_id = @tenant_id and u.external_id >= @first_external_id and u.external_id < @last_external_id
     and u.external_id >= @after and (u.external_id > @after or @after_kind::int = 0)
     and not exists (
       select from identifiers o where o.tenant_id = @tenant_id and o.user_id = u.id
         and o.identifier >= @first_identifier and o.identifier < @last_identifier and o.identifier <= u.external_id)
   order by u.external_id limit @max_rows)
) as matches
order by found, kind limit @max_rows

-- name: find_recent_users_by_metadata
-- Users by a value in their metadata, among the newest users: enough for a page of a frequent value. Returns the number of
-- users that were read; fewer than allowed means that there are no more.
with recent as materialized (
  select id, metadata from users where tenant_id = @tenant_id and id < coalesce(nullif(@before, ''), '~') order by id desc limit @max_recent
)
select array(select id from recent where metadata @> @metadata order by id desc limit @max_rows) as ids,
  (select count(*) from recent) as looked

-- name: find_users_by_metadata
-- Find users by a rare value in their metadata, by its index, newest first.
with matching as materialized (
  select id from users
  where jsonb_set('{}', array[tenant_id], metadata) @> jsonb_set('{}', array[@tenant_id::text], @metadata::jsonb)
    and tenant_id = @tenant_id and metadata <> '{}'
)
select id from matching where id < coalesce(nullif(@before, ''), '~') order by id desc limit @max_rows

-- name: lock_owners
-- Lock existing identifiers in order, and return their users and the users of external ids. Each is a separate index
-- lookup, because a table that grows by thousands of rows a second has no useful statistics.
with locked as materialized (
  select i.identifier, i.user_id
  from (select name from unnest(@identifiers::text[]) as n(name) order by name collate "C") as wanted
  cross join lateral (
    select identifier, user_id from identifiers where tenant_id = @tenant_id and identifier = wanted.name for no key update
  ) as i
)
select l.identifier as name, l.user_id,
  (select u.external_id from users u where u.tenant_id = @tenant_id and u.id = l.user_id) as external_id, false as is_external
from locked l where l.user_id is not null
union all
select u.external_id, u.id, u.external_id, true
from unnest(@external_ids::text[]) as wanted(name)
cross join lateral (select external_id, id from users where tenant_id = @tenant_id and external_id = wanted.name limit 1) as u

-- name: create_users
-- Create users with their identifiers, after lock_owners has found them free. An existing identifier keeps its budgets and
-- its live code. Returns the number of linked identifiers: if a concurrent transaction has linked one, it is smaller than
-- the number of requested ones, and the caller rolls back.
with claimed as (
  insert into identifiers as i (tenant_id, identifier, type, user_id)
  select @tenant_id, c.identifier, c.type, c.user_id
  from unnest(@owner_ids::text[], @identifiers::text[], @types::text[]) as c(user_id, identifier, type) order by c.identifier
  on conflict (tenant_id, identifier) do update set user_id = excluded.user_id where i.user_id is null
  returning i.identifier
), counted as materialized (
  select count(*) as n from claimed
), created as (
  insert into users (
    tenant_id, id, external_id, metadata, user_metadata, created_at, banned_until, ban_reason, unverified_phone,
    unverified_email)
  select @tenant_id, g.id, g.external_id, g.metadata::jsonb, g.user_metadata::jsonb, coalesce(g.created_at, now()),
    case when g.banned_until < '9999-01-01' then g.banned_until when g.banned_until is not null then 'infinity' end,
    g.ban_reason, g.unverified_phone, g.unverified_email
  from counted, unnest(@ids::text[], @external_ids::text[], @metadata::text[], @user_metadata::text[], @created_at::timestamptz[], @banned_until::timestamptz[], @ban_reasons::text[],
      @unverified_phones::text[], @unverified_emails::text[])
    as g(id, external_id, metadata, user_metadata, created_at, banned_until, ban_reason, unverified_phone,
      unverified_email)
  where counted.n >= 0  -- the identifiers first
  order by g.external_id
  returning id
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network)
  select @tenant_id, @event_id, 'user.created', @actor, id, @request_id, @network from created where @event_id::text is not null
  returning event_json(e) as event
)
select n as claimed, (select json_agg(event)::text from new_event) as events from counted

-- name: lock_user_identifiers
-- Lock a user's identifiers and the new ones in one order; insert missing ones. Returns the user of each.
insert into identifiers as i (tenant_id, identifier, type)
select @tenant_id, w.identifier, w.type from (
  select identifier collate "C" as identifier, type from unnest(@identifiers::text[], @types::text[]) as g(identifier, type)
  union select identifier, type from identifiers where tenant_id = @tenant_id and user_id = @user_id
) as w
order by w.identifier
on conflict (tenant_id, identifier) do update set tenant_id = excluded.tenant_id
returning i.identifier, i.user_id, i.type

-- name: cancel_user_challenges
-- Close the challenges of an identifier that was removed from a user. The caller has locked it.
update challenges set status = 'cancelled', closed_at = now()
where tenant_id = @tenant_id and identifier = any(@identifiers::text[]) and status = 'open'

-- name: lock_user
-- Lock a user, and read the values that a change is merged into.
select metadata::text, user_metadata::text, external_id from users where tenant_id = @tenant_id and id = @user_id for no key update

-- name: update_user
-- Write all values of a user, after lock_user_identifiers and lock_user. Released identifiers keep their budgets, and lose
-- their live code.
with released as (
  update identifiers set user_id = null, code_mac = null, code_box = null, challenge_ids = '{}', challenge_attempts = '{}'
  where tenant_id = @tenant_id and user_id = @user_id and identifier = any(@loses::text[])
), claimed as (
  update identifiers set user_id = @user_id
  where tenant_id = @tenant_id and identifier = any(@gets::text[]) and user_id is null
), changed as (
  update users set metadata = @metadata, user_metadata = @user_metadata, external_id = @external_id where tenant_id = @tenant_id and id = @user_id returning id
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network, data)
  select @tenant_id, @event_id, 'user.updated', @actor, id, @request_id, @network, jsonb_build_object('changed', @changed::text[]) from changed
  returning event_json(e) as event
)
select (select json_agg(event)::text from new_event) as events from changed

-- name: list_live_sessions
-- List the live sessions of a changed user, whose cache entries are stale.
select id from sessions where tenant_id = @tenant_id and user_id = @user_id and revoked_at is null and least(expires_at, idle_at) > now()

-- name: ban_user
-- Mark a user as banned under its lock. No later login opens a session; a second statement ends the open sessions.
with changed as (
  update users set banned_until = coalesce(@until, 'infinity'::timestamptz), ban_reason = @reason
  where tenant_id = @tenant_id and id = @user_id
  returning id, banned_until
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network, data)
  select @tenant_id, @event_id, 'user.banned', @actor, id, @request_id, @network,
    jsonb_build_object('until', case when banned_until < 'infinity' then banned_until end)
  from changed
  returning event_json(e) as event
)
select (select json_agg(event)::text from new_event) as events from changed

-- name: unban_user
-- Lift a ban. Repeating changes nothing, and writes no event.
with locked as materialized (
  select id, banned_until from users where tenant_id = @tenant_id and id = @user_id for no key update
), changed as (
  update users u set banned_until = null, ban_reason = null
  from locked l where u.tenant_id = @tenant_id and u.id = l.id and l.banned_until is not null
  returning u.id, l.banned_until
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network)
  select @tenant_id, @event_id, 'user.unbanned', @actor, id, @request_id, @network from changed where banned_until > now()
  returning event_json(e) as event
)
select (select json_agg(event)::text from new_event) as events from locked

-- name: lock_identifiers_to_erase
-- The first step of an erasure. A concurrent login with one of the identifiers waits, and then finds none.
select identifier from identifiers where tenant_id = @tenant_id and user_id = @user_id order by identifier for update

-- name: erase_challenges
-- Delete the challenges, links and messages of locked identifiers. A recorded delivery locks its message before the
-- identifier, so locked messages are not waited for: they are counted, and the erasure is retried.
with locked as materialized (
  select id from messages where tenant_id = @tenant_id and identifier = any(@identifiers::text[]) for update skip locked
), deleted_challenges as (
  delete from challenges where tenant_id = @tenant_id and identifier = any(@identifiers::text[])
), deleted_links as (
  delete from links where tenant_id = @tenant_id and identifier = any(@identifiers::text[])
), deleted_messages as (
  delete from messages m using locked l where m.tenant_id = @tenant_id and m.id = l.id
)
select (select count(*) from messages where tenant_id = @tenant_id and identifier = any(@identifiers::text[]))
  - (select count(*) from locked) as busy

-- name: erase_logins
-- Delete the hosted logins of a user and of locked identifiers. A step of a login locks its row before the identifier, so
-- locked rows are not waited for: they are counted, and the erasure is retried.
with locked as materialized (
  select id from logins
  where tenant_id = @tenant_id and (user_id = @user_id or identifier = any(@identifiers::text[])) for update skip locked
), deleted as (
  delete from logins l using locked where l.tenant_id = @tenant_id and l.id = locked.id
)
select (select count(*) from logins where tenant_id = @tenant_id and (user_id = @user_id or identifier = any(@identifiers::text[])))
  - (select count(*) from locked) as busy

-- name: lock_user_to_erase
-- Lock the user, so that it gets no more identifiers or sessions.
select id from users where tenant_id = @tenant_id and id = @user_id for update

-- name: erase_user
-- The last step of an erasure. No row if the user got an identifier that the first step did not lock. Events keep the
-- user's id. Optionally the phone and email stay until their purge, with their counts of sends and wrong codes only:
-- otherwise an erasure would reset these limits.
with erasable as materialized (
  select u.id, array(select s.id from sessions s where s.tenant_id = @tenant_id and s.user_id = u.id and s.revoked_at is null) as sessions
  from users u
  where u.tenant_id = @tenant_id and u.id = @user_id and not exists (
    select from identifiers i where i.tenant_id = @tenant_id and i.user_id = @user_id and i.identifier <> all(@identifiers::text[]))
), deleted_identifiers as (
  delete from identifiers i using erasable e where not @keeps_budgets::boolean and i.tenant_id = @tenant_id and i.user_id = e.id
), released_identifiers as (
  update identifiers i set user_id = null, code_mac = null, code_box = null, code_purpose = null, code_expires_at = null,
    challenge_ids = '{}', challenge_attempts = '{}', message_id = null
  from erasable e where @keeps_budgets and i.tenant_id = @tenant_id and i.user_id = e.id
), queued_logouts as (
  insert into logout_messages (tenant_id, session_id, client_id, user_id)
  select distinct g.tenant_id, g.session_id, g.client_id, g.user_id
  from erasable e join grants g on g.tenant_id = @tenant_id and g.user_id = e.id and g.revoked_at is null
  join applications a on a.tenant_id = split_part(g.tenant_id, ':', 1) and a.id = g.client_id
  where a.backchannel_logout_uri is not null
  on conflict do nothing
), deleted_grants as (
  delete from grants g using erasable e where g.tenant_id = @tenant_id and g.user_id = e.id
), deleted_consents as (
  delete from consents c using erasable e where c.tenant_id = @tenant_id and c.user_id = e.id
), deleted_sessions as (
  delete from sessions s using erasable e where s.tenant_id = @tenant_id and s.user_id = e.id
), deleted as (
  delete from users u using erasable e where u.tenant_id = @tenant_id and u.id = e.id
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network)
  select @tenant_id, @event_id, 'user.erased', @actor, id, @request_id, @network from erasable
  returning event_json(e) as event
)
select sessions, (select json_agg(event)::text from new_event) as events from erasable

-- name: lock_lists_to_erase
-- Lock the lists of a tenant if one of its allow entries is the number of a user that is erased.
select s.tenant_id from fraud_settings s
where s.tenant_id = @tenant_id and exists (
  select from fraud_lists l
  where l.tenant_id = s.tenant_id and l.kind = 'number' and l.value = any(@identifiers::text[]) and l.list = 'allow')
for no key update of s

-- name: erase_list_entries
-- Delete the allow entries of erased numbers. Block entries stay: a user must not lift one by an erasure.
with deleted as (
  delete from fraud_lists l
  where l.tenant_id = @tenant_id and l.kind = 'number' and l.value = any(@identifiers::text[]) and l.list = 'allow'
  returning 1
)
update fraud_settings s set list_version = list_version + 1, list_entries = list_entries - (select count(*)::int from deleted)
where tenant_id = @tenant_id returning tenant_id

-- name: record_import
-- Record the event of an import.
insert into events as e (tenant_id, id, type, actor, subject, request_id, network, data)
values (@tenant_id, @event_id, 'users.imported', @actor, @tenant_id, @request_id, @network,
  @counts::jsonb)
returning json_build_array(event_json(e))::text as events

-- name: export_users
-- Return a page of all users, oldest first.
select u.id, i.phone, i.email, u.external_id, u.created_at, u.last_login_at,
  case when u.banned_until > now() then least(u.banned_until, timestamptz '9999-12-31 23:59:59Z') end as banned_until,
  case when u.banned_until > now() then u.ban_reason end as ban_reason,
  nullif(u.unverified_phone, i.phone) as unverified_phone, nullif(u.unverified_email, i.email) as unverified_email,
  u.metadata::text, u.user_metadata::text
from users u
cross join lateral (
  select max(identifier) filter (where type = 'phone') as phone,
    max(identifier) filter (where type = 'email') as email
  from identifiers where tenant_id = u.tenant_id and user_id = u.id
) as i
where u.tenant_id = @tenant_id and u.id > @after
order by u.id limit @max_rows

-- name: export_identifiers
-- A user's phones and emails with their counts of sends and wrong codes, without codes.
select identifier, channel_of(type) as channel, sent_at, wrong_at
from identifiers where tenant_id = @tenant_id and user_id = @user_id order by identifier limit @max_rows

-- name: export_sessions
-- All stored sessions, ended ones included, newest first. Here and below, rows are selected before they are sorted:
-- otherwise a plan by the order of ids would read the rows of all users.
with mine as materialized (
  select * from sessions where tenant_id = @tenant_id and user_id = @user_id
)
select id, channel, device_name, user_agent, network, created_at, last_used_at, least(expires_at, idle_at) as expires_at,
  revoked_at
from mine order by id desc limit @max_rows

-- name: export_consents
-- Return all stored consents of a user, ended ones included, by application.
select client_id, scopes, granted_at, revoked_at
from consents where tenant_id = @tenant_id and user_id = @user_id order by client_id limit @max_rows

-- name: export_grants
-- Return all stored grants, ended ones included, newest first.
with mine as materialized (
  select * from grants where tenant_id = @tenant_id and user_id = @user_id
)
select id, client_id, session_id, scopes, created_at, refreshed_at, expires_at, revoked_at
from mine order by id desc limit @max_rows

-- name: export_challenges
-- Return all stored challenges, newest first.
with mine as materialized (
  select * from challenges where tenant_id = @tenant_id and identifier = any(@identifiers::text[])
)
select id, identifier, status, opened_at, expires_at, closed_at from mine order by id desc limit @max_rows

-- name: export_messages
-- Return all stored messages, newest first.
with mine as materialized (
  select * from messages where tenant_id = @tenant_id and identifier = any(@identifiers::text[])
)
select id, challenge_id, notice, identifier, channel, locale, state, provider, error, created_at, updated_at
from mine order by id desc limit @max_rows

-- name: export_events
-- Events that name a user, or what is the user's: sessions, challenges and messages. Newest first.
with mine as materialized (
  select e.* from unnest(@ids::text[]) as one(id)
  cross join lateral (
    -- With `offset 0` the tenant is compared later, and the plan cannot read all events of the tenant.
    select * from events where coalesce(data ->> 'user_id', subject) = one.id offset 0
  ) as e
  where e.tenant_id = @tenant_id
)
select id, type, created_at, actor, subject, data::text from mine order by id desc limit @max_rows
