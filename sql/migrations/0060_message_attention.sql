-- The time when the outbox looks at a message next; null: nothing is expected. It is at or before the time when anything
-- is due: the end of a claim, a retry, the end of the wait for a delivery report. It is set when the message is queued, and
-- the outbox moves it on. So most changes of a message change no indexed column, and need no index entries (HOT updates).
-- Workers of the previous release do not set it: what they queue is looked at once.
alter table messages add column if not exists attention_at timestamptz;
alter table messages alter column attention_at set default now();
update messages set attention_at = now() where attention_at is null and state = 'queued';
update messages set attention_at = now() where attention_at is null and trying is not null;
update messages set attention_at = now() where attention_at is null and retry_at is not null;
update messages set attention_at = now() where attention_at is null and state = 'sent' and receipt_due_at is not null;

-- Room on each page for updates of its rows.
alter table messages set (fillfactor = 70);
alter table users set (fillfactor = 90);
alter table sessions set (fillfactor = 85);
alter table idempotency set (fillfactor = 80);
