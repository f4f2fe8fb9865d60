-- Queue a notice to an identifier: at most five a day, because no tenant's budget limits notices.
create function queue_notice(i identifiers, message_id text, notice text) returns void
language plpgsql
as $$
begin
  insert into messages (tenant_id, id, identifier, channel, notice)
  select i.tenant_id, queue_notice.message_id, i.identifier, channel_of(i.type), queue_notice.notice
  where 5 > (
    select count(*) from messages m
    where m.tenant_id = i.tenant_id and m.identifier = i.identifier and m.notice is not null
      and m.created_at > now() - interval '1 day');
end
$$;
