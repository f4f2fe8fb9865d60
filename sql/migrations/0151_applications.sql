-- Registered OAuth clients. They belong to the tenant, and its sandbox has the same ones. Of a secret only the digest is
-- stored; at most two are accepted at once, each until its end.
create table if not exists applications (
  tenant_id text collate "C" not null,
  id text collate "C" not null,
  name text not null,
  kind text not null check (kind in ('web', 'spa', 'native', 'machine')),
  secret_digests bytea[] not null default '{}',
  secret_ends timestamptz[] not null default '{}',  -- null: without an end
  scopes text[] not null default '{}',
  id_token_alg text not null default 'RS256' check (id_token_alg in ('RS256', 'ES256', 'EdDSA')),
  created_at timestamptz not null default now(),
  disabled_at timestamptz,
  primary key (tenant_id, id)
);

-- Access tokens that were revoked before they expired, by their `jti`. The sandbox's `tenant_id` ends in `:test`.
create table if not exists revoked_tokens (
  tenant_id text collate "C" not null,
  jti text collate "C" not null,
  expires_at timestamptz not null,
  primary key (tenant_id, jti)
);
create index if not exists revoked_tokens_expired on revoked_tokens (expires_at);
