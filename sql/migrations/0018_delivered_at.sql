-- When a receipt said that a message had arrived: for the time that deliveries take.
alter table messages add column if not exists delivered_at timestamptz;
-- The messages of a challenge, for whoever looks them up.
create index if not exists messages_challenge on messages (tenant_id, challenge_id);
