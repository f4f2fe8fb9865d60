-- A tenant's users, as whoever manages it sees them. Whatever changes which identifiers a user has takes lock_account
-- first; then rows are locked in one order everywhere: identifiers, challenges, links, users, sessions. What a statement
-- has to wait for it does not see, so a lock and what is decided under it are two statements of one transaction wherever
-- the second reads what the first waited for. A ban that has ended is shown as none, and the end of one that has no end as
-- the last second that every program can write.

-- name: lock_account
-- Lock the set of a user's identifiers until the end of the transaction. A row lock is not enough: an identifier that
-- the user gets meanwhile is in no snapshot that is older than the wait for its row.
select pg_advisory_xact_lock(hashtextextended(@tenant_id::text || ' ' || @user_id::text, 6001))

-- name: list_users
-- Newest first.
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
-- The users of some ids, in no order.
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
-- See the name.
select user_id as id from identifiers where tenant_id = @tenant_id and identifier = @identifier and user_id is not null

-- name: find_user_by_external_id
-- See the name.
select id from users where tenant_id = @tenant_id and external_id = @external_id

-- name: find_users_by_prefix
-- Whose phone, email or external id begins so, in the order of these: two ranges of two indexes, read as far as the
-- page goes. Somebody of whom several begin so is found by the first of them alone.
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
-- Among the newest some, whose metadata holds something: enough for a page of what many have. Tells among how many it
-- has looked: fewer than it might have, and there are no more.
with recent as materialized (
  select id, metadata from users where tenant_id = @tenant_id and id < coalesce(nullif(@before, ''), '~') order by id desc limit @max_recent
)
select array(select id from recent where metadata @> @metadata order by id desc limit @max_rows) as ids,
  (select count(*) from recent) as looked

-- name: find_users_by_metadata
-- Whose metadata holds something, by its index: for what few have. Newest first.
with matching as materialized (
  select id from users
  where jsonb_set('{}', array[tenant_id], metadata) @> jsonb_set('{}', array[@tenant_id::text], @metadata::jsonb) and tenant_id = @tenant_id
)
select id from matching where id < coalesce(nullif(@before, ''), '~') order by id desc limit @max_rows

-- name: hold_owners
-- Lock what is known already of some identifiers, in order, and tell whose they are; and who has some external ids.
-- Each is looked up on its own: a table that grows by thousands of rows a second has no statistics to plan anything
-- better by.
with held as materialized (
  select i.identifier, i.user_id
  from (select name from unnest(@identifiers::text[]) as n(name) order by name collate "C") as wanted
  cross join lateral (
    select identifier, user_id from identifiers where tenant_id = @tenant_id and identifier = wanted.name for no key update
  ) as i
)
select h.identifier as name, h.user_id,
  (select u.external_id from users u where u.tenant_id = @tenant_id and u.id = h.user_id) as external_id, false as is_external
from held h where h.user_id is not null
union all
select u.external_id, u.id, u.external_id, true
from unnest(@external_ids::text[]) as wanted(name)
cross join lateral (select external_id, id from users where tenant_id = @tenant_id and external_id = wanted.name limit 1) as u

-- name: make_users
-- Make users with their identifiers, after hold_owners has found none of them anybody's. An identifier that was asked
-- for before keeps its budgets and its live code. Tells how many identifiers could be had: fewer than were wanted when
-- somebody was faster, and then all of it is to be taken back.
with claimed as (
  insert into identifiers as i (tenant_id, identifier, type, user_id)
  select @tenant_id, c.identifier, c.type, c.user_id
  from unnest(@owner_ids::text[], @identifiers::text[], @types::text[]) as c(user_id, identifier, type) order by c.identifier
  on conflict (tenant_id, identifier) do update set user_id = excluded.user_id where i.user_id is null
  returning i.identifier
), counted as materialized (
  select count(*) as n from claimed
), made as (
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
  select @tenant_id, @event_id, 'user.created', @actor, id, @request_id, @network from made where @event_id::text is not null
  returning event_json(e) as event
)
select n as claimed, (select json_agg(event)::text from new_event) as events from counted

-- name: hold_user_identifiers
-- Lock a user's identifiers and those it is to get, made where there are none, in one order; and tell whose each is.
insert into identifiers as i (tenant_id, identifier, type)
select @tenant_id, w.identifier, w.type from (
  select identifier collate "C" as identifier, type from unnest(@identifiers::text[], @types::text[]) as g(identifier, type)
  union select identifier, type from identifiers where tenant_id = @tenant_id and user_id = @user_id
) as w
order by w.identifier
on conflict (tenant_id, identifier) do update set tenant_id = excluded.tenant_id
returning i.identifier, i.user_id, i.type

-- name: cancel_user_challenges
-- Nobody may answer what was asked of an identifier that is a user's no more. The caller holds its lock.
update challenges set status = 'cancelled', closed_at = now()
where tenant_id = @tenant_id and identifier = any(@identifiers::text[]) and status = 'open'

-- name: hold_user
-- Lock a user, and read what a change is merged with.
select metadata::text, user_metadata::text, external_id from users where tenant_id = @tenant_id and id = @user_id for no key update

-- name: update_user
-- After hold_user_identifiers and hold_user: everything about the user is as it will be. Released identifiers keep
-- their budgets, and lose their live code.
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
-- The sessions whose cached user is stale once the user has changed.
select id from sessions where tenant_id = @tenant_id and user_id = @user_id and revoked_at is null and least(expires_at, idle_at) > now()

-- name: ban_user
-- Mark a user, under its lock: from here on no login opens a session, and a statement of its own ends those that are.
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
-- Repeating changes nothing, and tells of nothing.
with held as materialized (
  select id, banned_until from users where tenant_id = @tenant_id and id = @user_id for no key update
), changed as (
  update users u set banned_until = null, ban_reason = null
  from held h where u.tenant_id = @tenant_id and u.id = h.id and h.banned_until is not null
  returning u.id, h.banned_until
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network)
  select @tenant_id, @event_id, 'user.unbanned', @actor, id, @request_id, @network from changed where banned_until > now()
  returning event_json(e) as event
)
select (select json_agg(event)::text from new_event) as events from held

-- name: hold_identifiers_to_erase
-- The first step of an erasure: whoever logs in by one of them waits, and then finds none.
select identifier from identifiers where tenant_id = @tenant_id and user_id = @user_id order by identifier for update

-- name: erase_asked
-- All that was asked of some identifiers, and all messages to them. The caller holds the identifiers, and a process
-- that writes down a delivery holds the message first: it is not waited for, but counted, and the erasure begins anew.
with held as materialized (
  select id from messages where tenant_id = @tenant_id and identifier = any(@identifiers::text[]) for update skip locked
), challenges_gone as (
  delete from challenges where tenant_id = @tenant_id and identifier = any(@identifiers::text[])
), links_gone as (
  delete from links where tenant_id = @tenant_id and identifier = any(@identifiers::text[])
), messages_gone as (
  delete from messages m using held h where m.tenant_id = @tenant_id and m.id = h.id
)
select (select count(*) from messages where tenant_id = @tenant_id and identifier = any(@identifiers::text[]))
  - (select count(*) from held) as busy

-- name: hold_user_to_erase
-- Nobody can give the user an identifier or a session any more.
select id from users where tenant_id = @tenant_id and id = @user_id for update

-- name: erase_user
-- The last step of an erasure. Nothing when the user was given an identifier that the first step did not hold. Of the
-- user the events keep the id, which tells nothing. A phone or address may be left behind with what was sent to it and
-- answered wrongly, and nothing else, until it is purged: who could erase an account of its own and begin anew would
-- have no limit of sends.
with erasable as materialized (
  select u.id, array(select s.id from sessions s where s.tenant_id = @tenant_id and s.user_id = u.id and s.revoked_at is null) as sessions
  from users u
  where u.tenant_id = @tenant_id and u.id = @user_id and not exists (
    select from identifiers i where i.tenant_id = @tenant_id and i.user_id = @user_id and i.identifier <> all(@identifiers::text[]))
), identifiers_gone as (
  delete from identifiers i using erasable e where not @keeps_budgets::boolean and i.tenant_id = @tenant_id and i.user_id = e.id
), identifiers_freed as (
  update identifiers i set user_id = null, code_mac = null, code_box = null, code_purpose = null, code_expires_at = null,
    challenge_ids = '{}', challenge_attempts = '{}', message_id = null
  from erasable e where @keeps_budgets and i.tenant_id = @tenant_id and i.user_id = e.id
), sessions_gone as (
  delete from sessions s using erasable e where s.tenant_id = @tenant_id and s.user_id = e.id
), gone as (
  delete from users u using erasable e where u.tenant_id = @tenant_id and u.id = e.id
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network)
  select @tenant_id, @event_id, 'user.erased', @actor, id, @request_id, @network from erasable
  returning event_json(e) as event
)
select sessions, (select json_agg(event)::text from new_event) as events from erasable

-- name: record_import
-- See the name.
insert into events as e (tenant_id, id, type, actor, subject, request_id, network, data)
values (@tenant_id, @event_id, 'users.imported', @actor, @tenant_id, @request_id, @network,
  @counts::jsonb)
returning json_build_array(event_json(e))::text as events

-- name: export_users
-- A page of all users, oldest first.
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
-- What is kept of a user's phones and addresses: of codes only how often they were sent, and answered wrongly.
select identifier, channel_of(type) as channel, sent_at, wrong_at
from identifiers where tenant_id = @tenant_id and user_id = @user_id order by identifier limit @max_rows

-- name: export_sessions
-- All sessions that are kept, ended ones too, newest first. As below, what is theirs is found before it is put in
-- order: by the order of ids a plan would walk through everybody's.
with mine as materialized (
  select * from sessions where tenant_id = @tenant_id and user_id = @user_id
)
select id, channel, device_name, user_agent, network, created_at, last_used_at, least(expires_at, idle_at) as expires_at,
  revoked_at
from mine order by id desc limit @max_rows

-- name: export_challenges
-- Newest first.
with mine as materialized (
  select * from challenges where tenant_id = @tenant_id and identifier = any(@identifiers::text[])
)
select id, identifier, status, opened_at, expires_at, closed_at from mine order by id desc limit @max_rows

-- name: export_messages
-- Newest first.
with mine as materialized (
  select * from messages where tenant_id = @tenant_id and identifier = any(@identifiers::text[])
)
select id, challenge_id, notice, identifier, channel, locale, state, provider, error, created_at, updated_at
from mine order by id desc limit @max_rows

-- name: export_events
-- Events that name a user, or what is the user's: sessions, challenges and messages. Newest first.
with mine as materialized (
  select * from events where tenant_id = @tenant_id and coalesce(data ->> 'user_id', subject) = any(@ids::text[])
)
select id, type, created_at, actor, subject, data::text from mine order by id desc limit @max_rows
