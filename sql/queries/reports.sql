-- A tenant's message lists and statistics. They only read, and may run on a replica.

-- name: list_messages
-- Newest first. Ids contain their time, so a page and a time range are ranges of the primary key.
select id, challenge_id, notice, channel, identifier, country, state, nullif(provider, 'none') as provider, error, retry_of,
  segments, price_microdollars, price_source, created_at, updated_at, delivered_at
from messages
where tenant_id = @tenant_id and id < @before
  and id >= coalesce(id_floor('msg', @since::timestamptz), '') and id < coalesce(id_floor('msg', @until::timestamptz), 'msg_~')
  and (@state::text is null or state = @state) and (@provider::text is null or provider = @provider) and (@channel::text is null or channel = @channel)
  and (@country::text is null or country = @country) and (@challenge_id::text is null or challenge_id = @challenge_id)
order by id desc
limit @max_rows

-- name: list_messages_of_challenge
-- List the messages of one challenge, by the index of messages of its identifier.
with known as materialized (
  select m.* from challenges c join messages m on m.tenant_id = c.tenant_id and m.identifier = c.identifier
  where c.tenant_id = @tenant_id and c.id = @challenge_id and m.challenge_id = c.id
)
select id, challenge_id, notice, channel, identifier, country, state, nullif(provider, 'none') as provider, error, retry_of,
  segments, price_microdollars, price_source, created_at, updated_at, delivered_at
from known
where id < @before
  and id >= coalesce(id_floor('msg', @since::timestamptz), '') and id < coalesce(id_floor('msg', @until::timestamptz), 'msg_~')
  and (@state::text is null or state = @state) and (@provider::text is null or provider = @provider) and (@channel::text is null or channel = @channel)
  and (@country::text is null or country = @country)
order by id desc
limit @max_rows

-- name: message_statistics
-- Statistics of all messages that were handed to a provider, by country, provider or channel. A completed challenge counts
-- for its newest message. Aggregated hours are read as such, the rest by ranges of the primary key. A repeated challenge
-- keeps its id only while its code is live, so it is at most a day older than its messages. Medians are whole seconds.
with counted as (
  select l.*
  from (values (id_floor('msg', @since), id_floor('msg', @first_hour)), (id_floor('msg', @end_hour), id_floor('msg', @until))) as edge(low, high)
  cross join lateral (
    select m.channel, coalesce(m.country, '') as country, m.provider, m.state, delivery_s(m.created_at, m.delivered_at),
      count(*) as messages, count(c.id) as verified, coalesce(sum(m.price_microdollars), 0) as microdollars
    from messages m
    left join challenges c on c.tenant_id = @tenant_id and c.id = m.challenge_id and c.message_id = m.id
      and c.status = 'answered' and c.id >= id_floor('ch', @since::timestamptz - interval '1 day')
    where m.tenant_id = @tenant_id and m.id >= edge.low and m.id < edge.high and m.state <> 'queued' and m.provider <> 'none'
    group by 1, 2, 3, 4, 5
  ) as l
  union all
  select h.channel, h.country, h.provider, h.state, h.delivery_s, h.messages, h.verified, h.microdollars
  from message_hours h where h.tenant_id = @tenant_id and h.hour >= @first_hour and h.hour < @end_hour
), grouped as (
  select case @group_by when 'country' then nullif(country, '') when 'provider' then provider else channel end as name,
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
-- The next hour to aggregate, and whether it is final: its codes have expired and their delivery reports have arrived.
select hour, hour + interval '1 hour' + @over_for_s::int * interval '1 s' <= now() as is_final from message_hours_next

-- name: aggregate_hour
-- Aggregate an hour of all tenants, if it is the next one. One worker does it, tenant by tenant, in the order of the index.
with turn as (
  select 1 from message_hours_next where hour = @hour for no key update skip locked
), added as (
  insert into message_hours
  select n.id, @hour, l.*
  from tenants n
  cross join lateral (
    select m.channel, coalesce(m.country, ''), m.provider, m.state, delivery_s(m.created_at, m.delivered_at),
      count(*), count(*) filter (where c.status = 'answered' and c.message_id = m.id), coalesce(sum(m.price_microdollars), 0),
      -- A right code answers the newest message of its login, and closes the other challenges at the same time.
      count(*) filter (where c.status = 'answered' and c.message_id <> m.id or c.status = 'cancelled' and exists (
        select from challenges a
        where a.identifier = c.identifier and a.tenant_id = c.tenant_id and a.status = 'answered' and a.closed_at = c.closed_at))
    from messages m
    left join challenges c on c.tenant_id = n.id and c.id = m.challenge_id
      and c.status in ('answered', 'cancelled') and c.id >= id_floor('ch', @hour::timestamptz - interval '1 day')
    where m.tenant_id = n.id and m.id >= id_floor('msg', @hour) and m.id < id_floor('msg', @hour + interval '1 hour')
      and m.state <> 'queued' and m.provider <> 'none'
    group by 1, 2, 3, 4, 5
  ) as l
  where n.deleted_at is null and exists (select from turn)
  on conflict do nothing
)
update message_hours_next set hour = @hour + interval '1 hour' where exists (select from turn) returning hour
