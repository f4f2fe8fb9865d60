-- What a tenant reads of its messages. These may be asked of a replica: they change nothing, and decide nothing.

-- name: list_messages
-- Newest first. Ids are their time, so a page, and any span of time, is a range of the primary key.
-- $1 tenant_id, $2 before this id, $3 how many, $4 since and $5 until, or null
-- $6 state, $7 provider, $8 channel, $9 country, $10 challenge_id: each null for any
select id, challenge_id, notice, channel, identifier, country, state, nullif(provider, 'none') as provider, error, retry_of,
  segments, price_microdollars, price_source, created_at, updated_at, delivered_at
from messages
where tenant_id = $1 and id < $2
  and id >= coalesce(id_floor('msg', $4::timestamptz), '') and id < coalesce(id_floor('msg', $5::timestamptz), 'msg_~')
  and ($6::text is null or state = $6) and ($7::text is null or provider = $7) and ($8::text is null or channel = $8)
  and ($9::text is null or country = $9) and ($10::text is null or challenge_id = $10)
order by id desc
limit $3

-- name: list_messages_of_challenge
-- The same of one challenge: among all messages to whom it was asked of, which have an index.
-- $1 tenant_id, $2 before this id, $3 how many, $4 since and $5 until, or null
-- $6 state, $7 provider, $8 channel, $9 country: each null for any, $10 challenge_id
with known as materialized (
  select m.* from challenges c join messages m on m.tenant_id = c.tenant_id and m.identifier = c.identifier
  where c.tenant_id = $1 and c.id = $10 and m.challenge_id = c.id
)
select id, challenge_id, notice, channel, identifier, country, state, nullif(provider, 'none') as provider, error, retry_of,
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
-- answered counts for its newest message. Whole hours that have been added up are read as such, the rest by ranges of the
-- primary key; a challenge that is asked for again keeps its id while its code lives, so it is hardly ever a day older than
-- a message of it. The median is one of whole seconds.
-- $1 tenant_id, $2 since, $3 until, $4 what they are grouped by, $5 the first and $6 the end of the hours added up
with counted as (
  select l.*
  from (values (id_floor('msg', $2), id_floor('msg', $5)), (id_floor('msg', $6), id_floor('msg', $3))) as edge(low, high)
  cross join lateral (
    select m.channel, coalesce(m.country, '') as country, m.provider, m.state, delivery_s(m.created_at, m.delivered_at),
      count(*) as messages, count(c.id) as verified, coalesce(sum(m.price_microdollars), 0) as microdollars
    from messages m
    left join challenges c on c.tenant_id = $1 and c.id = m.challenge_id and c.message_id = m.id
      and c.status = 'answered' and c.id >= id_floor('ch', $2::timestamptz - interval '1 day')
    where m.tenant_id = $1 and m.id >= edge.low and m.id < edge.high and m.state <> 'queued' and m.provider <> 'none'
    group by 1, 2, 3, 4, 5
  ) as l
  union all
  select h.channel, h.country, h.provider, h.state, h.delivery_s, h.messages, h.verified, h.microdollars
  from message_hours h where h.tenant_id = $1 and h.hour >= $5 and h.hour < $6
), grouped as (
  select case $4 when 'country' then nullif(country, '') when 'provider' then provider else channel end as name,
    state, nullif(delivery_s, -1) as delivery_s,
    sum(messages) as messages, sum(verified) as verified, sum(microdollars) as microdollars
  from counted
  group by 1, 2, 3
), ranked as (
  select *, sum(messages) over (partition by name, delivery_s is null order by delivery_s) as so_far,
    sum(messages) over (partition by name, delivery_s is null) as measured
  from grouped
)
select name,
  sum(messages)::bigint as sent,
  coalesce(sum(messages) filter (where state = 'delivered'), 0)::bigint as delivered,
  coalesce(sum(messages) filter (where state = 'failed'), 0)::bigint as failed,
  coalesce(sum(messages) filter (where state = 'unknown'), 0)::bigint as unknown,
  sum(verified)::bigint as verified,
  min(delivery_s) filter (where so_far * 2 >= measured) as delivery_in,
  sum(microdollars)::bigint as microdollars
from ranked
group by name
order by sent desc, name

-- name: next_hour
-- The hour that is to be added up next, and whether it has been over for so long that its codes have ended and their
-- receipts have come. $1 seconds for which it must have been over
select hour, hour + interval '1 hour' + $1::int * interval '1 s' <= now() as is_final from message_hours_next

-- name: add_up_hour
-- Add up an hour of all tenants, if it is the next one: one worker does. Tenant by tenant, as the index goes.
-- $1 the hour
with turn as (
  select 1 from message_hours_next where hour = $1 for no key update skip locked
), added as (
  insert into message_hours
  select n.id, $1, l.*
  from tenants n
  cross join lateral (
    select m.channel, coalesce(m.country, ''), m.provider, m.state, delivery_s(m.created_at, m.delivered_at),
      count(*), count(c.id), coalesce(sum(m.price_microdollars), 0)
    from messages m
    left join challenges c on c.tenant_id = n.id and c.id = m.challenge_id and c.message_id = m.id
      and c.status = 'answered' and c.id >= id_floor('ch', $1::timestamptz - interval '1 day')
    where m.tenant_id = n.id and m.id >= id_floor('msg', $1) and m.id < id_floor('msg', $1 + interval '1 hour')
      and m.state <> 'queued' and m.provider <> 'none'
    group by 1, 2, 3, 4, 5
  ) as l
  where n.deleted_at is null and exists (select from turn)
  on conflict do nothing
)
update message_hours_next set hour = $1 + interval '1 hour' where exists (select from turn) returning hour
