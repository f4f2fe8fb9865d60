-- The request that a link belongs to, as the confirmation page shows it. A link that redirects has no secret.
alter table links alter column secret_digest drop not null;
alter table links add column if not exists user_agent text;
alter table links add column if not exists network text;     -- the /24 of IPv4, the /48 of IPv6
