-- Raise an error for a batch that open_challenges does not accept.
create function check_batch(requests open_challenge[]) returns void
language plpgsql
as $$
begin
  if exists (
    select from unnest(requests) as r
    where r.key_digest is not null or r.budget_microdollars is not null or r.budget_messages is not null
  ) then
    raise exception 'a request with an Idempotency-Key or a budget is a batch of its own';
  end if;
  if exists (select from unnest(requests) as r group by r.tenant_id, r.identifier having count(*) > 1) then
    raise exception 'an identifier is twice in a batch';
  end if;
end
$$;
