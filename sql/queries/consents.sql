-- The applications that a user lets read the account. Users belong to the tenant or its sandbox, applications to the tenant.

-- name: list_consents
-- Applications with a consent or a live grant, by id: those that are first party need no consent.
select a.id as client_id, a.name, given.scopes, least(c.granted_at, used.granted_at) as granted_at, used.last_used_at
from applications a
left join consents c
  on c.tenant_id = @tenant_id and c.user_id = @user_id and c.client_id = a.id and c.revoked_at is null
cross join lateral (
  select count(*) as grants, min(g.created_at) as granted_at, max(coalesce(g.refreshed_at, g.created_at)) as last_used_at
  from grants g where g.tenant_id = @tenant_id and g.user_id = @user_id and g.client_id = a.id and g.revoked_at is null
    and g.expires_at > now()
) as used
cross join lateral (
  select coalesce(array_agg(distinct s.scope), '{}') as scopes from (
    select unnest(c.scopes) as scope
    union all
    select unnest(g.scopes) from grants g
    where g.tenant_id = @tenant_id and g.user_id = @user_id and g.client_id = a.id and g.revoked_at is null
    and g.expires_at > now()
  ) as s
) as given
where a.tenant_id = split_part(@tenant_id, ':', 1) and (c.client_id is not null or used.grants > 0)
order by a.id

-- name: lock_codes_to_end
-- Lock the logins that could still become a grant of an application. A redemption locks its login first, so a statement
-- after this one sees the grants of all redemptions.
select id from logins
where tenant_id = @tenant_id and user_id = @user_id and client_id = @client_id and redeemed_at is null for no key update

-- name: end_consent
-- End the consent and the grants of an application, and the codes that it has not redeemed. No row if it has none of them.
-- Its access tokens end with the grants.
with ended_codes as (
  update logins set code_expires_at = now()
  where tenant_id = @tenant_id and user_id = @user_id and client_id = @client_id and redeemed_at is null and code_expires_at > now()
), ended_consent as (
  update consents set revoked_at = now()
  where tenant_id = @tenant_id and user_id = @user_id and client_id = @client_id and revoked_at is null
  returning 1
), ended_grants as (
  update grants set revoked_at = now()
  where tenant_id = @tenant_id and user_id = @user_id and client_id = @client_id and revoked_at is null and expires_at > now()
  returning 1
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network, data)
  select @tenant_id, @event_id, 'consent.revoked', @actor, @user_id, @request_id, @network,
    jsonb_build_object('client_id', @client_id::text, 'grants', (select count(*) from ended_grants))
  where exists (select from ended_consent) or exists (select from ended_grants)
  returning event_json(e) as event
)
select json_agg(event)::text as events from new_event having count(*) > 0
