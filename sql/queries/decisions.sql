-- Decisions of the fraud rules.

-- name: end_attacks
-- Delete the scopes that rejected no request for an hour; record the end of those that were attacks.
with ended as (
  select * from attacks where rejected_at < now() - interval '1 hour' limit @max_rows for update skip locked
), deleted as (
  delete from attacks a using ended e
  where a.tenant_id = e.tenant_id and a.scope = e.scope and a.subject = e.subject
), numbered as (
  select e.*, row_number() over () as n from ended e where e.detected_at is not null
), recorded as (
  insert into events as e (tenant_id, id, type, actor, subject, data)
  select n.tenant_id, (@event_ids::text[])[n.n], 'attack.ended', 'auth1', n.tenant_id, jsonb_build_object(
    'scope', n.scope, 'subject', n.subject, 'rejected', n.rejected, 'began_at', n.began_at,
    'saved', round(n.microdollars / 1e6, 4))
  from numbered n
  returning event_json(e) as event
)
select json_agg(event)::text as events from recorded

-- name: settle_outcomes
-- Set the outcome of decisions whose code has expired. A right code answers the newest challenge and cancels the others of
-- its code in the same transaction: at the same time. An erased challenge leaves the outcome unknown.
with due as (
  select tenant_id, id, challenge_id from decisions
  where outcome is null and id >= id_floor('fd', now() - interval '2 days') and id < id_floor('fd', now() - interval '15 minutes')
  order by id limit @max_rows for update skip locked
), settled as (
  select d.tenant_id, d.id, case
      when c.id is null then 'unknown'
      when c.status = 'answered' or c.status = 'cancelled' and exists (
        select from challenges a
        where a.identifier = c.identifier and a.tenant_id = c.tenant_id and a.status = 'answered' and a.closed_at = c.closed_at
      ) then 'verified'
      else 'unverified' end as outcome
  from due d left join challenges c on c.tenant_id = d.tenant_id and c.id = d.challenge_id
), written as (
  update decisions d set outcome = s.outcome from settled s where d.tenant_id = s.tenant_id and d.id = s.id
    and d.id >= id_floor('fd', now() - interval '2 days')
  returning 1
)
select count(*) as settled from written

-- name: list_decisions
-- Newest first. Ids contain their time, so a page and a time range are ranges of the primary key.
select id as decision_id, decision, score::float8 as score, reasons, features::text as features, scopes::text as scopes,
  coalesce(outcome, 'unknown') as outcome, created_at, request_id
from decisions
where tenant_id = @tenant_id and id < @before
  and id >= coalesce(id_floor('fd', @since::timestamptz), '') and id < coalesce(id_floor('fd', @until::timestamptz), 'fd_~')
  and (@decision::text is null or decision = @decision)
  and (@reason::text is null or exists (select from unnest(reasons) as r where split_part(r, ':', 1) = @reason))
order by id desc
limit @max_rows

-- name: find_counts
-- How often an identifier answered a code, and how many of its sends it did not answer. A user from before these counts, or
-- from an import, counts as one answer.
select greatest(answered, (user_id is not null)::int) as answered, unanswered
from identifiers where tenant_id = @tenant_id and identifier = @identifier
