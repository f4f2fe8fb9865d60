-- The allow and block lists of a tenant; those of `operator` apply to every tenant. Values are normalised. `number` and
-- `address` are personal data: an erasure of a user deletes the allow entries of its number.
create table if not exists fraud_lists (
  tenant_id text collate "C" not null,
  id text collate "C" not null,
  list text not null check (list in ('allow', 'block')),
  kind text not null check (kind in ('number', 'prefix', 'country', 'address', 'network', 'email_domain')),
  value text collate "C" not null,
  reason text,
  expires_at timestamptz,
  author text not null,                       -- the key, or `operator`
  created_at timestamptz not null default now(),
  primary key (tenant_id, id)
);
create unique index if not exists fraud_lists_value on fraud_lists (tenant_id, kind, value, list);
create index if not exists fraud_lists_expiry on fraud_lists (expires_at) where expires_at is not null;
