-- Tenants and their API keys. Every other table is led by tenant_id, but has no foreign key to tenants: a sandbox's rows
-- belong to "<tenant_id>:test", and each login of a busy tenant would otherwise lock the one row that they all share.
-- A deleted tenant is marked first; its rows are purged in small steps once no worker's cache can know it any more.
create table if not exists tenants (
  id text collate "C" primary key,
  slug text not null,
  name text not null,
  settings jsonb not null default '{}',       -- what the tenant has decided; defaults live in the program
  jwt_version integer not null default 1,     -- which of the derived signing keys is current
  created_at timestamptz not null default now(),
  suspended_at timestamptz,
  deleted_at timestamptz
);
create unique index if not exists tenants_slug on tenants (slug) where deleted_at is null;

create table if not exists keys (
  digest bytea primary key,                   -- SHA-256 of the key; the key itself is shown once and kept nowhere
  id text collate "C" not null unique,
  tenant_id text collate "C" not null references tenants on delete cascade,
  kind text not null check (kind in ('pk', 'sk', 'test')),
  hint text not null,                         -- how a person recognises it: its beginning and its last four characters
  allowed_origins text[] not null default '{}',
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  revoked_at timestamptz
);
create index if not exists keys_tenant on keys (tenant_id, id);
