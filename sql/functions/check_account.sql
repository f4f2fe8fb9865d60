-- Raise an error if a user has two identifiers of a type: a concurrent transaction has added one.
create function check_account(tenant_id text, user_id text) returns void
language plpgsql
as $$
begin
  if exists (
    select from identifiers i
    where i.tenant_id = check_account.tenant_id and i.user_id = check_account.user_id
    group by i.type having count(*) > 1
  ) then
    raise exception 'the account is being changed by another request' using errcode = 'AU002';
  end if;
end
$$;
