-- The reader that makes deliveries from events begins at the last event: no webhook is older.
insert into event_readers (name, tx, id)
select 'webhooks', coalesce(last.tx, '0'), coalesce(last.id, '')
from (select 1) as one left join lateral (select tx, id from events order by tx desc, id desc limit 1) as last on true
on conflict do nothing;

-- Few deliveries fail or are cancelled: a replay finds them among those that were delivered.
create index if not exists deliveries_ended on deliveries (tenant_id, webhook_id, event_id)
  where state in ('failed', 'cancelled');
