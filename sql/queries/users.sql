-- A tenant's users, as whoever manages it sees them. Whatever changes which identifiers a user has takes lock_account
-- first; then rows are locked in one order everywhere: identifiers, challenges, links, users, sessions. What a statement
-- has to wait for it does not see, so a lock and what is decided under it are two statements of one transaction wherever
-- the second reads what the first waited for. A ban that has ended is shown as none, and the end of one that has no end as
-- the last second that every program can write.

-- name: lock_account
-- Lock the set of a user's identifiers until the end of the transaction. A row lock is not enough: an identifier that the
-- user gets meanwhile is in no snapshot that is older than the wait for its row. $1 tenant_id, $2 user_id
select pg_advisory_xact_lock(hashtextextended($1::text || ' ' || $2::text, 6001))

-- name: list_users
-- Newest first. $1 tenant_id, $2 before this id (empty: from the newest), $3 how many
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
where u.tenant_id = $1 and u.id < coalesce(nullif($2, ''), '~')
order by u.id desc limit $3

-- name: find_users
-- The users of some ids, in no order. $1 tenant_id, $2 ids
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
where u.tenant_id = $1 and u.id = any($2::text[])

-- name: find_user_by_identifier
-- $1 tenant_id, $2 identifier
select user_id as id from identifiers where tenant_id = $1 and identifier = $2 and user_id is not null

-- name: find_user_by_external_id
-- $1 tenant_id, $2 external_id
select id from users where tenant_id = $1 and external_id = $2

-- name: find_users_by_prefix
-- Whose phone, email or external id begins so, in the order of these: two ranges of two indexes, read as far as the page
-- goes. Somebody of whom several begin so is found by the first of them alone.
-- $1 tenant_id, $2 first and $3 last of the range of identifiers, $4 first and $5 last of that of external ids
-- $6 after this text (empty: from the first), $7 and whether that was an external id (0 or 1), $8 how many
select found, kind, id from (
  (select i.identifier as found, 0 as kind, i.user_id as id
   from identifiers i
   where i.tenant_id = $1 and i.identifier >= $2 and i.identifier < $3 and i.identifier > $6 and i.user_id is not null
     and not exists (
       select from identifiers o where o.tenant_id = $1 and o.user_id = i.user_id
         and o.identifier >= $2 and o.identifier < i.identifier)
     and not exists (
       select from users u where u.tenant_id = $1 and u.id = i.user_id
         and u.external_id >= $4 and u.external_id < $5 and u.external_id < i.identifier)
   order by i.identifier limit $8)
  union all
  (select u.external_id, 1, u.id
   from users u
   where u.tenant_id = $1 and u.external_id >= $4 and u.external_id < $5
     and u.external_id >= $6 and (u.external_id > $6 or $7::int = 0)
     and not exists (
       select from identifiers o where o.tenant_id = $1 and o.user_id = u.id
         and o.identifier >= $2 and o.identifier < $3 and o.identifier <= u.external_id)
   order by u.external_id limit $8)
) as matches
order by found, kind limit $8

-- name: find_recent_users_by_metadata
-- Among the newest some, whose metadata holds something: enough for a page of what many have. Tells among how many it
-- has looked: fewer than it might have, and there are no more.
-- $1 tenant_id, $2 metadata, $3 before this id (empty: from the newest), $4 among how many, $5 how many
with recent as materialized (
  select id, metadata from users where tenant_id = $1 and id < coalesce(nullif($3, ''), '~') order by id desc limit $4
)
select array(select id from recent where metadata @> $2 order by id desc limit $5) as ids,
  (select count(*) from recent) as looked

-- name: find_users_by_metadata
-- Whose metadata holds something, by its index: for what few have. Newest first.
-- $1 tenant_id, $2 metadata, $3 before this id (empty: from the newest), $4 how many
with matching as materialized (
  select id from users
  where jsonb_set('{}', array[tenant_id], metadata) @> jsonb_set('{}', array[$1::text], $2::jsonb) and tenant_id = $1
)
select id from matching where id < coalesce(nullif($3, ''), '~') order by id desc limit $4

-- name: hold_owners
-- Lock what is known already of some identifiers, in order, and tell whose they are; and who has some external ids. Each is
-- looked up on its own: a table that grows by thousands of rows a second has no statistics to plan anything better by.
-- $1 tenant_id, $2 identifiers, $3 external ids
with held as materialized (
  select i.identifier, i.user_id
  from (select name from unnest($2::text[]) as n(name) order by name collate "C") as wanted
  cross join lateral (
    select identifier, user_id from identifiers where tenant_id = $1 and identifier = wanted.name for no key update
  ) as i
)
select h.identifier as name, h.user_id,
  (select u.external_id from users u where u.tenant_id = $1 and u.id = h.user_id) as external_id, false as is_external
from held h
union all
select u.external_id, u.id, u.external_id, true
from unnest($3::text[]) as wanted(name)
cross join lateral (select external_id, id from users where tenant_id = $1 and external_id = wanted.name limit 1) as u

-- name: make_users
-- Make users with their identifiers, after hold_owners has found none of them anybody's. An identifier that was asked for
-- before keeps its budgets and its live code. Tells how many identifiers could be had: fewer than were wanted when
-- somebody was faster, and then all of it is to be taken back.
-- $1 tenant_id, $2 ids, $3 external ids, $4 metadata, $5 user_metadata, $6 created_at or null, $7 banned_until,
-- $8 ban_reason; $9, $10 and $13 user ids and their identifiers and types, one by one; $11 event_id of user.created, or
-- null to tell nothing, $12 actor; $14 and $15 unverified phones and emails
with claimed as (
  insert into identifiers as i (tenant_id, identifier, type, user_id)
  select $1, c.identifier, c.type, c.user_id
  from unnest($9::text[], $10::text[], $13::text[]) as c(user_id, identifier, type) order by c.identifier
  on conflict (tenant_id, identifier) do update set user_id = excluded.user_id where i.user_id is null
  returning i.identifier
), counted as materialized (
  select count(*) as n from claimed
), made as (
  insert into users (
    tenant_id, id, external_id, metadata, user_metadata, created_at, banned_until, ban_reason, unverified_phone,
    unverified_email)
  select $1, g.id, g.external_id, g.metadata::jsonb, g.user_metadata::jsonb, coalesce(g.created_at, now()),
    case when g.banned_until < '9999-01-01' then g.banned_until when g.banned_until is not null then 'infinity' end,
    g.ban_reason, g.unverified_phone, g.unverified_email
  from counted,
    unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[], $8::text[], $14::text[],
      $15::text[])
    as g(id, external_id, metadata, user_metadata, created_at, banned_until, ban_reason, unverified_phone,
      unverified_email)
  where counted.n >= 0  -- the identifiers first
  order by g.external_id
  returning id
), told as (
  insert into events (tenant_id, id, type, actor, subject)
  select $1, $11, 'user.created', $12, id from made where $11::text is not null
)
select (select count(*) from made) as made, n as claimed from counted

-- name: hold_user_identifiers
-- Lock a user's identifiers and those it is to get, made where there are none, in one order; and tell whose each is.
-- $1 tenant_id, $2 user_id, $3 identifiers it is to get and $4 their types
insert into identifiers as i (tenant_id, identifier, type)
select $1, w.identifier, w.type from (
  select identifier collate "C" as identifier, type from unnest($3::text[], $4::text[]) as g(identifier, type)
  union select identifier, type from identifiers where tenant_id = $1 and user_id = $2
) as w
order by w.identifier
on conflict (tenant_id, identifier) do update set tenant_id = excluded.tenant_id
returning i.identifier, i.user_id, i.type

-- name: cancel_user_challenges
-- Nobody may answer what was asked of an identifier that is a user's no more. The caller holds its lock.
-- $1 tenant_id, $2 identifiers
update challenges set status = 'cancelled', closed_at = now()
where tenant_id = $1 and identifier = any($2::text[]) and status = 'open'

-- name: hold_user
-- Lock a user, and read what a change is merged with. $1 tenant_id, $2 user_id
select metadata::text, user_metadata::text, external_id from users where tenant_id = $1 and id = $2 for no key update

-- name: update_user
-- After hold_user_identifiers and hold_user: everything about the user is as it will be. Released identifiers keep their
-- budgets, and lose their live code.
-- $1 tenant_id, $2 user_id, $3 metadata, $4 user_metadata, $5 external_id
-- $6 identifiers it gets, $7 identifiers it loses, $8 event_id, $9 actor, $10 names of what changed
with released as (
  update identifiers set user_id = null, code_mac = null, code_box = null, challenge_ids = '{}', challenge_attempts = '{}'
  where tenant_id = $1 and user_id = $2 and identifier = any($7::text[])
), claimed as (
  update identifiers set user_id = $2
  where tenant_id = $1 and identifier = any($6::text[]) and user_id is null
), changed as (
  update users set metadata = $3, user_metadata = $4, external_id = $5 where tenant_id = $1 and id = $2 returning id
), told as (
  insert into events (tenant_id, id, type, actor, subject, data)
  select $1, $8, 'user.updated', $9, id, jsonb_build_object('changed', $10::text[]) from changed
)
select id from changed

-- name: list_live_sessions
-- The sessions whose cached user is stale once the user has changed. $1 tenant_id, $2 user_id
select id from sessions where tenant_id = $1 and user_id = $2 and revoked_at is null and least(expires_at, idle_at) > now()

-- name: ban_user
-- Mark a user, under its lock: from here on no login opens a session, and a statement of its own ends those that are.
-- $1 tenant_id, $2 user_id, $3 until (null: for good), $4 reason, $5 event_id, $6 actor
with changed as (
  update users set banned_until = coalesce($3, 'infinity'::timestamptz), ban_reason = $4
  where tenant_id = $1 and id = $2
  returning id, banned_until
), told as (
  insert into events (tenant_id, id, type, actor, subject, data)
  select $1, $5, 'user.banned', $6, id,
    jsonb_build_object('until', case when banned_until < 'infinity' then banned_until end)
  from changed
)
select id from changed

-- name: unban_user
-- Repeating changes nothing, and tells of nothing. $1 tenant_id, $2 user_id, $3 event_id, $4 actor
with held as materialized (
  select id, banned_until from users where tenant_id = $1 and id = $2 for no key update
), changed as (
  update users u set banned_until = null, ban_reason = null
  from held h where u.tenant_id = $1 and u.id = h.id and h.banned_until is not null
  returning u.id, h.banned_until
), told as (
  insert into events (tenant_id, id, type, actor, subject)
  select $1, $3, 'user.unbanned', $4, id from changed where banned_until > now()
)
select exists (select from changed where banned_until > now()) as changed from held

-- name: hold_identifiers_to_erase
-- The first step of an erasure: whoever logs in by one of them waits, and then finds none.
-- $1 tenant_id, $2 user_id
select identifier from identifiers where tenant_id = $1 and user_id = $2 order by identifier for update

-- name: erase_asked
-- All that was asked of some identifiers, and all messages to them. The caller holds the identifiers, and a process that
-- writes down a delivery holds the message first: it is not waited for, but counted, and the erasure begins anew.
-- $1 tenant_id, $2 identifiers
with held as materialized (
  select id from messages where tenant_id = $1 and identifier = any($2::text[]) for update skip locked
), challenges_gone as (
  delete from challenges where tenant_id = $1 and identifier = any($2::text[])
), links_gone as (
  delete from links where tenant_id = $1 and identifier = any($2::text[])
), messages_gone as (
  delete from messages m using held h where m.tenant_id = $1 and m.id = h.id
)
select (select count(*) from messages where tenant_id = $1 and identifier = any($2::text[]))
  - (select count(*) from held) as busy

-- name: hold_user_to_erase
-- Nobody can give the user an identifier or a session any more. $1 tenant_id, $2 user_id
select id from users where tenant_id = $1 and id = $2 for update

-- name: erase_user
-- The last step of an erasure. Nothing when the user was given an identifier that the first step did not hold. Of the
-- user the events keep the id, which tells nothing.
-- A phone or address may be left behind with what was sent to it and answered wrongly, and nothing else, until it is
-- purged: who could erase an account of its own and begin anew would have no limit of sends.
-- $1 tenant_id, $2 user_id, $3 identifiers that are held, $4 event_id, $5 actor, $6 whether budgets stay
with erasable as materialized (
  select u.id, array(select s.id from sessions s where s.tenant_id = $1 and s.user_id = u.id and s.revoked_at is null) as sessions
  from users u
  where u.tenant_id = $1 and u.id = $2 and not exists (
    select from identifiers i where i.tenant_id = $1 and i.user_id = $2 and i.identifier <> all($3::text[]))
), identifiers_gone as (
  delete from identifiers i using erasable e where not $6::boolean and i.tenant_id = $1 and i.user_id = e.id
), identifiers_freed as (
  update identifiers i set user_id = null, code_mac = null, code_box = null, code_purpose = null, code_expires_at = null,
    challenge_ids = '{}', challenge_attempts = '{}', message_id = null
  from erasable e where $6 and i.tenant_id = $1 and i.user_id = e.id
), sessions_gone as (
  delete from sessions s using erasable e where s.tenant_id = $1 and s.user_id = e.id
), gone as (
  delete from users u using erasable e where u.tenant_id = $1 and u.id = e.id
), told as (
  insert into events (tenant_id, id, type, actor, subject)
  select $1, $4, 'user.erased', $5, id from erasable
)
select sessions from erasable

-- name: record_import
-- $1 tenant_id, $2 event_id, $3 actor, $4 counts
insert into events (tenant_id, id, type, actor, subject, data)
values ($1, $2, 'users.imported', $3, $1, $4::jsonb)

-- name: export_users
-- A page of all users, oldest first. $1 tenant_id, $2 after this id, $3 how many
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
where u.tenant_id = $1 and u.id > $2
order by u.id limit $3

-- name: export_identifiers
-- What is kept of a user's phones and addresses: of codes only how often they were sent, and answered wrongly.
-- $1 tenant_id, $2 user_id, $3 how many
select identifier, channel_of(type) as channel, sent_at, wrong_at
from identifiers where tenant_id = $1 and user_id = $2 order by identifier limit $3

-- name: export_sessions
-- All sessions that are kept, ended ones too, newest first. As below, what is theirs is found before it is put in order:
-- by the order of ids a plan would walk through everybody's.
-- $1 tenant_id, $2 user_id, $3 how many
with mine as materialized (
  select * from sessions where tenant_id = $1 and user_id = $2
)
select id, channel, device_name, user_agent, network, created_at, last_used_at, least(expires_at, idle_at) as expires_at,
  revoked_at
from mine order by id desc limit $3

-- name: export_challenges
-- Newest first. $1 tenant_id, $2 identifiers, $3 how many
with mine as materialized (
  select * from challenges where tenant_id = $1 and identifier = any($2::text[])
)
select id, identifier, status, opened_at, expires_at, closed_at from mine order by id desc limit $3

-- name: export_messages
-- Newest first. $1 tenant_id, $2 identifiers, $3 how many
with mine as materialized (
  select * from messages where tenant_id = $1 and identifier = any($2::text[])
)
select id, challenge_id, notice, identifier, channel, locale, state, provider, error, created_at, updated_at
from mine order by id desc limit $3

-- name: export_events
-- Events that name a user, or what is the user's: sessions, challenges and messages. Newest first.
-- $1 tenant_id, $2 ids, $3 how many
with mine as materialized (
  select * from events where tenant_id = $1 and coalesce(data ->> 'user_id', subject) = any($2::text[])
)
select id, type, created_at, actor, subject, data::text from mine order by id desc limit $3
