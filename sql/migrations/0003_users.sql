-- Who has answered a challenge. Columns that an operator adds here survive every migration.
create table if not exists users (
  tenant_id text collate "C" not null,
  id text collate "C" not null,
  created_at timestamptz not null default now(),
  last_login_at timestamptz,
  banned_until timestamptz,                   -- 'infinity' for good
  primary key (tenant_id, id)
);
