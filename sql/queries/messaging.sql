-- What became of messages; and the outbox, which finishes what a process accepted and did not live to send.

-- name: record_delivery
-- Write down what became of a message that was handed to providers. Where all of them definitely refused it, give the
-- send back, and take back the challenge, whose id nobody was told.
-- $1 tenant_id, $2 message_id, $3 state, $4 provider, $5 provider_message_id, $6 error, $7 give the send back
-- $8 event_id, $9 actor
with recorded as (
  update messages set state = $3, provider = $4, provider_message_id = $5, error = $6,
    trying = null, claimed_until = null, updated_at = now()
  where tenant_id = $1 and id = $2 and state = 'queued'
  returning identifier, challenge_id, created_at
), released as (
  update identifiers i set
    sent_at = case when $7 then array_remove(i.sent_at, r.created_at) else i.sent_at end,
    sends = case when $7 then greatest(i.sends - 1, 0) else i.sends end,
    resend_at = null,
    challenge_attempts = case when $7 then coalesce(
        i.challenge_attempts[:array_position(i.challenge_ids, r.challenge_id) - 1]
          || i.challenge_attempts[array_position(i.challenge_ids, r.challenge_id) + 1:],
        i.challenge_attempts)
      else i.challenge_attempts end,
    challenge_ids = case when $7 then array_remove(i.challenge_ids, r.challenge_id) else i.challenge_ids end
  from recorded r
  where $3 in ('failed', 'unknown') and i.tenant_id = $1 and i.identifier = r.identifier and i.message_id = $2
), cancelled as (
  update challenges c set status = 'cancelled', closed_at = now()
  from recorded r where $7 and c.tenant_id = $1 and c.id = r.challenge_id and c.status = 'open'
)
insert into events (tenant_id, id, type, actor, subject, data)
select $1, $8, 'message.' || $3, $9, $2,
  jsonb_build_object('challenge_id', challenge_id, 'provider', $4::text, 'error', $6::text)
from recorded where $3 in ('failed', 'unknown')

-- name: claim_messages
-- Take messages that were provably not handed to any provider, with what each is to say: the sealed code, unless it has
-- ended or been answered, and the tenant's brand. Several workers may ask at once: SKIP LOCKED gives each row to one.
-- $1 the provider that will be tried first, $2 how many, $3 channel, $4 those of sandboxes, or those of live tenants
with due as (
  select tenant_id, id from messages
  where state = 'queued' and trying is null and channel = $3 and (tenant_id like '%:test') = $4
  order by id
  limit $2
  for update skip locked
), claimed as (
  update messages m set trying = $1, claimed_until = now() + interval '15 s', updated_at = now()
  from due d where m.tenant_id = d.tenant_id and m.id = d.id
  returning m.tenant_id, m.id, m.challenge_id, m.identifier, m.channel
)
select c.tenant_id, c.id, c.challenge_id, c.identifier, c.channel, t.name, t.settings ->> 'sms_branding' as sms_branding,
  i.code_box, ceil(extract(epoch from i.code_expires_at - now()))::int as expires_in
from claimed c
join tenants t on t.id = split_part(c.tenant_id, ':', 1)
left join identifiers i on i.tenant_id = c.tenant_id and i.identifier = c.identifier
  and c.challenge_id = any(i.challenge_ids) and i.code_mac is not null and i.code_expires_at > now()

-- name: settle_lost_messages
-- What a dead process was handing to a provider may have been sent or not: unknown. Asking again is open at once.
-- $1 event ids to use, as many as rows are wanted
with lost as (
  select tenant_id, id, row_number() over (order by id) as n from (
    select tenant_id, id from messages
    where state = 'queued' and claimed_until < now()
    order by id
    limit cardinality($1::text[])
    for update skip locked
  ) as l
), settled as (
  update messages m set state = 'unknown', error = 'process_lost', provider = m.trying, trying = null,
    claimed_until = null, updated_at = now()
  from lost l where m.tenant_id = l.tenant_id and m.id = l.id
  returning m.tenant_id, m.id, m.identifier, m.challenge_id, m.provider, l.n
), opened as (
  update identifiers i set resend_at = null
  from settled s where i.tenant_id = s.tenant_id and i.identifier = s.identifier and i.message_id = s.id
), told as (
  insert into events (tenant_id, id, type, actor, subject, data)
  select tenant_id, ($1::text[])[n], 'message.unknown', 'auth1', id,
    jsonb_build_object('challenge_id', challenge_id, 'provider', provider, 'error', 'process_lost')
  from settled
)
select tenant_id, id, provider, ($1::text[])[n] as event_id from settled
