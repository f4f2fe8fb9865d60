-- Sessions after they have been opened: checked, refreshed, listed and ended. A session is live while it is neither
-- revoked nor past its end nor unused for too long, and was not opened before its tenant ended all of them.

-- name: find_session
-- A live session and its user, as checking a token needs them.
-- $1 tenant_id, $2 session_id
select s.user_id, s.channel, extract(epoch from s.created_at)::float8 as opened_at,
  extract(epoch from least(s.expires_at, s.idle_at))::float8 as ends_at,
  i.phone, i.email, u.created_at, u.last_login_at, u.metadata, u.user_metadata
from sessions s
join users u on u.tenant_id = s.tenant_id and u.id = s.user_id
join tenants t on t.id = split_part(s.tenant_id, ':', 1)
cross join lateral (
  select max(identifier) filter (where type = 'phone') as phone,
    max(identifier) filter (where type = 'email') as email
  from identifiers where tenant_id = s.tenant_id and user_id = s.user_id
) as i
where s.tenant_id = $1 and s.id = $2 and s.revoked_at is null and least(s.expires_at, s.idle_at) > now()
  and s.created_at >= t.sessions_from and coalesce(u.banned_until, '-infinity') <= now()

-- name: user_exists
-- $1 tenant_id, $2 user_id
select 1 from users where tenant_id = $1 and id = $2

-- name: refresh_session
-- Rotate a session's refresh token, once. A token that was exchanged within the grace period gets the live one, however
-- many came after it: responses can be lost in a row. A token that is used later was copied, and revokes the session. A
-- number ahead of the row's was issued by a commit that a restored backup does not contain. Repeating is safe. No row
-- where there is no such session.
-- $1 tenant_id, $2 session_id, $3 number of the token, $4 grace in seconds, $5 idle life in seconds
-- $6 event_id, $7 actor
with held as materialized (
  select s.*, case
      when s.revoked_at is not null or s.created_at < t.sessions_from then 'revoked'
      when least(s.expires_at, s.idle_at) <= now() then 'revoked'
      when $3::int >= s.refreshes then 'rotated'
      -- An older release writes refreshed_at only, so the last rotation is read from there.
      when case when $3 = s.refreshes - 1 then s.refreshed_at else s.rotated_at[s.refreshes - $3] end
        > now() - $4::int * interval '1 s' then 'repeated'
      else 'reused' end as verdict
  from sessions s join tenants t on t.id = split_part(s.tenant_id, ':', 1)
  where s.tenant_id = $1 and s.id = $2
  for no key update of s
), rotated as (
  update sessions s set refreshes = $3 + 1, refreshed_at = now(), last_used_at = now(),
    rotated_at = case when $3 = s.refreshes then (now() || s.rotated_at)[1:20] else array[now()] end,
    idle_at = least(now() + $5::int * interval '1 s', s.expires_at)
  from held h where s.tenant_id = $1 and s.id = $2 and h.verdict = 'rotated'
), ended as (
  update sessions s set revoked_at = now()
  from held h where s.tenant_id = $1 and s.id = $2 and h.verdict = 'reused'
), told as (
  insert into events (tenant_id, id, type, actor, subject, data)
  select $1, $6, 'session.revoked', $7, $2, jsonb_build_object('user_id', user_id, 'reason', 'token_reused')
  from held where verdict = 'reused'
)
select h.verdict, case h.verdict when 'rotated' then $3 + 1 else h.refreshes end as number, h.user_id, h.channel,
  (select max(identifier) from identifiers i
   where i.tenant_id = $1 and i.user_id = h.user_id and channel_of(i.type) = h.channel) as identifier
from held h

-- name: list_sessions
-- A user's live sessions, newest first.
-- $1 tenant_id, $2 user_id, $3 before this id (empty: from the newest), $4 how many
select s.id, s.channel, s.device_name, s.user_agent, s.network, s.created_at, s.last_used_at, least(s.expires_at, s.idle_at) as expires_at
from sessions s join tenants t on t.id = split_part(s.tenant_id, ':', 1)
where s.tenant_id = $1 and s.user_id = $2 and ($3 = '' or s.id < $3) and s.revoked_at is null
  and least(s.expires_at, s.idle_at) > now() and s.created_at >= t.sessions_from
order by s.id desc limit $4

-- name: end_session
-- Repeating changes nothing, and tells of nothing. Nothing where the user has no such session.
-- $1 tenant_id, $2 session_id, $3 user_id, $4 event_id, $5 actor, $6 reason
with held as (
  select id, user_id, revoked_at from sessions where tenant_id = $1 and id = $2 and user_id = $3 for no key update
), ended as (
  update sessions s set revoked_at = now()
  from held h where s.tenant_id = $1 and s.id = h.id and h.revoked_at is null
  returning s.id
), told as (
  insert into events (tenant_id, id, type, actor, subject, data)
  select $1, $4, 'session.revoked', $5, e.id, jsonb_build_object('user_id', $3::text, 'reason', $6::text) from ended e
)
select exists (select from ended) as changed from held

-- name: end_user_sessions
-- End a user's sessions but one. What ended is to be dropped from the cache. A ban or an erasure runs this as a statement
-- of its own, after the one that locked the user: only so it sees the sessions of logins that were faster.
-- $1 tenant_id, $2 user_id, $3 session_id to keep, or null, $4 event_id, or null to tell nothing, $5 actor, $6 reason
with ended as (
  update sessions set revoked_at = now()
  where tenant_id = $1 and user_id = $2 and revoked_at is null and id is distinct from $3::text
  returning id
), told as (
  insert into events (tenant_id, id, type, actor, subject, data)
  select $1, $4, 'user.sessions_revoked', $5, $2, jsonb_build_object('sessions', n, 'reason', $6::text)
  from (select count(*) as n from ended) as counted where n > 0 and $4::text is not null
)
select id from ended

-- name: list_just_ended
-- Of a user: the sessions that may still be believed in somewhere. Whoever ended them may have died before telling, or not
-- have heard that it was committed; what is then repeated finds nothing left to end, and has to tell all the same.
-- $1 tenant_id, $2 user_id, $3 within so many seconds
select id from sessions where tenant_id = $1 and user_id = $2 and revoked_at > now() - $3::int * interval '1 s'

-- name: end_surplus_sessions
-- End the oldest of a user's sessions beyond a number. Each login asks this after its own commit, so whoever asks last has
-- seen all of them.
-- $1 tenant_id, $2 user_id, $3 how many may be
update sessions set revoked_at = now()
where tenant_id = $1 and revoked_at is null and id in (
  select id from sessions
  where tenant_id = $1 and user_id = $2 and revoked_at is null and least(expires_at, idle_at) > now()
  order by id desc offset $3)
returning id

-- name: end_all_sessions
-- End the sessions of all of a tenant's users, in the sandbox too. $1 tenant_id, $2 event_id, $3 actor
with changed as (
  update tenants set sessions_from = now() where id = $1 and deleted_at is null returning id
), told as (
  insert into events (tenant_id, id, type, actor, subject)
  select id, $2, 'tenant.sessions_revoked', $3, id from changed
)
select id from changed
