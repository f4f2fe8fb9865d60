-- The main job. Each statement is one transaction and decides under the lock of one row of identifiers; the pitfalls that
-- shape them: a snapshot is older than the lock that a statement waited for, so what decides is read from the locked row
-- (RETURNING, or a CTE with FOR NO KEY UPDATE) and never from the table again; budgets are arrays in that row, not counts.
-- Rows are locked in one order everywhere: messages, idempotency, budgets, identifiers, challenges, links, users, sessions,
-- spending.

-- name: open_challenge
-- Open a challenge, or ask again over the code that is live; count the send, and queue the message, or refuse and say why.
-- Idempotent by message_id: a retry after a lost COMMIT finds its own row.
-- One after another are asked: the Idempotency-Key, whether it is ours to use; the tenant's budget of the day, whether
-- the message fits; the identifier, whether it may have one. Only who gets past all three is counted anywhere.
-- $1 tenant_id, $2 identifier, $3 channel, $4 purpose
-- $5 challenge_id for a new challenge, $6 challenge_id that the caller wants to ask again, or null
-- $7 code_mac, $8 code_box of the code to use if none is live, $9 its life in seconds, $10 its attempts
-- $11 message_id, $12 trying: the provider it is handed to at once, or null to leave it to the outbox
-- $13 sends per hour (twice that per day; 0: any number), $14 the first wait in seconds, $15 event_id, $16 actor, $17 event data
-- $18 locale of the message, or null for the tenant's own
-- $19 token_digest of the link that the message has, or null; $20 secret_digest, $21 whether it has the code, too,
-- $22 redirect_to, $23 code_challenge
-- $24 how a code_box begins that the program can open: after a change of its secret it cannot open those before
-- $25 country of the message or null, $26 its segments or null, $27 its price in microdollars
-- $28 what the tenant may spend a day in microdollars or null, $29 where it is to be told before, $30 how many messages it
-- may send a day or null, $31 event_id of budget.reached
-- $32 route, $33 digest of the Idempotency-Key or null, $34 digest of the body
with claim as (
  insert into idempotency as k (tenant_id, route, digest, body_digest, claim_id)
  select $1, $32, $33, $34, $11 where $33::bytea is not null
  on conflict (tenant_id, route, digest) do update set
    (body_digest, claim_id, claimed_at, answer_box) = (
    select
      case when ended then excluded.body_digest else k.body_digest end,
      case when ended then excluded.claim_id else k.claim_id end,
      case when ended then now() else k.claimed_at end,
      case when not ended then k.answer_box end
    from claim_has_ended(k.claimed_at, k.answer_box is not null, k.body_digest = excluded.body_digest) as ended)
  returning claim_id = $11 as mine, body_digest = $34 as same_body, answer_box
), budget as materialized (
  -- THE lock of a tenant with a budget. Of two that meet at midnight the later day holds.
  select greatest(day, today) as day, case when day >= today then messages else 0 end as messages,
    case when day >= today then microdollars else 0 end as microdollars, case when day >= today then told else '{}' end as told
  from budgets, (select (now() at time zone 'UTC')::date as today) as t
  where tenant_id = $1 and ($28::bigint is not null or $30::int is not null)
  for no key update of budgets
), room as materialized (
  -- What stands against it before the identifier is asked. Each `when` locks what it reads, so their order matters.
  select case
    when not (select mine from claim) then
      (select case when not same_body then 'reused' when answer_box is not null then 'replayed' else 'in_flight' end from claim)
    when $28::bigint is null and $30::int is null then null
    when not exists (select from budget) then 'uncounted'
    when exists (select from messages where tenant_id = $1 and id = $11) then null
    when (select messages from budget) >= $30 then 'messages'
    when $27::bigint > 0 and (select microdollars from budget) + $27 > $28 then 'money'
    end as refusal
), gate as (
  insert into identifiers as i (tenant_id, identifier, code_mac, code_box, code_purpose, code_expires_at, code_attempts_max,
    challenge_ids, challenge_attempts, message_id, sends, resend_at, sent_at)
  select $1, $2, $7, $8, $4, now() + $9::int * interval '1 s', $10::smallint,
    array[$5::text], array[0::smallint], $11, 1, now() + $14::int * interval '1 s', array[now()]
  from room where refusal is null
  on conflict (tenant_id, identifier) do update set
    (code_mac, code_box, code_purpose, code_expires_at, code_attempts, code_attempts_max,
     challenge_ids, challenge_attempts, message_id, sends, resend_at, sent_at) = (
    select
      case when opens then excluded.code_mac else i.code_mac end,
      case when opens then excluded.code_box else i.code_box end,
      case when opens then excluded.code_purpose else i.code_purpose end,
      case when opens then excluded.code_expires_at else i.code_expires_at end,
      case when opens then 0 else i.code_attempts end,
      case when opens then excluded.code_attempts_max else i.code_attempts_max end,
      case when not accepts or again then i.challenge_ids when unanswered then ($5 || i.challenge_ids)[1:10] else array[$5] end,
      case when not accepts or again then i.challenge_attempts
           when unanswered then (0::smallint || i.challenge_attempts)[1:10] else array[0::smallint] end,
      case when accepts then excluded.message_id else i.message_id end,
      case when accepts then nth else i.sends end,
      case when accepts then now() + $14::int * least(2 ^ (nth - 1), 4) * interval '1 s' else i.resend_at end,
      case when accepts then (now() || i.sent_at)[1:2 * $13::int] else i.sent_at end
    from (
      select
        -- An unanswered code keeps its challenges even when a new code takes its place, so that a stranger who spends
        -- its attempts and asks for another cannot throw out the owner, who names a challenge.
        coalesce(i.code_mac is not null and i.code_expires_at > now() and i.code_purpose = $4, false) as unanswered,
        i.message_id is distinct from excluded.message_id
          and not coalesce($14 > 0 and i.resend_at > now(), false)
          and not coalesce(i.sent_at[$13::int] > now() - interval '1 hour', false)
          and not coalesce(i.sent_at[2 * $13::int] > now() - interval '1 day', false) as accepts,
        case when i.sent_at[1] > now() - interval '1 hour' then least(i.sends + 1, 100) else 1 end as nth
    ) as d
    cross join lateral (
      select
        -- With under two minutes left the code would be stale on arrival; with no attempts left it is of no use.
        accepts and not (unanswered and i.code_expires_at > now() + interval '2 min'
          and i.code_attempts < i.code_attempts_max and substr(i.code_box, 1, 4) = any($24::bytea[])) as opens,
        unanswered and coalesce(i.challenge_attempts[array_position(i.challenge_ids, $6)] < i.code_attempts_max, false) as again
    ) as o)
  returning *
), answer as materialized (
  -- The row itself tells who won: its message is mine or it is not.
  select *, message_id = $11 as accepted, code_box = $8 as opened,
    case when $5 = any(challenge_ids) then $5 else $6 end as challenge_id,
    greatest(
      case when sent_at[$13::int] > now() - interval '1 hour' then sent_at[$13::int] + interval '1 hour' end,
      case when sent_at[2 * $13::int] > now() - interval '1 day' then sent_at[2 * $13::int] + interval '1 day' end
    ) as full_until
  from gate
), asked as (
  insert into challenges (tenant_id, id, identifier, expires_at, message_id)
  select $1, challenge_id, $2, code_expires_at, $11 from answer where accepted
  on conflict (tenant_id, id) do update set expires_at = excluded.expires_at, message_id = excluded.message_id
), extended as (
  update challenges c set expires_at = a.code_expires_at
  from answer a
  where a.accepted and a.opened and c.tenant_id = $1 and c.id = any(a.challenge_ids) and c.id <> a.challenge_id
), queued as (
  insert into messages (tenant_id, id, challenge_id, identifier, channel, locale, trying, claimed_until,
    country, segments, price_microdollars, price_source)
  select $1, $11, challenge_id, $2, $3, $18, $12, case when $12::text is not null then now() + interval '15 s' end,
    $25, $26, $27, 'estimate'
  from answer where accepted
  on conflict (tenant_id, id) do nothing
  returning id
), counted as (
  -- A sandbox sends nothing.
  insert into spending as s (tenant_id, day, country, channel, slot, messages, microdollars)
  select $1, (now() at time zone 'UTC')::date, coalesce($25, ''), $3, pg_backend_pid() % 16, 1, $27
  from queued where $1 not like '%:test'
  on conflict (tenant_id, day, country, channel, slot) do update set
    messages = s.messages + 1, microdollars = s.microdollars + excluded.microdollars
), mark as materialized (
  -- Of the marks that are reached now the one that was not told of yet, if there is one.
  select b.*, q.sent, case when r.reached <> all (b.told) then r.reached end as reached
  from budget b
  cross join (select count(*) as sent from queued) as q
  cross join lateral (
    select case when refusal in ('messages', 'money') then refusal
      when q.sent > 0 and b.microdollars + $27 >= $29 then 'soft' end as reached
    from room
  ) as r
), charged as (
  update budgets b set day = m.day, messages = m.messages + m.sent, microdollars = m.microdollars + m.sent * $27,
    told = m.told || array_remove(array[m.reached], null)
  from mark m
  where b.tenant_id = $1 and (m.sent > 0 or m.reached is not null)
), marked as (
  insert into events (tenant_id, id, type, actor, subject, data)
  select $1, $31, 'budget.reached', $16, $1, jsonb_build_object(
    'mark', case reached when 'soft' then 'soft' else 'hard' end,
    'budget', case reached when 'messages' then 'messages_per_day' else 'sms_budget_per_day' end,
    'messages', messages + sent, 'dollars', round((microdollars + sent * $27) / 1000000.0, 6))
  from mark where reached is not null
), linked as (
  insert into links (tenant_id, message_id, challenge_id, identifier, token_digest, secret_digest, with_code, redirect_to,
    code_challenge, expires_at)
  select $1, $11, challenge_id, $2, $19, $20, $21, $22, $23, code_expires_at
  from answer where accepted and $19::bytea is not null
  on conflict (tenant_id, message_id) do nothing
), told as (
  insert into events (tenant_id, id, type, actor, subject, data)
  select $1, $15, case when opened then 'challenge.opened' else 'challenge.repeated' end, $16, challenge_id, $17
  from answer where accepted
  on conflict (tenant_id, id) do nothing
)
select
  coalesce(r.refusal, case
    when a.accepted and a.opened then 'opened' when a.accepted then 'repeated' when a.full_until is not null then 'full'
    else 'too_soon' end) as verdict,
  a.challenge_id, a.code_box,
  ceil(extract(epoch from a.code_expires_at - now()))::int as expires_in,
  ceil(extract(epoch from a.resend_at - now()))::int as resend_after,
  ceil(extract(epoch from case
    when r.refusal is null then a.full_until
    else (b.day + 1)::timestamp at time zone 'UTC' end - now()))::int as budget_after,
  m.reached as mark, c.answer_box
from room r left join answer a on true left join mark m on true left join budget b on true left join claim c on true

-- name: make_budget
-- The row of a tenant that has a budget from now on, with what it has spent today. $1 tenant_id
insert into budgets (tenant_id, day, messages, microdollars)
select $1, today, coalesce(sum(messages), 0), coalesce(sum(microdollars), 0)
from (select (now() at time zone 'UTC')::date as today) as t left join spending on tenant_id = $1 and day = today
group by today
on conflict (tenant_id) do nothing

-- name: answer_challenge
-- Count an attempt, compare, and on a right code consume it, find or make the user and open the session: under one lock.
-- $1 tenant_id, $2 identifier, $3 purpose, $4 HMACs of the submitted code, one per accepted secret
-- $5 challenge_id that the caller names, or null
-- $6 user_id for a new user, $7 session_id, $8 life of the session in seconds, $9 and of one that is not refreshed
-- $10 device name, $11 user agent, $12 network, $13 event_id, $14 event_id of user.created, $15 actor
with held as materialized (
  select *, case
      when not live or ($5::text is not null and place is null) then 'none'
      when room <= 0 then 'exhausted'
      when $5 is null and (wrong_room <= 0 or locked) then 'locked'
      when hits then 'ok'
      else 'wrong' end as verdict
  from (
    select user_id, challenge_ids, place, resend_at, unnamed_locked_until, wrong_at[25] as wrong_25th_at,
      coalesce(code_mac is not null and code_expires_at > now() and code_purpose = $3, false) as live,
      code_attempts_max - coalesce(challenge_attempts[place], code_attempts) as room,
      25 - (select count(*) from unnest(wrong_at) as w where w > now() - interval '1 hour') as wrong_room,
      coalesce(unnamed_locked_until > now(), false) as locked,
      code_mac = any($4::bytea[]) as hits
    from (
      select *, array_position(challenge_ids, $5::text) as place
      -- Without a live code no row is locked: a lock is a write, and waiting for the disk would tell by time that the
      -- identifier is known (bench/enumeration.py).
      from identifiers where tenant_id = $1 and identifier = $2 and code_mac is not null and code_expires_at > now()
      for no key update
    ) as i
  ) as h
), counted as (
  update identifiers i set
    code_attempts = i.code_attempts + case when $5 is null then 1 else 0 end,
    challenge_attempts = case
      when h.verdict = 'ok' then '{}'
      when h.place is null then i.challenge_attempts
      else i.challenge_attempts[:h.place - 1] || (i.challenge_attempts[h.place] + 1)::smallint || i.challenge_attempts[h.place + 1:]
      end,
    challenge_ids = case when h.verdict = 'ok' then '{}' else i.challenge_ids end,
    code_mac = case when h.verdict <> 'ok' then i.code_mac end,
    code_box = case when h.verdict <> 'ok' then i.code_box end,
    resend_at = case when h.verdict <> 'ok' then i.resend_at end,
    sends = case when h.verdict <> 'ok' then i.sends else 0 end,
    wrong_at = case when h.verdict = 'wrong' and $5 is null then (now() || i.wrong_at)[1:25] else i.wrong_at end,
    wrong_streak = case when h.verdict = 'ok' or i.wrong_streak >= 99 then 0 else i.wrong_streak + 1 end,
    unnamed_locked_until = case
      when h.verdict = 'wrong' and i.wrong_streak >= 99 then now() + interval '24 hours' else i.unnamed_locked_until end,
    user_id = case when h.verdict = 'ok' then coalesce(i.user_id, $6) else i.user_id end
  from held h
  where i.tenant_id = $1 and i.identifier = $2 and h.verdict in ('ok', 'wrong')
), closed as (
  update challenges c set
    status = case
      when h.verdict = 'wrong' then 'exhausted'
      when c.id = coalesce($5, h.challenge_ids[1]) then 'answered'
      else 'cancelled' end,
    closed_at = now()
  from held h
  where c.tenant_id = $1 and c.status = 'open'
    and (h.verdict = 'ok' and c.id = any(h.challenge_ids) or h.verdict = 'wrong' and h.room = 1 and c.id = $5)
), owner as materialized (
  -- Locked after the identifier, in that order everywhere: sees a ban that was committed while this waited.
  select id, coalesce(banned_until > now(), false) as banned
  from users where tenant_id = $1 and id = (select user_id from held where verdict = 'ok')
  for no key update
), made as (
  insert into users (tenant_id, id, last_login_at)
  select $1, $6, now() from held where verdict = 'ok' and user_id is null
), seen as (
  update users u set last_login_at = now()
  from owner o where u.tenant_id = $1 and u.id = o.id and not o.banned
), answer as materialized (
  select
    case when h.verdict = 'ok' and o.banned then 'banned' else coalesce(h.verdict, 'none') end as verdict,
    coalesce($5, h.challenge_ids[1]) as challenge_id,
    coalesce(h.user_id, $6) as user_id,
    h.user_id is null as is_new_user,
    greatest(case when $5 is null then least(h.room, h.wrong_room) else h.room end - 1, 0)::int as attempts_remaining,
    -- When waiting helps: until the next code, or until the unnamed may answer again.
    ceil(extract(epoch from case h.verdict
      when 'exhausted' then h.resend_at
      when 'locked' then greatest(h.unnamed_locked_until, h.wrong_25th_at + interval '1 hour') end - now()))::int as retry_after
  from (select 1) as one left join held h on true left join owner o on true
), session as (
  insert into sessions (tenant_id, id, user_id, channel, device_name, user_agent, network, expires_at, idle_at)
  select $1, $7, user_id, case when $2 like '+%' then 'sms' else 'email' end, $10, $11, $12,
    now() + $8::int * interval '1 s', now() + $9::int * interval '1 s'
  from answer where verdict = 'ok'
), told as (
  insert into events (tenant_id, id, type, actor, subject, data)
  select $1, $13,
    case verdict when 'ok' then 'challenge.answered' when 'banned' then 'user.refused' else 'attempt.wrong' end,
    $15, challenge_id,
    case verdict
      when 'ok' then jsonb_build_object('user_id', user_id, 'session_id', $7::text, 'is_new_user', is_new_user)
      when 'banned' then jsonb_build_object('user_id', user_id)
      else jsonb_build_object('attempts_remaining', attempts_remaining) end
  from answer where verdict in ('ok', 'wrong', 'banned')
  union all
  select $1, $14, 'user.created', $15, user_id, jsonb_build_object('challenge_id', challenge_id)
  from answer where verdict = 'ok' and is_new_user
)
select verdict, challenge_id, case when verdict = 'ok' then user_id end as user_id,
  verdict = 'ok' and is_new_user as is_new_user, attempts_remaining, retry_after
from answer

-- name: find_answer
-- After a lost COMMIT: what did answer_challenge decide? Each verdict that changes anything is an event, under our id.
-- $1 tenant_id, $2 event_id
select
  case type when 'challenge.answered' then 'ok' when 'user.refused' then 'banned' else 'wrong' end as verdict,
  subject as challenge_id, case when type = 'challenge.answered' then data ->> 'user_id' end as user_id,
  coalesce((data ->> 'is_new_user')::boolean, false) as is_new_user,
  (data ->> 'attempts_remaining')::int as attempts_remaining, null::int as retry_after
from events where tenant_id = $1 and id = $2

-- name: find_challenge
-- What became of a challenge, and of its newest message.
-- $1 tenant_id, $2 challenge_id
select c.id, case when c.identifier like '+%' then 'sms' else 'email' end as channel,
  case when c.status = 'open' and c.expires_at <= now() then 'expired' else c.status end as status,
  c.opened_at, c.expires_at,
  m.id as message_id, m.state, m.provider, m.error, m.created_at, m.updated_at
from challenges c
left join messages m on m.tenant_id = c.tenant_id and m.id = c.message_id
where c.tenant_id = $1 and c.id = $2

-- name: record_event
-- $1 tenant_id, $2 event_id, $3 type, $4 actor, $5 subject, $6 data
insert into events (tenant_id, id, type, actor, subject, data) values ($1, $2, $3, $4, $5, $6)
