-- Keys that sign the OAuth tokens of a tenant. The sandbox has its own keys: its `tenant_id` ends in `:test`. `box` is the
-- private key, encrypted with tenant and kid as context. The states follow each other: next (published), active (signs),
-- retiring (published until `retires_at`).
create table if not exists signing_keys (
  tenant_id text collate "C" not null,
  kid text collate "C" not null,
  alg text not null check (alg in ('RS256', 'ES256', 'EdDSA')),
  public text not null,                       -- JWK as JSON
  box bytea not null,
  state text not null check (state in ('next', 'active', 'retiring')),
  created_at timestamptz not null default now(),
  activated_at timestamptz,
  retires_at timestamptz,
  primary key (tenant_id, kid)
);
-- Of workers that create a key at once, one succeeds.
create unique index if not exists signing_keys_state on signing_keys (tenant_id, alg, state) where state <> 'retiring';
