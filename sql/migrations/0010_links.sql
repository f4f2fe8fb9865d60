-- Links in emails: one row per message that has one. A link answers the challenge that its message was sent for, in place
-- of the code; identifiers decides whether that is still open. The session is opened when what a confirmed link gives
-- away is redeemed: an authorization code, or the challenge by the secret of whoever asked.
create table if not exists links (
  tenant_id text collate "C" not null,
  message_id text collate "C" not null,
  challenge_id text collate "C" not null,
  identifier text collate "C" not null,
  token_digest bytea not null,                -- SHA-256 of the token; the token is derived from message_id by the secret
  secret_digest bytea not null,               -- SHA-256 of the secret that the asker got
  with_code boolean not null,                 -- whether the message has the code, too
  redirect_to text,                           -- where the authorization code goes; null: the asker redeems the challenge
  code_challenge text,                        -- PKCE, S256
  expires_at timestamptz not null,            -- the end of the code that the message was sent with
  confirmed_at timestamptz,
  grant_digest bytea,                         -- SHA-256 of the authorization code
  redeemed_at timestamptz,
  primary key (tenant_id, message_id)
) with (fillfactor = 80);
create unique index if not exists links_token on links (token_digest);
create unique index if not exists links_grant on links (grant_digest) where grant_digest is not null;
create index if not exists links_challenge on links (tenant_id, challenge_id);
