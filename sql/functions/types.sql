-- Types that several functions share. A composite type has no defaults: every field is given.

-- A live code, whatever its purpose. `mac` is null where there is none.
create type live_code as (
  mac bytea,
  box bytea,
  expires_at timestamptz,
  attempts int,                   -- by callers that name no challenge
  attempts_max int,
  challenge_ids text[],           -- newest first, each with attempts of its own
  challenge_attempts smallint[]
);

-- An event to insert, and as a statement returns it.
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

-- A login whose proof was accepted: its user and its session.
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
