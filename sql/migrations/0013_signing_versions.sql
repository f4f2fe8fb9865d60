-- A tenant's signing key can be replaced: earlier versions verify until they retire. And all of its sessions can be ended
-- at once: those that were opened before this moment.
alter table tenants add column if not exists retired_versions integer[] not null default '{}';
alter table tenants add column if not exists retired_at timestamptz[] not null default '{}';  -- one moment per version
alter table tenants add column if not exists sessions_from timestamptz not null default '-infinity';
