-- What is known of a user beside how to reach it. `metadata` is the tenant's to write, `user_metadata` the user's.
alter table users add column if not exists external_id text;     -- what the tenant calls it
alter table users add column if not exists metadata jsonb not null default '{}';
alter table users add column if not exists user_metadata jsonb not null default '{}';
alter table users add column if not exists ban_reason text;
create unique index if not exists users_external_id on users (tenant_id, external_id) where external_id is not null;
-- All that is kept about one phone or address, to show it to its owner and to erase it.
create index if not exists challenges_identifier on challenges (tenant_id, identifier);
create index if not exists messages_identifier on messages (tenant_id, identifier);
create index if not exists links_identifier on links (tenant_id, identifier);
