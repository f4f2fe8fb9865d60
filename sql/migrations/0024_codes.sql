-- Live codes of other purposes than login, such as adding an identifier to an account. The code of a login is stored in
-- `identifiers`, because every login needs it. All codes of an identifier are read and written under the lock of its row in
-- `identifiers`, which also holds the budgets that they share.
create table if not exists codes (
  tenant_id text collate "C" not null,
  identifier text collate "C" not null,
  purpose text collate "C" not null,
  mac bytea not null,                         -- HMAC of the code: what an attempt is compared with
  box bytea not null,                         -- the encrypted code, to send it again
  expires_at timestamptz not null,
  attempts integer not null default 0,        -- by callers that name no challenge
  attempts_max integer not null,
  challenge_ids text[] not null,              -- newest first, each with attempts of its own
  challenge_attempts smallint[] not null,
  primary key (tenant_id, identifier, purpose),
  foreign key (tenant_id, identifier) references identifiers (tenant_id, identifier) on delete cascade
);

-- Every live code by its purpose, for reading.
create or replace view live_codes as
select tenant_id, identifier, code_purpose as purpose, code_box as box, code_expires_at as expires_at, challenge_ids
from identifiers where code_mac is not null and code_expires_at > now()
union all
select tenant_id, identifier, purpose, box, expires_at, challenge_ids from codes where expires_at > now();
