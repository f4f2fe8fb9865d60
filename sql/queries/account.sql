-- A user's own account. Whatever gives a user that exists an identifier, or takes one, first takes lock_account and then
-- locks in the order of everywhere: identifiers by their key, challenges, users, sessions. A login takes no more than the
-- row of its identifier and that of the user, in the same order, so neither ever waits for the other in a circle. A session
-- that has ended since its token was checked changes nothing: what ended it may have been a change like this one.
-- No budget of the tenant stands against a notice, and a change is free to whoever has a mailbox: of one day a phone or an
-- address is told five times, so that nobody can have more sent there. They are counted after lock_account, under which
-- alone they are written.

-- name: change_user_metadata
-- Merge the user's own metadata at the top level, unless it would become too large. Repeating is safe. With the sessions
-- whose cached entries are to be dropped. Nothing where the user or the session is gone.
-- $1 tenant_id, $2 user_id, $3 what is to be set, $4 which keys are to go, $5 bytes at most, $6 event_id, $7 session_id
with held as materialized (
  select user_metadata, (user_metadata || $3::jsonb) - $4::text[] as merged
  from users
  where tenant_id = $1 and id = $2
    and exists (select from sessions where tenant_id = $1 and id = $7 and user_id = $2 and revoked_at is null)
  for no key update
), answer as materialized (
  select merged, octet_length(merged::text) <= $5 as fits, merged <> user_metadata as changes from held
), changed as (
  update users u set user_metadata = a.merged
  from answer a where u.tenant_id = $1 and u.id = $2 and a.fits and a.changes
), told as (
  insert into events (tenant_id, id, type, actor, subject, data)
  select $1, $6, 'user.updated', $2, $2, jsonb_build_object('changed', array['user_metadata'])
  from answer where fits and changes
)
select fits, changes, merged as user_metadata,
  array(select id from sessions
    where tenant_id = $1 and user_id = $2 and revoked_at is null and least(expires_at, idle_at) > now()) as sessions
from answer

-- name: prove_identifier
-- Count an attempt and compare, as answer_challenge does; on a right code consume it and give the identifier to a user who
-- is logged in, unless it is somebody else's. The one that the user had of this channel is let go, with its own code and
-- budgets as they are. The old one, or that of the other channel where there was none, is sent a notice.
-- $1 tenant_id, $2 identifier, $3 purpose, $4 HMACs of the submitted code, one per accepted secret
-- $5 challenge_id that the caller names, or null; $6 user_id, $7 event_id
-- $8 message_id of the notice, $9 channels by which notices can go, $10 session_id
with held as materialized (
  select *, array_position(challenge_ids, $5::text) as place, (identifier like '+%') = ($2 like '+%') as same_channel
  from identifiers
  where tenant_id = $1 and (identifier = $2 or user_id = $6)
  order by identifier
  for no key update
), judged as materialized (
  select *, case
      when not live or ($5::text is not null and place is null) then 'none'
      when room <= 0 then 'exhausted'
      when $5 is null and (wrong_room <= 0 or locked) then 'locked'
      when not hits then 'wrong'
      when user_id <> $6 then 'taken'
      when user_id = $6 then 'kept'
      else 'ok' end as verdict
  from (
    select user_id, challenge_ids, place, resend_at, unnamed_locked_until, wrong_at[25] as wrong_25th_at,
      coalesce(code_mac is not null and code_expires_at > now() and code_purpose = $3, false) as live,
      code_attempts_max - coalesce(challenge_attempts[place], code_attempts) as room,
      25 - (select count(*) from unnest(wrong_at) as w where w > now() - interval '1 hour') as wrong_room,
      coalesce(unnamed_locked_until > now(), false) as locked,
      coalesce(code_mac = any($4::bytea[]), false) as hits
    from held where identifier = $2
  ) as h
), owner as materialized (
  -- Locked after the identifiers. One that was erased, banned or logged out meanwhile gets nothing.
  select id from users
  where tenant_id = $1 and id = (select $6::text from judged where verdict in ('ok', 'taken'))
    and coalesce(banned_until, '-infinity') <= now()
    and exists (select from sessions where tenant_id = $1 and id = $10 and user_id = $6 and revoked_at is null)
  for no key update
), decided as materialized (
  select j.*, case when j.verdict in ('ok', 'taken') and o.id is null then 'gone' else j.verdict end as outcome,
    (select max(p.identifier) from held p where p.user_id = $6 and p.identifier <> $2 and p.same_channel) as old,
    (select max(p.identifier) from held p where p.user_id = $6 and not p.same_channel) as other
  from judged j left join owner o on true
), counted as (
  update identifiers i set
    code_attempts = i.code_attempts + case when $5 is null then 1 else 0 end,
    challenge_attempts = case
      when d.outcome <> 'wrong' then '{}'
      when d.place is null then i.challenge_attempts
      else i.challenge_attempts[:d.place - 1] || (i.challenge_attempts[d.place] + 1)::smallint || i.challenge_attempts[d.place + 1:]
      end,
    challenge_ids = case when d.outcome <> 'wrong' then '{}' else i.challenge_ids end,
    code_mac = case when d.outcome = 'wrong' then i.code_mac end,
    code_box = case when d.outcome = 'wrong' then i.code_box end,
    resend_at = case when d.outcome = 'wrong' then i.resend_at end,
    sends = case when d.outcome = 'wrong' then i.sends else 0 end,
    wrong_at = case when d.outcome = 'wrong' and $5 is null then (now() || i.wrong_at)[1:25] else i.wrong_at end,
    wrong_streak = case when d.outcome <> 'wrong' or i.wrong_streak >= 99 then 0 else i.wrong_streak + 1 end,
    unnamed_locked_until = case
      when d.outcome = 'wrong' and i.wrong_streak >= 99 then now() + interval '24 hours' else i.unnamed_locked_until end,
    user_id = case when d.outcome = 'ok' then $6 else i.user_id end
  from decided d
  where i.tenant_id = $1 and i.identifier = $2 and d.outcome in ('ok', 'taken', 'wrong')
), let_go as (
  update identifiers i set user_id = null
  from decided d join held h on h.user_id = $6 and h.identifier <> $2 and h.same_channel
  where i.tenant_id = $1 and i.identifier = h.identifier and d.outcome = 'ok'
), closed as (
  update challenges c set
    status = case
      when d.outcome = 'wrong' then 'exhausted'
      when c.id = coalesce($5, d.challenge_ids[1]) then 'answered'
      else 'cancelled' end,
    closed_at = now()
  from decided d
  where c.tenant_id = $1 and c.status = 'open'
    and (d.outcome in ('ok', 'taken') and c.id = any(d.challenge_ids)
      or d.outcome = 'wrong' and d.room = 1 and c.id = $5)
), notified as (
  insert into messages (tenant_id, id, identifier, channel, notice)
  select $1, $8, coalesce(old, other), to_channel,
    case when $2 like '+%' then 'phone' else 'email' end || case when old is null then '_added' else '_changed' end
  from decided, lateral (select case when coalesce(old, other) like '+%' then 'sms' else 'email' end as to_channel) as t
  where outcome = 'ok' and coalesce(old, other) is not null and to_channel = any($9::text[]) and 5 > (
    select count(*) from messages m
    where m.tenant_id = $1 and m.identifier = coalesce(old, other) and m.notice is not null
      and m.created_at > now() - interval '1 day')
), answer as materialized (
  select coalesce(d.outcome, 'none') as verdict, coalesce($5, d.challenge_ids[1]) as challenge_id, d.old is not null as replaces,
    greatest(case when $5 is null then least(d.room, d.wrong_room) else d.room end - 1, 0)::int as attempts_remaining,
    -- When waiting helps: until the next code, or until the unnamed may answer again.
    ceil(extract(epoch from case d.outcome
      when 'exhausted' then d.resend_at
      when 'locked' then greatest(d.unnamed_locked_until, d.wrong_25th_at + interval '1 hour') end - now()))::int as retry_after
  from (select 1) as one left join decided d on true
), told as (
  insert into events (tenant_id, id, type, actor, subject, data)
  select $1, $7,
    case
      when verdict = 'wrong' then 'attempt.wrong'
      when verdict = 'taken' then 'identifier.refused'
      when replaces then 'identifier.changed'
      else 'identifier.added' end,
    $6, case when verdict = 'wrong' then challenge_id else $6 end,
    case when verdict = 'wrong' then jsonb_build_object('attempts_remaining', attempts_remaining)
      else jsonb_build_object('channel', case when $2 like '+%' then 'sms' else 'email' end, 'challenge_id', challenge_id) end
  from answer where verdict in ('ok', 'taken', 'wrong')
)
select verdict, challenge_id, verdict = 'ok' and replaces as replaces, attempts_remaining, retry_after from answer

-- name: find_proof
-- After a lost COMMIT: what did prove_identifier decide? Each verdict that changes anything is an event, under our id.
-- With the sessions that ended in that transaction: both moments are its beginning.
-- $1 tenant_id, $2 event_id, $3 user_id
select
  case type when 'attempt.wrong' then 'wrong' when 'identifier.refused' then 'taken' else 'ok' end as verdict,
  data ->> 'challenge_id' as challenge_id, type = 'identifier.changed' as replaces,
  (data ->> 'attempts_remaining')::int as attempts_remaining, null::int as retry_after,
  array(select s.id from sessions s where s.tenant_id = $1 and s.user_id = $3 and s.revoked_at = e.created_at) as ended
from events e where tenant_id = $1 and id = $2

-- name: remove_identifier
-- Take an identifier from its user, who keeps another one, which is sent a notice. Its own code and budgets stay.
-- $1 tenant_id, $2 user_id, $3 channel, $4 event_id, $5 message_id of the notice, $6 channels by which notices can go
-- $7 session_id
with held as materialized (
  select identifier, case when identifier like '+%' then 'sms' else 'email' end as channel
  from identifiers
  where tenant_id = $1 and user_id = $2
  order by identifier
  for no key update
), owner as materialized (
  -- Locked after the identifiers, so that the sessions of logins that were faster are seen by the next statement.
  select id from users
  where tenant_id = $1 and id = (select $2::text from held where channel = $3 limit 1)
    and exists (select from sessions where tenant_id = $1 and id = $7 and user_id = $2 and revoked_at is null)
  for no key update
), answer as materialized (
  select case
    when not exists (select from held where channel = $3) then 'none'
    when not exists (select from held where channel <> $3) then 'last'
    when not exists (select from owner) then 'gone'
    else 'ok' end as verdict
), let_go as (
  update identifiers i set user_id = null
  from held h join answer a on a.verdict = 'ok'
  where i.tenant_id = $1 and i.identifier = h.identifier and h.channel = $3
), notified as (
  insert into messages (tenant_id, id, identifier, channel, notice)
  select $1, $5, max(h.identifier), h.channel, case $3 when 'sms' then 'phone_removed' else 'email_removed' end
  from held h join answer a on a.verdict = 'ok'
  where h.channel <> $3 and h.channel = any($6::text[])
  group by h.channel
  having 5 > (
    select count(*) from messages m
    where m.tenant_id = $1 and m.identifier = max(h.identifier) and m.notice is not null
      and m.created_at > now() - interval '1 day')
), told as (
  insert into events (tenant_id, id, type, actor, subject, data)
  select $1, $4, 'identifier.removed', $2, $2, jsonb_build_object('channel', $3::text) from answer where verdict = 'ok'
)
select verdict from answer

-- name: end_channel_sessions
-- End a user's sessions that were opened through a channel. Runs after the statement that locked the user.
-- $1 tenant_id, $2 user_id, $3 channel, $4 event_id, $5 reason
with ended as (
  update sessions set revoked_at = now()
  where tenant_id = $1 and user_id = $2 and channel = $3 and revoked_at is null
  returning id
), told as (
  insert into events (tenant_id, id, type, actor, subject, data)
  select $1, $4, 'user.logged_out', $2, $2, jsonb_build_object('sessions', n, 'reason', $5::text)
  from (select count(*) as n from ended) as counted where n > 0
)
select id from ended

-- name: account_after
-- After the statements of a change: the user's live sessions, whose cached entries are to be dropped; and whether a tenant
-- gave the user one more of the channel at the same moment, unseen, so that the change is to be rolled back.
-- $1 tenant_id, $2 user_id, $3 channel
select
  array(select id from sessions
    where tenant_id = $1 and user_id = $2 and revoked_at is null and least(expires_at, idle_at) > now()) as sessions,
  (select count(*) > 1 from identifiers
    where tenant_id = $1 and user_id = $2 and (identifier like '+%') = ($3 = 'sms')) as crowded
