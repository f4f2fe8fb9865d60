-- Types that several functions share. A composite type has no defaults: every field is given.

-- A live code of any purpose. `mac` is null without one.
create type live_code as (
  mac bytea,
  box bytea,
  expires_at timestamptz,
  attempts int,                   -- by callers that name no challenge
  attempts_max int,
  challenge_ids text[],           -- newest first, each with its own attempts
  challenge_attempts smallint[]
);

-- An event to insert, and an event as statements return it.
create type new_event as (
  tenant_id text,
  id text,
  type text,
  actor text,
  subject text,
  request_id text,
  network text,
  data jsonb
);

-- A verified login: its user and its session.
create type login as (
  tenant_id text,
  user_id text,
  is_new_user boolean,
  challenge_id text,
  channel text,
  session_id text,
  session_expires_in int,         -- seconds
  session_idle_after int,         -- seconds
  device_name text,
  user_agent text,
  network text,
  event_id text,
  user_event_id text,
  actor text,
  request_id text
);

-- The result of a code or a refresh token of an application. Without a grant only the verdict and the events are set.
create type grant_exchange as (
  verdict text,                   -- ok; none (invalid), reused. Of a refresh token: rotated or repeated instead of ok
  grant_id text,
  number int,                     -- of the live refresh token
  user_id text,
  session_id text,
  scopes text[],
  nonce text,                     -- only after a code
  acr smallint,
  amr text[],
  authenticated_at float8,
  phone text,
  email text,
  metadata text,
  user_metadata text,
  events text
);
