-- Links in emails. As for codes, the row of the identifier is the lock and decides: a link is open while its challenge
-- belongs to a live code, and one statement closes both. sql/functions/redeem_link.sql redeems a link.
-- Rows are locked in one order everywhere: identifiers, challenges, links, users.

-- name: find_link
-- Find a link and return whether it is open, or used or expired. No row for an unknown link, for a link of a suspended
-- tenant, and for a link whose redirect URI the tenant has removed.
select l.tenant_id, t.name, t.settings, m.locale, l.redirect_to, l.user_agent, l.network,
  l.expires_at > now() and i.code_mac is not null and i.code_expires_at > now()
    and l.challenge_id = any(i.challenge_ids) as is_open
from links l
join tenants t on t.id = split_part(l.tenant_id, ':', 1) and t.deleted_at is null and t.suspended_at is null
join messages m on m.tenant_id = l.tenant_id and m.id = l.message_id
join identifiers i on i.tenant_id = l.tenant_id and i.identifier = l.identifier
where l.token_digest = @token_digest and (l.redirect_to is null or t.settings -> 'redirect_uris' ? l.redirect_to)

-- name: confirm_link
-- Complete the challenge of a link. This ends its code and its other links. Idempotent by grant_digest: a repetition finds
-- the result of the first run. One row if the link was open or was confirmed with this grant. No row after the deadline.
with link as materialized (
  select l.tenant_id, l.message_id, l.identifier, l.challenge_id, l.redirect_to, l.grant_digest, l.expires_at,
    t.name, t.settings
  from links l
  join tenants t on t.id = split_part(l.tenant_id, ':', 1) and t.deleted_at is null and t.suspended_at is null
    and not exists (select from tenant_moves m where m.tenant_id = t.id and m.state = 'moved')
  where l.token_digest = @token_digest and (l.redirect_to is null or t.settings -> 'redirect_uris' ? l.redirect_to)
), locked_identifier as materialized (
  select i.tenant_id, i.identifier, i.challenge_ids, i.code_mac is not null and i.code_expires_at > now() as is_live
  from identifiers i
  where (i.tenant_id, i.identifier) = (select tenant_id, identifier from link)
  for no key update
), decision as materialized (
  select l.*, i.challenge_ids, coalesce(i.is_live and l.challenge_id = any(i.challenge_ids), false)
    and l.expires_at > now() and clock_timestamp() < @deadline::timestamptz as opens
  from link l left join locked_identifier i on true
), consumed as (
  update identifiers i set code_mac = null, code_box = null, challenge_ids = '{}', challenge_attempts = '{}',
    resend_at = null, sends = 0, wrong_streak = 0, answered = i.answered + 1,
    unanswered = greatest(i.unanswered - least(greatest(i.sends, 1), 2), 0)
  from decision d where d.opens and i.tenant_id = d.tenant_id and i.identifier = d.identifier
), closed as (
  update challenges c set status = case when c.id = d.challenge_id then 'answered' else 'cancelled' end, closed_at = now()
  from decision d
  where d.opens and c.tenant_id = d.tenant_id and c.id = any(d.challenge_ids)
    and (c.status = 'open' or c.id = d.challenge_id)
), confirmed as (
  update links l set confirmed_at = now(), grant_digest = @grant_digest
  from decision d where d.opens and l.tenant_id = d.tenant_id and l.message_id = d.message_id
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network, data)
  select tenant_id, @event_id, 'link.confirmed', @actor, challenge_id, @request_id, @network,
    jsonb_build_object('message_id', message_id)
  from decision where opens
  returning event_json(e) as event
)
select d.name, d.settings, m.locale, d.redirect_to, d.tenant_id, d.challenge_id,
  coalesce((select json_agg(event)::text from new_event),
    (select json_build_array(event_json(e))::text from events e where e.tenant_id = d.tenant_id and e.id = @event_id)) as events
from decision d
left join messages m on m.tenant_id = d.tenant_id and m.id = d.message_id
where d.opens or d.grant_digest = @grant_digest

-- name: find_redemption
-- After a lost commit: what redeem_link decided. Each verdict that changes anything is an event under our id.
select case e.type when 'challenge.answered' then 'ok' else 'banned' end as verdict, e.subject as challenge_id,
  l.identifier, e.data ->> 'user_id' as user_id, coalesce((e.data ->> 'is_new_user')::boolean, false) as is_new_user,
  (select json_agg(event_json(o) order by o.id)::text from events o
   where o.tenant_id = @tenant_id and o.id in (@event_id, @other_event_id)) as events
from events e
join links l on l.tenant_id = e.tenant_id and l.challenge_id = e.subject and l.redeemed_at is not null
where e.tenant_id = @tenant_id and e.id = @event_id
