-- What a tenant reads of its messages. These may be asked of a replica: they change nothing, and decide nothing.

-- name: list_messages
-- Newest first. Ids are their time, so a page, and any span of time, is a range of the primary key.
-- $1 tenant_id, $2 before this id, $3 how many, $4 since and $5 until, or null
-- $6 state, $7 provider, $8 channel, $9 country, $10 challenge_id: each null for any
select id, challenge_id, channel, identifier, country, state, nullif(provider, 'none') as provider, error, retry_of,
  segments, price_microdollars, price_source, created_at, updated_at, delivered_at
from messages
where tenant_id = $1 and id < $2
  and id >= coalesce(id_floor('msg', $4::timestamptz), '') and id < coalesce(id_floor('msg', $5::timestamptz), 'msg_~')
  and ($6::text is null or state = $6) and ($7::text is null or provider = $7) and ($8::text is null or channel = $8)
  and ($9::text is null or country = $9) and ($10::text is null or challenge_id = $10)
order by id desc
limit $3

-- name: list_messages_of_challenge
-- The same of one challenge, which has its own index.
-- $1 tenant_id, $2 before this id, $3 how many, $4 since and $5 until, or null
-- $6 state, $7 provider, $8 channel, $9 country: each null for any, $10 challenge_id
with known as materialized (
  select * from messages where tenant_id = $1 and challenge_id = $10
)
select id, challenge_id, channel, identifier, country, state, nullif(provider, 'none') as provider, error, retry_of,
  segments, price_microdollars, price_source, created_at, updated_at, delivered_at
from known
where id < $2
  and id >= coalesce(id_floor('msg', $4::timestamptz), '') and id < coalesce(id_floor('msg', $5::timestamptz), 'msg_~')
  and ($6::text is null or state = $6) and ($7::text is null or provider = $7) and ($8::text is null or channel = $8)
  and ($9::text is null or country = $9)
order by id desc
limit $3

-- name: message_statistics
-- What became of all messages that were handed to a provider, by country, provider or channel. A challenge that was
-- answered counts for its newest message. One range of each primary key: a challenge that is asked for again keeps its id
-- while its code lives, so it is hardly ever a day older than a message of it.
-- $1 tenant_id, $2 since, $3 until, $4 what they are grouped by
select
  case $4 when 'country' then m.country when 'provider' then m.provider else m.channel end as name,
  count(*) as sent,
  count(*) filter (where m.state = 'delivered') as delivered,
  count(*) filter (where m.state = 'failed') as failed,
  count(*) filter (where m.state = 'unknown') as unknown,
  count(c.id) as verified,
  extract(epoch from percentile_disc(0.5) within group (order by m.delivered_at - m.created_at))::float8 as delivery_in,
  coalesce(sum(m.price_microdollars), 0)::bigint as microdollars
from messages m
left join challenges c on c.tenant_id = m.tenant_id and c.id = m.challenge_id and c.message_id = m.id
  and c.status = 'answered' and c.id >= id_floor('ch', $2::timestamptz - interval '1 day')
where m.tenant_id = $1 and m.id >= id_floor('msg', $2) and m.id < id_floor('msg', $3)
  and m.state <> 'queued' and m.provider <> 'none'
group by name
order by sent desc, name
