-- Block other changes of a user's identifiers until the end of the transaction. Row locks are not enough: a snapshot from
-- before the wait does not contain an identifier that the user gets meanwhile.
create function lock_account(tenant_id text, user_id text) returns void
language sql
as $$ select pg_advisory_xact_lock(hashtextextended(tenant_id || ' ' || user_id, 6001)) $$;
