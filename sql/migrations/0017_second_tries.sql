-- A second try: what one provider took and did not deliver is sent once more, by another one.
alter table messages add column if not exists retry_at timestamptz;           -- when to try again, if nothing better was heard
alter table messages add column if not exists retry_of text collate "C";      -- the message that this is the second try of
alter table messages add column if not exists avoid text[] not null default '{}';  -- providers that may have sent the code
create index if not exists messages_retry on messages (retry_at) where retry_at is not null;
