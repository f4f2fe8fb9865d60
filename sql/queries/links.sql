-- Links in emails. As in challenges.sql, the row of identifiers is the lock and the truth: a link is open while the
-- challenge that it answers is among those of a live code, and the statement that closes one closes the other. Rows are
-- locked in one order everywhere: identifiers, challenges, links, users.

-- name: find_link
-- Find a link and return whether it is open, or used or expired. No row for an unknown link, for a link of a suspended
-- tenant, and for a link whose redirect URI the tenant has removed.
-- $1 token_digest
select t.name, t.settings, m.locale, l.redirect_to,
  l.expires_at > now() and i.code_mac is not null and i.code_expires_at > now()
    and l.challenge_id = any(i.challenge_ids) as is_open
from links l
join tenants t on t.id = split_part(l.tenant_id, ':', 1) and t.deleted_at is null and t.suspended_at is null
join messages m on m.tenant_id = l.tenant_id and m.id = l.message_id
join identifiers i on i.tenant_id = l.tenant_id and i.identifier = l.identifier
where l.token_digest = $1 and (l.redirect_to is null or t.settings -> 'redirect_uris' ? l.redirect_to)

-- name: confirm_link
-- Answer the challenge of a link: the code and every other link over it die with this one. Idempotent by grant_digest: a
-- retry after a lost COMMIT finds what it did. Always one row; without a name where the link is not open.
-- $1 token_digest, $2 grant_digest, $3 event_id, $4 actor
with link as materialized (
  select l.tenant_id, l.message_id, l.identifier, l.challenge_id, l.redirect_to, l.grant_digest, l.expires_at,
    t.name, t.settings
  from links l
  join tenants t on t.id = split_part(l.tenant_id, ':', 1) and t.deleted_at is null and t.suspended_at is null
  where l.token_digest = $1 and (l.redirect_to is null or t.settings -> 'redirect_uris' ? l.redirect_to)
), held as materialized (
  select i.tenant_id, i.identifier, i.challenge_ids, i.code_mac is not null and i.code_expires_at > now() as live
  from identifiers i
  where (i.tenant_id, i.identifier) = (select tenant_id, identifier from link)
  for no key update
), answer as materialized (
  select l.*, h.challenge_ids, coalesce(h.live and l.challenge_id = any(h.challenge_ids), false)
    and l.expires_at > now() as opens
  from link l left join held h on true
), consumed as (
  update identifiers i set code_mac = null, code_box = null, challenge_ids = '{}', challenge_attempts = '{}',
    resend_at = null, sends = 0, wrong_streak = 0
  from answer a where a.opens and i.tenant_id = a.tenant_id and i.identifier = a.identifier
), closed as (
  update challenges c set status = case when c.id = a.challenge_id then 'answered' else 'cancelled' end, closed_at = now()
  from answer a
  where a.opens and c.tenant_id = a.tenant_id and c.id = any(a.challenge_ids)
    and (c.status = 'open' or c.id = a.challenge_id)
), confirmed as (
  update links l set confirmed_at = now(), grant_digest = $2
  from answer a where a.opens and l.tenant_id = a.tenant_id and l.message_id = a.message_id
), told as (
  insert into events (tenant_id, id, type, actor, subject, data)
  select tenant_id, $3, 'link.confirmed', $4, challenge_id, jsonb_build_object('message_id', message_id)
  from answer where opens
)
select a.name, a.settings, m.locale, a.redirect_to, a.tenant_id, a.challenge_id
from (select 1) as one
left join answer a on a.opens or a.grant_digest = $2
left join messages m on m.tenant_id = a.tenant_id and m.id = a.message_id

-- name: redeem_link
-- Open the session that a confirmed link stands for, once, and find or make its user: by authorization code and PKCE
-- within 60 s, or by the asker's secret while the link lives. Of any number of redemptions one succeeds.
-- $1 tenant_id, $2 grant_digest or null, $3 code_challenge, $4 challenge_id or null, $5 secret_digest
-- $6 user_id for a new user, $7 session_id, $8 life of the session in seconds, $9 and of one that is not refreshed
-- $10 device name, $11 user agent, $12 network, $13 event_id, $14 event_id of user.created, $15 actor
with wanted as materialized (
  select message_id, identifier, challenge_id, confirmed_at
  from links
  where tenant_id = $1 and (
    grant_digest = $2 and redirect_to is not null and code_challenge = $3 and confirmed_at > now() - interval '60 s'
    or challenge_id = $4 and secret_digest = $5 and greatest(expires_at, confirmed_at + interval '60 s') > now())
), held as materialized (
  select identifier, user_id, challenge_ids, live from (
    select i.identifier, i.user_id, i.challenge_ids, i.code_mac is not null and i.code_expires_at > now() as live
    from identifiers i
    where i.tenant_id = $1 and i.identifier = (select identifier from wanted)
    for no key update
  ) as i
), redeemed as (
  update links l set redeemed_at = now()
  from wanted w join held h on h.identifier = w.identifier
  where l.tenant_id = $1 and l.message_id = w.message_id and l.confirmed_at is not null and l.redeemed_at is null
  returning l.identifier, l.challenge_id, h.user_id
), claimed as (
  update identifiers i set user_id = $6
  from redeemed r where i.tenant_id = $1 and i.identifier = r.identifier and r.user_id is null
), owner as materialized (
  -- Locked after the identifier, in that order everywhere: sees a ban that was committed while this waited.
  select id, coalesce(banned_until > now(), false) as banned
  from users where tenant_id = $1 and id = (select user_id from redeemed)
  for no key update
), made as (
  insert into users (tenant_id, id, last_login_at)
  select $1, $6, now() from redeemed where user_id is null
), seen as (
  update users u set last_login_at = now()
  from owner o where u.tenant_id = $1 and u.id = o.id and not o.banned
), answer as materialized (
  select
    case
      when o.banned then 'banned'
      when r.identifier is not null then 'ok'
      when w.confirmed_at is null and h.live and w.challenge_id = any(h.challenge_ids) then 'pending'
      else 'none' end as verdict,
    r.challenge_id, r.identifier, coalesce(r.user_id, $6) as user_id, r.user_id is null as is_new_user
  from (select 1) as one
  left join wanted w on true left join held h on true left join redeemed r on true left join owner o on true
), session as (
  insert into sessions (tenant_id, id, user_id, channel, device_name, user_agent, network, expires_at, idle_at)
  select $1, $7, user_id, 'email', $10, $11, $12, now() + $8::int * interval '1 s', now() + $9::int * interval '1 s'
  from answer where verdict = 'ok'
), told as (
  insert into events (tenant_id, id, type, actor, subject, data)
  select $1, $13, case verdict when 'ok' then 'challenge.answered' else 'user.refused' end, $15, challenge_id,
    case verdict
      when 'ok' then jsonb_build_object('user_id', user_id, 'session_id', $7::text, 'is_new_user', is_new_user)
      else jsonb_build_object('user_id', user_id) end
  from answer where verdict in ('ok', 'banned')
  union all
  select $1, $14, 'user.created', $15, user_id, jsonb_build_object('challenge_id', challenge_id)
  from answer where verdict = 'ok' and is_new_user
)
select verdict, challenge_id, identifier, case when verdict in ('ok', 'banned') then user_id end as user_id,
  verdict = 'ok' and is_new_user as is_new_user
from answer

-- name: find_redemption
-- After a lost COMMIT: what did redeem_link decide? Each verdict that changes anything is an event, under our id.
-- $1 tenant_id, $2 event_id
select case e.type when 'challenge.answered' then 'ok' else 'banned' end as verdict, e.subject as challenge_id,
  l.identifier, e.data ->> 'user_id' as user_id, coalesce((e.data ->> 'is_new_user')::boolean, false) as is_new_user
from events e
join links l on l.tenant_id = e.tenant_id and l.challenge_id = e.subject and l.redeemed_at is not null
where e.tenant_id = $1 and e.id = $2
