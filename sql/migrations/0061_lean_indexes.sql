-- Statements of this file commit one by one.
-- Fewer and smaller indexes for what a login writes. Each begins with its most selective column: one that begins with the
-- tenant looks as good as the primary key to the planner of a database that was never analysed, and reads all rows of the
-- tenant. An id is unique, so an index on it needs no tenant.
-- Until they are replaced, workers of the previous release search users by metadata and work through the outbox without
-- an index.

-- Read by the outbox. Replaces four indexes on columns that each message changes.
create index concurrently if not exists messages_attention on messages (attention_at) where attention_at is not null;
drop index concurrently if exists messages_queued;
drop index concurrently if exists messages_unreported;
drop index concurrently if exists messages_trying;
drop index concurrently if exists messages_retry;

-- Read by find_users_by_metadata. Most users have no metadata.
create index concurrently if not exists users_with_metadata on users
  using gin (jsonb_set('{}', array[tenant_id], metadata) jsonb_path_ops) where metadata <> '{}';
drop index concurrently if exists users_metadata;

-- Read by list_sessions, revocations, and the foreign key.
create index concurrently if not exists sessions_of_user on sessions (user_id);
drop index concurrently if exists sessions_user;

-- Read by find_session, exports, changes of an account, and the foreign key.
create index concurrently if not exists identifiers_of_user on identifiers (user_id) where user_id is not null;
drop index concurrently if exists identifiers_user;

-- Read by exports and erasures.
create index concurrently if not exists challenges_of_identifier on challenges (identifier, tenant_id);
drop index concurrently if exists challenges_identifier;
create index concurrently if not exists messages_of_identifier on messages (identifier, tenant_id);
drop index concurrently if exists messages_identifier;
create index concurrently if not exists links_of_identifier on links (identifier, tenant_id);
drop index concurrently if exists links_identifier;

-- Read by redeem_link.
create index concurrently if not exists links_of_challenge on links (challenge_id);
drop index concurrently if exists links_challenge;

-- Read by export_events: the id of a user where an event names one, else its subject.
create index if not exists events_about on only events (coalesce(data ->> 'user_id', subject));
create index concurrently if not exists {partition}_about on {partition} (coalesce(data ->> 'user_id', subject));
alter index events_about attach partition {partition}_about;
drop index if exists events_user;

-- No statement reads events by transaction.
drop index if exists events_tx;
