-- Challenges. Opening one and submitting a code are functions (sql/functions/open_challenges.sql, submit_codes.sql).

-- name: find_opened
-- After a lost commit: the challenge that an event of ours says was opened or repeated, while its code lives.
select c.message_id, split_part(e.type, '.', 2) as verdict, c.id as challenge_id, l.box as code_box,
  ceil(extract(epoch from l.expires_at - now()))::int as expires_in,
  ceil(extract(epoch from i.resend_at - now()))::int as resend_after,
  null::int as budget_after, null::bytea as stored_response,
  (select json_agg(event_json(o) order by o.id)::text from events o
   where o.tenant_id = @tenant_id and o.id in (@event_id, @other_event_id)) as events
from events e
cross join lateral (select * from challenges where tenant_id = e.tenant_id and id = e.subject limit 1) as c
cross join lateral (select * from identifiers where tenant_id = c.tenant_id and identifier = c.identifier limit 1) as i
cross join lateral (
  select * from live_codes k
  where k.tenant_id = c.tenant_id and k.identifier = c.identifier and c.id = any(k.challenge_ids)
  limit 1
) as l
where e.tenant_id = @tenant_id and e.id = @event_id

-- name: find_submitted
-- After a lost commit: what submit_codes decided. Each verdict that changes anything is an event under our id.
select e.id as event_id,
  case e.type when 'challenge.answered' then 'ok' when 'login.denied' then 'banned' else 'wrong' end as verdict,
  e.subject as challenge_id, case when e.type = 'challenge.answered' then e.data ->> 'user_id' end as user_id,
  coalesce((e.data ->> 'is_new_user')::boolean, false) as is_new_user,
  (e.data ->> 'attempts_remaining')::int as attempts_remaining, null::int as retry_after,
  (select json_agg(event_json(o) order by o.id)::text from events o
   where o.tenant_id = @tenant_id and o.id in (@event_id, @other_event_id)) as events
from events e where e.tenant_id = @tenant_id and e.id = @event_id

-- name: find_unanswered
-- After requests that got no answer: the login of this identifier that one of them committed, while its session
-- is live and was never used.
select e.subject as challenge_id, s.user_id, coalesce((e.data ->> 'is_new_user')::boolean, false) as is_new_user,
  s.id as session_id,
  (select json_agg(event_json(o) order by o.id)::text from events o
   where o.tenant_id = @tenant_id and o.id = any(@event_ids)) as events
from events e
cross join lateral (select identifier from challenges where tenant_id = e.tenant_id and id = e.subject limit 1) as c
cross join lateral (
  select n.id, n.user_id, n.created_at from sessions n
  where n.tenant_id = e.tenant_id and n.id = e.data ->> 'session_id'
    and n.revoked_at is null and least(n.expires_at, n.idle_at) > now()
    and n.last_used_at = n.created_at and n.kind = 'api'
  limit 1
) as s
join tenants t on t.id = split_part(e.tenant_id, ':', 1) and s.created_at >= t.sessions_from
where e.tenant_id = @tenant_id and e.id = any(@event_ids) and e.type = 'challenge.answered'
  and c.identifier = @identifier and (@challenge_id::text is null or e.subject = @challenge_id)

-- name: claim_unanswered
-- Claim the session of such a login for one caller: it counts as used. Another claim waits for this one, and finds nothing.
update sessions set last_used_at = greatest(now(), created_at + interval '1 microsecond')
where tenant_id = @tenant_id and id = @session_id and last_used_at = created_at and revoked_at is null
returning id as session_id

-- name: find_live_code
-- Find a live code of an identifier.
select purpose from live_codes where tenant_id = @tenant_id and identifier = @identifier limit 1

-- name: find_challenge
-- A challenge and its newest message; of a message and its retry, the first one where that arrived. The limits let the
-- planner of a small or new database read each row by its key, instead of all messages of the tenant.
select c.id, c.channel,
  case when c.status = 'open' and c.expires_at <= now() then 'expired' else c.status end as status,
  c.opened_at, c.expires_at,
  m.id as message_id, m.state, m.provider, m.error, m.created_at, m.updated_at
from challenges c
left join lateral (select * from messages where tenant_id = c.tenant_id and id = c.message_id limit 1) as n on true
left join lateral (
  select id from messages where tenant_id = n.tenant_id and id = n.retry_of and state = 'delivered' limit 1
) as f on true
left join lateral (select * from messages where tenant_id = c.tenant_id and id = coalesce(f.id, n.id) limit 1) as m on true
where c.tenant_id = @tenant_id and c.id = @challenge_id
