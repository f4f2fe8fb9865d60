-- Ids sort by time: a prefix and 26 characters of base 32, of which the first ten are the milliseconds since 1970.
-- id_floor('evt', moment) is below every id made at or after that moment: for partitions, purges and "since".
create or replace function id_floor(prefix text, moment timestamptz) returns text
language sql immutable strict parallel safe
as $$
  select prefix || '_' || string_agg(
    substr('0123456789abcdefghjkmnpqrstvwxyz', (milliseconds >> (5 * n) & 31)::int + 1, 1), '' order by n desc)
  from generate_series(0, 9) as n, (select floor(extract(epoch from moment) * 1000)::bigint as milliseconds) as m
$$;
