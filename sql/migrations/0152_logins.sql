-- Hosted logins, and what applications get from them. All rows belong to a tenant or to its sandbox, whose `tenant_id` ends
-- in `:test`; applications belong to the tenant for both.
--
-- Locks: the row of a login first, then user, session and grant.

-- The settings of applications that users log in to. URIs are compared character by character.
alter table applications add column if not exists redirect_uris text[] not null default '{}';
alter table applications add column if not exists logout_uris text[] not null default '{}';
alter table applications add column if not exists backchannel_logout_uri text;
alter table applications add column if not exists first_party boolean not null default false;  -- needs no consent
alter table applications add column if not exists require_pkce boolean not null default true;

-- An authorization request, the login that it causes, and its code. It belongs to one browser: each statement of a step
-- names the digest of its cookie. A code is derived from the id and its number, and never stored.
create table if not exists logins (
  tenant_id text collate "C" not null,
  id text collate "C" not null,
  browser_digest bytea not null,
  client_id text collate "C",                 -- null: the user's own account pages
  request jsonb not null default '{}',        -- the validated parameters
  step text not null default 'start' check (
    step in ('start', 'code', 'waiting', 'profile', 'account', 'consent', 'done', 'refused', 'expired')),
  identifier text collate "C",
  channel text check (channel in ('sms', 'email')),
  challenge_id text collate "C",
  user_id text collate "C",
  session_id text collate "C",
  amr text[],
  wrong smallint not null default 0,          -- wrong codes
  created_at timestamptz not null default now(),
  expires_at timestamptz not null default now() + interval '1 hour',
  code_number smallint not null default 0,    -- of the current code; 0: none was issued
  code_expires_at timestamptz,
  redeemed_at timestamptz,
  grant_id text collate "C",
  primary key (tenant_id, id)
) with (fillfactor = 80);
-- Erasures find them by these.
create index if not exists logins_user on logins (tenant_id, user_id) where user_id is not null;
create index if not exists logins_identifier on logins (tenant_id, identifier) where identifier is not null;

-- What a user granted to an application by one login. Its refresh tokens are derived and numbered like those of a session.
-- A grant ends with its session, unless it is offline.
create table if not exists grants (
  tenant_id text collate "C" not null,
  id text collate "C" not null,
  client_id text collate "C" not null,
  user_id text collate "C" not null,
  session_id text collate "C" not null,
  is_offline boolean not null default false,  -- the scope offline_access: it survives the logout
  scopes text[] not null,
  acr smallint not null default 1,
  amr text[] not null,
  authenticated_at timestamptz not null,
  refreshes integer not null default 0,       -- the number of the live token
  refreshed_at timestamptz,
  rotated_at timestamptz[] not null default '{}',  -- as of sessions
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  revoked_at timestamptz,
  primary key (tenant_id, id)
) with (fillfactor = 80);
create index if not exists grants_user on grants (tenant_id, user_id);
create index if not exists grants_session on grants (tenant_id, session_id);

-- The scopes that a user allowed to an application.
create table if not exists consents (
  tenant_id text collate "C" not null,
  user_id text collate "C" not null,
  client_id text collate "C" not null,
  scopes text[] not null,
  granted_at timestamptz not null default now(),
  revoked_at timestamptz,
  primary key (tenant_id, user_id, client_id)
);

-- How the user of a session logged in.
alter table sessions add column if not exists amr text[];            -- null: as `channel` says
alter table sessions add column if not exists acr smallint;          -- null: 1
alter table sessions add column if not exists authenticated_at timestamptz;  -- null: created_at
alter table sessions add column if not exists kind text not null default 'api';  -- api, browser
