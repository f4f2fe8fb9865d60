-- Line types of numbers that were bought, for all tenants.

-- name: find_line_type
-- The result of an earlier look-up. A secret that is being replaced has a second digest; the newer row wins.
select line_type, pumping_risk, sim_swapped,
  extract(epoch from now() - looked_up_at)::float8 as age_s,
  extract(epoch from now() - signals_at)::float8 as signals_age_s
from line_types
where digest = any(@digests::bytea[])
order by greatest(looked_up_at, signals_at) desc
limit 1

-- name: store_line_type
-- Keep what a look-up returned. What was not bought this time stays as it was, with its age.
insert into line_types as l (digest, line_type, looked_up_at, pumping_risk, sim_swapped, signals_at)
values (@digest, @line_type, now(), @pumping_risk, @sim_swapped,
  case when @has_signals::boolean then now() end)
on conflict (digest) do update set
  line_type = coalesce(excluded.line_type, l.line_type),
  looked_up_at = case when excluded.line_type is null then l.looked_up_at else excluded.looked_up_at end,
  pumping_risk = case when excluded.signals_at is null then l.pumping_risk else excluded.pumping_risk end,
  sim_swapped = case when excluded.signals_at is null then l.sim_swapped else excluded.sim_swapped end,
  signals_at = coalesce(excluded.signals_at, l.signals_at)
