-- List and end sessions. Checks and refreshes are functions (sql/functions/find_sessions.sql, refresh_sessions.sql). A
-- session is live unless it is revoked, expired or idle for too long, or was opened before its tenant ended all sessions.

-- name: user_exists
-- Return whether a tenant has a user of this id.
select 1 from users where tenant_id = @tenant_id and id = @user_id

-- name: list_sessions
-- A user's live sessions, newest first. Here and below, the sessions of the user are selected before they are sorted:
-- otherwise a plan by the order of ids would read the sessions of all users.
with mine as materialized (
  select * from sessions where tenant_id = @tenant_id and user_id = @user_id and revoked_at is null
)
select s.id, s.channel, s.device_name, s.user_agent, s.network, s.created_at, s.last_used_at, least(s.expires_at, s.idle_at) as expires_at
from mine s join tenants t on t.id = split_part(s.tenant_id, ':', 1)
where (@before = '' or s.id < @before) and least(s.expires_at, s.idle_at) > now() and s.created_at >= t.sessions_from
order by s.id desc limit @max_rows

-- name: show_session
-- One live session of a user. It is selected by its key, not as one of all sessions of the user.
with named as materialized (
  select * from sessions where tenant_id = @tenant_id and id = @session_id
)
select s.id, s.channel, s.device_name, s.user_agent, s.network, s.created_at, s.last_used_at, least(s.expires_at, s.idle_at) as expires_at
from named s join tenants t on t.id = split_part(s.tenant_id, ':', 1)
where s.user_id = @user_id and s.revoked_at is null and least(s.expires_at, s.idle_at) > now() and s.created_at >= t.sessions_from

-- name: end_session
-- End a session. Repeating changes nothing, and writes no event. No row for an unknown session.
with locked as (
  select id, user_id, revoked_at from sessions where tenant_id = @tenant_id and id = @session_id and user_id = @user_id for no key update
), ended as (
  update sessions s set revoked_at = now()
  from locked l where s.tenant_id = @tenant_id and s.id = @session_id and l.revoked_at is null
  returning s.id
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network, data)
  select @tenant_id, @event_id, 'session.revoked', @actor, e.id, @request_id, @network, jsonb_build_object('user_id', @user_id::text, 'reason', @reason::text) from ended e
  returning event_json(e) as event
)
select (select json_agg(event)::text from new_event) as events from locked

-- name: end_user_sessions
-- End a user's sessions but one. Returns the ended ones, which the caller drops from the cache. A ban or an erasure runs
-- this as a second statement after the one that locked the user, so that it sees the sessions of concurrent logins.
with ended as (
  update sessions set revoked_at = now()
  where tenant_id = @tenant_id and user_id = @user_id and revoked_at is null and id is distinct from @keep::text
  returning id
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network, data)
  select @tenant_id, @event_id, 'user.sessions_revoked', @actor, @user_id, @request_id, @network, jsonb_build_object('sessions', n, 'reason', @reason::text)
  from (select count(*) as n from ended) as counted where n > 0 and @event_id::text is not null
  returning event_json(e) as event
)
select array(select id from ended) as sessions, (select json_agg(event)::text from new_event) as events

-- name: list_just_ended
-- The recently ended sessions of a user, which caches may still contain. The process that ended them may have crashed
-- before it updated the cache, or may not know of its commit. A repetition ends nothing, but must update the cache.
select id from sessions where tenant_id = @tenant_id and user_id = @user_id and revoked_at > now() - @within_s::int * interval '1 s'

-- name: end_surplus_sessions
-- End the oldest of a user's sessions beyond a number. Each login runs this after its commit, so the last one sees all
-- sessions.
with mine as materialized (
  select id from sessions
  where tenant_id = @tenant_id and user_id = @user_id and revoked_at is null and least(expires_at, idle_at) > now()
)
update sessions set revoked_at = now()
where tenant_id = @tenant_id and id = any(array(select id from mine order by id desc offset @max_sessions)) and revoked_at is null
returning id

-- name: end_all_sessions
-- End the sessions of all of a tenant's users, in the sandbox too.
with changed as (
  update tenants set sessions_from = now() where id = @tenant_id and deleted_at is null returning id
), queued as (
  insert into logout_messages (tenant_id, session_id, client_id, user_id)
  select scope, '', '', '' from changed cross join unnest(array[id, id || ':test']) as scope
  where exists (select from applications a where a.tenant_id = changed.id and a.backchannel_logout_uri is not null)
  on conflict (tenant_id, session_id, client_id) do update set user_id = '', due_at = now()
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network)
  select id, @event_id, 'tenant.sessions_revoked', @actor, id, @request_id, @network from changed
  returning event_json(e) as event
)
select (select json_agg(event)::text from new_event) as events from changed

-- name: find_refresh
-- After a lost commit: whether refresh_sessions revoked the session, because its token was used again.
select s.tenant_id, s.id as session_id, 'reused' as verdict, s.refreshes as number, s.user_id, s.channel, null::text as identifier,
  json_build_array(event_json(e))::text as events
from events e join sessions s on s.tenant_id = e.tenant_id and s.id = e.subject
where e.tenant_id = @tenant_id and e.id = @event_id and s.id = @session_id

-- name: find_browser_session
-- A live session of a browser, with the identifier of its channel. It counts as used, at most once in five minutes.
with live as materialized (
  select s.tenant_id, s.id, s.user_id, s.channel, s.amr, s.acr, s.last_used_at,
    coalesce(s.authenticated_at, s.created_at) as authenticated_at
  from (select * from sessions where tenant_id = @tenant_id and id = @session_id limit 1) as s
  cross join lateral (select * from users where tenant_id = s.tenant_id and id = s.user_id limit 1) as u
  join tenants t on t.id = split_part(s.tenant_id, ':', 1)
  where s.kind = 'browser' and s.revoked_at is null and least(s.expires_at, s.idle_at) > now()
    and s.created_at >= t.sessions_from and coalesce(u.banned_until, '-infinity') <= now()
), used as (
  update sessions s set last_used_at = now(), idle_at = now() + @idle_after::int * interval '1 s'
  from live l
  where s.tenant_id = @tenant_id and s.tenant_id = l.tenant_id and s.id = l.id and l.last_used_at < now() - interval '5 minutes'
)
select l.id as session_id, l.user_id, l.channel, i.identifier, l.amr, l.acr::int as acr,
  extract(epoch from l.authenticated_at)::float8 as authenticated_at
from live l
left join lateral (
  select identifier from identifiers
  where tenant_id = l.tenant_id and user_id = l.user_id and type = case l.channel when 'sms' then 'phone' else 'email' end
  limit 1
) as i on true
