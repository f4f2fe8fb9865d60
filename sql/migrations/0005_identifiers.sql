-- What a person claims: a phone or an email. One row is the lock and the truth for all that hangs on it: who owns it, its
-- live code, the attempts on that code, the challenges that were opened over it, and its budgets. Whoever holds the row's
-- lock decides; nothing is counted elsewhere, so no cache that is lost can refill a budget.
create table if not exists identifiers (
  tenant_id text collate "C" not null,
  identifier text collate "C" not null,       -- +15551234567 or a@b.co, normalised
  user_id text collate "C",                   -- null until proven

  -- The live code; code_mac is null when there is none.
  code_mac bytea,                             -- HMAC of the code: what an attempt is compared with
  code_box bytea,                             -- the code, sealed, to send it again
  code_purpose text,
  code_expires_at timestamptz,
  code_attempts smallint not null default 0,  -- by callers who name no challenge
  code_attempts_max smallint not null default 0,

  -- Challenges over the live code, newest first, each with attempts of its own.
  challenge_ids text[] not null default '{}',
  challenge_attempts smallint[] not null default '{}',

  -- Budgets: times newest first, trimmed on write.
  message_id text collate "C",                -- the newest message
  sends smallint not null default 0,          -- in a row, for the growing wait
  resend_at timestamptz,
  sent_at timestamptz[] not null default '{}',
  wrong_at timestamptz[] not null default '{}',
  wrong_streak smallint not null default 0,   -- wrong answers without one right among them
  unnamed_locked_until timestamptz,           -- until then only callers who name their challenge are answered

  primary key (tenant_id, identifier),
  foreign key (tenant_id, user_id) references users (tenant_id, id) on delete set null (user_id)
) with (fillfactor = 70);                     -- room on the page, so that updates need no new index entries
create index if not exists identifiers_user on identifiers (tenant_id, user_id) where user_id is not null;
