-- Whom an event is about: a user where it names one, else its subject. To show a person all that is kept of them.
create index if not exists events_user on events (tenant_id, (coalesce(data ->> 'user_id', subject)), id);
