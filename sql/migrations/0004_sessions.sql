-- The revocable row that a session token names by its sid.
create table if not exists sessions (
  tenant_id text collate "C" not null,
  id text collate "C" not null,
  user_id text collate "C" not null,
  refresh_digest bytea not null,              -- SHA-256 of the refresh token
  device_name text,
  created_at timestamptz not null default now(),
  last_used_at timestamptz not null default now(),
  expires_at timestamptz not null,            -- the absolute end, however often it is refreshed
  revoked_at timestamptz,
  primary key (tenant_id, id),
  foreign key (tenant_id, user_id) references users (tenant_id, id) on delete cascade
);
create index if not exists sessions_user on sessions (tenant_id, user_id);
