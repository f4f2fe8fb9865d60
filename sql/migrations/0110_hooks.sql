-- Blocking hooks: the URLs that Auth1 calls before an action of a tenant, at most one per action. Secrets are encrypted with
-- the tenant and the name as context. `revision` is the id of the event of the last change.
create table if not exists hooks (
  tenant_id text collate "C" not null,
  name text collate "C" not null check (name in ('before_send', 'before_user_created', 'before_token')),
  url text not null,
  on_error text not null check (on_error in ('allow', 'deny')),
  timeout_ms integer not null check (timeout_ms between 1 and 1000),
  secret bytea not null,
  previous_secret bytea,                      -- signs too until `previous_secret_until`
  previous_secret_until timestamptz,
  revision text not null,
  created_at timestamptz not null default now(),
  primary key (tenant_id, name)
);
