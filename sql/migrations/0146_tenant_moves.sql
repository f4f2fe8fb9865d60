-- Moves of a tenant to a database of its own (`auth1 tenants move`). The source has a row from the first change that is
-- recorded; it stays when the tenant has moved, so that its API keys still lead to an answer. The target has one, too.
create table if not exists tenant_moves (
  tenant_id text collate "C" primary key,
  move_id text collate "C" not null,          -- the same in both databases
  state text not null check (state in ('copying', 'following', 'moved', 'arriving', 'arrived')),
  closed_until timestamptz not null default '-infinity',  -- until then requests of the tenant get 503
  frozen_until timestamptz not null default '-infinity',  -- until then no row of the tenant can change
  started_at timestamptz not null default now(),
  moved_at timestamptz
);

-- Keys of rows that changed while their tenant is moved. Triggers write them, which exist during a move only.
create table if not exists tenant_changes (
  tenant_id text collate "C" not null,
  id bigint generated always as identity,
  table_name text not null,
  key jsonb not null,
  primary key (tenant_id, id)
);

-- Record the key of a changed row: the arguments are the tenant, the table and the columns of its key. While the tenant is
-- frozen, and after it has moved, nothing can change; callers see it as a lock that was not available. The shared lock
-- lets the move wait for the transactions that found the tenant open.
create or replace function record_tenant_change() returns trigger
language plpgsql
as $$
declare
  owner constant text := tg_argv[0];
  move record;
begin
  if current_setting('auth1.moves_tenant', true) is distinct from owner then
    perform pg_advisory_xact_lock_shared(hashtextextended(owner, 6002));
    select m.state, m.frozen_until into move from tenant_moves m where m.tenant_id = owner;
    if move.state = 'moved' or move.frozen_until > clock_timestamp() then
      raise exception 'the tenant is moved to another database' using errcode = 'lock_not_available';
    end if;
    insert into tenant_changes (tenant_id, table_name, key)
    select distinct owner, tg_argv[1], (
      select jsonb_object_agg(k.name, changed.fields -> k.name) from unnest(tg_argv[2:tg_nargs - 1]) as k(name))
    from unnest(array[
      case when tg_op <> 'INSERT' then to_jsonb(old) end, case when tg_op <> 'DELETE' then to_jsonb(new) end]) as changed(fields)
    where changed.fields is not null;
  end if;
  if tg_op = 'DELETE' then
    return old;
  end if;
  return new;
end
$$;
