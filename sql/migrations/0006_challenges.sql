-- One row per asking, for those who want to know what became of it. It decides nothing: identifiers does.
create table if not exists challenges (
  tenant_id text collate "C" not null,
  id text collate "C" not null,
  identifier text collate "C" not null,
  status text not null default 'open' check (status in ('open', 'answered', 'exhausted', 'cancelled')),
  opened_at timestamptz not null default now(),
  expires_at timestamptz not null,            -- an open challenge past this moment is expired
  closed_at timestamptz,
  primary key (tenant_id, id)
) with (fillfactor = 80);

-- The outbox: a message is committed before it is sent. `trying` names the provider it is being handed to; a queued row
-- with trying null was provably not sent.
create table if not exists messages (
  tenant_id text collate "C" not null,
  id text collate "C" not null,
  challenge_id text collate "C" not null,
  identifier text collate "C" not null,
  channel text not null check (channel in ('sms', 'email')),
  state text not null default 'queued' check (state in ('queued', 'sent', 'delivered', 'failed', 'unknown')),
  trying text,
  claimed_until timestamptz,                  -- by then the process that tries it has finished, or is dead
  provider text,                              -- who took it
  provider_message_id text,
  error text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (tenant_id, id)
) with (fillfactor = 80);
create index if not exists messages_queued on messages (id) where state = 'queued';
