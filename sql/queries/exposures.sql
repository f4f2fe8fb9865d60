-- The exposures of fraud scopes in PostgreSQL: what workers write behind, and read where Redis has lost it.

-- name: save_exposures
-- Save the states of scopes, each scope once. A row that is newer stays, unless its second is in the future.
insert into exposures as e (tenant_id, scope, key, exposure, verified, second, loaded_at)
select * from unnest(@tenant_ids::text[], @scopes::text[], @keys::text[], @exposures::float8[], @verified::float8[],
  @seconds::float8[], @loaded_at::float8[])
order by 1, 2, 3
on conflict (tenant_id, scope, key) do update set exposure = excluded.exposure, verified = excluded.verified,
  second = excluded.second, loaded_at = greatest(e.loaded_at, excluded.loaded_at)
where excluded.second >= e.second or e.second > extract(epoch from now()) + 60

-- name: find_exposures
-- Return the states of a tenant's wide scopes and of its newest blocks.
(select scope, key, exposure, verified, second from exposures
where tenant_id = @tenant_id and scope in ('country', 'exposure_budget', 'guessing'))
union all
(select scope, key, exposure, verified, second from exposures
where tenant_id = @tenant_id and scope in ('block_of_1000', 'block_of_10000') and second > @blocks_since::float8
order by second desc limit @max_blocks::int)

-- name: find_loaded_blocks
-- The blocks that are loaded at any tenant, newest first. The index is partial: a plan for any @since needs its condition.
select tenant_id, scope, key from exposures
where loaded_at > @since::float8 and loaded_at > 0 order by loaded_at desc limit @max_rows::int

-- name: find_country_days
-- The SMS of a tenant by country and day (UTC): days that are aggregated completely. Earlier messages of a code that was
-- answered are left out, because a right code removes their exposure.
select h.country, (h.hour at time zone 'UTC')::date as day, sum(h.messages - h.repeated)::bigint as messages,
  sum(h.verified)::bigint as verified
from message_hours h
where h.tenant_id = @tenant_id and h.channel = 'sms' and h.hour >= now() - @days::int * interval '1 day'
  and h.hour < (select date_trunc('day', n.hour, 'UTC') from message_hours_next n)
group by 1, 2 order by 1, 2
