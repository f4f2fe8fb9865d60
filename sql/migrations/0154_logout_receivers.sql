-- Statements of this file commit one by one.
-- Back-channel logouts are claimed by application, so that a long queue of one does not delay the others.
create index concurrently if not exists logout_messages_receivers on logout_messages (tenant_id, client_id, due_at);
drop index concurrently if exists logout_messages_due;
