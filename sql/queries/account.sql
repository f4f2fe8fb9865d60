-- A user's own account. A change of a user's identifiers first locks the account, then rows in one order: identifiers by
-- their key, challenges, users, sessions. A login locks only its identifier and its user, in the same order, so there are
-- no deadlocks. A session that was revoked after the check of its token changes nothing, because a concurrent change may
-- have revoked it. sql/functions/prove_identifier.sql verifies a new identifier.

-- name: change_user_metadata
-- Merge the user's own metadata at the top level, unless it would become too large. Returns the
-- sessions with stale cache entries. No row if the user or the session has ended.
with locked_user as materialized (
  select user_metadata, (user_metadata || @changes::jsonb) - @removed::text[] as merged
  from users
  where tenant_id = @tenant_id and id = @user_id
    and exists (select from sessions where tenant_id = @tenant_id and id = @session_id and user_id = @user_id and revoked_at is null)
  for no key update
), decision as materialized (
  select merged, octet_length(merged::text) <= @max_bytes as fits, merged <> user_metadata as changes from locked_user
), updated as (
  update users u set user_metadata = d.merged
  from decision d where u.tenant_id = @tenant_id and u.id = @user_id and d.fits and d.changes
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network, data)
  select @tenant_id, @event_id, 'user.updated', @actor, @user_id, @request_id, @network,
    jsonb_build_object('changed', array['user_metadata'])
  from decision where fits and changes
  returning event_json(e) as event
)
select fits, merged::text as user_metadata,
  array(select id from sessions
    where tenant_id = @tenant_id and user_id = @user_id and revoked_at is null and least(expires_at, idle_at) > now()) as sessions,
  (select json_agg(event)::text from new_event) as events
from decision

-- name: find_metadata_change
-- After a lost commit: what change_user_metadata changed, if it did. A later change may have followed.
select true as fits, u.user_metadata::text as user_metadata,
  array(select s.id from sessions s
    where s.tenant_id = @tenant_id and s.user_id = @user_id and s.revoked_at is null
      and least(s.expires_at, s.idle_at) > now()) as sessions,
  json_build_array(event_json(e))::text as events
from events e join users u on u.tenant_id = e.tenant_id and u.id = @user_id
where e.tenant_id = @tenant_id and e.id = @event_id

-- name: find_proof
-- After a lost commit: what prove_identifier decided. Each verdict that changes anything is an event under our id. The
-- sessions that it revoked have its time.
select
  case e.type when 'challenge.attempt_failed' then 'wrong' when 'identifier.conflict' then 'taken' else 'ok' end as verdict,
  case when e.type = 'challenge.attempt_failed' then e.subject else e.data ->> 'challenge_id' end as challenge_id,
  (e.data ->> 'attempts_remaining')::int as attempts_remaining, null::int as retry_after,
  array(select s.id from sessions s
    where s.tenant_id = @tenant_id and s.user_id = @user_id and s.revoked_at = e.created_at) as revoked_sessions,
  array(select s.id from sessions s
    where s.tenant_id = @tenant_id and s.user_id = @user_id and s.revoked_at is null
      and least(s.expires_at, s.idle_at) > now()) as live_sessions,
  (select json_agg(event_json(o) order by o.id)::text from events o
   where o.tenant_id = @tenant_id and o.id in (@event_id, @other_event_id)) as events
from events e where e.tenant_id = @tenant_id and e.id = @event_id

-- name: remove_identifier
-- Remove an identifier from its user, and queue a notice to the user's other one: at most five a day, because no budget
-- limits notices. The code and the budgets of the identifier stay.
with locked_identifier as materialized (
  select identifier, type, channel_of(type) as channel
  from identifiers
  where tenant_id = @tenant_id and user_id = @user_id
  order by identifier
  for no key update
), locked_user as materialized (
  -- Locked after the identifiers, so that the next statement sees the sessions of concurrent logins.
  select id from users
  where tenant_id = @tenant_id and id = (select @user_id::text from locked_identifier where type = @type limit 1)
    and exists (select from sessions where tenant_id = @tenant_id and id = @session_id and user_id = @user_id and revoked_at is null)
  for no key update
), decision as materialized (
  select case
    when not exists (select from locked_identifier where type = @type) then 'none'
    when not exists (select from locked_identifier where type <> @type) then 'last'
    when not exists (select from locked_user) then 'gone'
    else 'ok' end as verdict
), released as (
  update identifiers i set user_id = null
  from locked_identifier l join decision d on d.verdict = 'ok'
  where i.tenant_id = @tenant_id and i.identifier = l.identifier and l.type = @type
), notified as (
  insert into messages (tenant_id, id, identifier, channel, notice)
  select @tenant_id, @notice_id, max(l.identifier), l.channel, @type || '_removed'
  from locked_identifier l join decision d on d.verdict = 'ok'
  where l.type <> @type and l.channel = any(@notice_channels::text[])
  group by l.channel
  having 5 > (
    select count(*) from messages m
    where m.tenant_id = @tenant_id and m.identifier = max(l.identifier) and m.notice is not null
      and m.created_at > now() - interval '1 day')
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network, data)
  select @tenant_id, @event_id, 'identifier.removed', @actor, @user_id, @request_id, @network,
    jsonb_build_object('channel', channel_of(@type::text))
  from decision where verdict = 'ok'
  returning event_json(e) as event
)
select verdict, (select json_agg(event)::text from new_event) as events from decision

-- name: revoke_channel_sessions
-- End a user's sessions that were opened through a channel. Runs after the statement that locked the user.
with revoked as (
  update sessions set revoked_at = now()
  where tenant_id = @tenant_id and user_id = @user_id and channel = @channel and revoked_at is null
  returning id
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network, data)
  select @tenant_id, @event_id, 'user.sessions_revoked', @actor, @user_id, @request_id, @network,
    jsonb_build_object('sessions', n, 'reason', @reason::text)
  from (select count(*) as n from revoked) as counted where n > 0
  returning event_json(e) as event
)
select array(select id from revoked) as sessions, (select json_agg(event)::text from new_event) as events

-- name: account_after
-- After the statements of a change: the user's live sessions, which have stale cache entries; and whether a concurrent
-- change by the tenant added a second identifier of a type, so that the change must be rolled back.
select
  array(select id from sessions
    where tenant_id = @tenant_id and user_id = @user_id and revoked_at is null and least(expires_at, idle_at) > now()) as sessions,
  exists (select from identifiers where tenant_id = @tenant_id and user_id = @user_id
    group by type having count(*) > 1) as is_crowded
