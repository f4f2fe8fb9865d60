-- Let no other transaction change which identifiers a user has, until the end of this one: an identifier that comes to the
-- user meanwhile would be in no snapshot that is older than the wait for its row.
create function lock_account(tenant_id text, user_id text) returns void
language sql
as $$ select pg_advisory_xact_lock(hashtextextended(tenant_id || ' ' || user_id, 6001)) $$;
