-- The language that a message was asked for in: the outbox, too, speaks it. Null: the tenant's default.
alter table messages add column if not exists locale text;
