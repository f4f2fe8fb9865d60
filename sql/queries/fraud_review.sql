-- Stored decisions under another policy, and what a tenant says about one.

-- name: read_decisions
-- A batch of stored decisions, newest first. Ids contain their time, so a batch is a range of the primary key.
select id, decision, features::text as features, reasons, coalesce(outcome, 'unknown') as outcome, created_at
from decisions
where tenant_id = @tenant_id and id < @before and id >= id_floor('fd', @since::timestamptz)
order by id desc limit @max_rows

-- name: lock_decision
-- A decision, and the number that its code was sent to: a decision without a code has only the block of the number.
select d.features::text as features, d.feedback, d.feedback_entry_id,
  (select c.identifier from challenges c where c.tenant_id = d.tenant_id and c.id = d.challenge_id) as identifier
from decisions d where d.tenant_id = @tenant_id and d.id = @decision_id for no key update

-- name: find_entry
-- Find a valid entry of a value.
select id as entry_id from fraud_lists
where tenant_id = @tenant_id and list = @list and kind = @kind and value = @value and (expires_at is null or expires_at > now())

-- name: record_feedback
-- Record a feedback on a decision. The caller holds the lock of the row.
with changed as (
  update decisions set feedback = @was, feedback_entry_id = @entry_id
  where tenant_id = @tenant_id and id = @decision_id returning tenant_id, id
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network, data)
  select tenant_id, @event_id, 'fraud.feedback_given', @actor, id, @request_id, @network,
    jsonb_build_object('was', @was::text, 'entry_id', @entry_id::text)
  from changed
  returning event_json(e) as event
)
select json_agg(event)::text as events from new_event
