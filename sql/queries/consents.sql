-- The applications that a user lets read the account. Users belong to the tenant or its sandbox, applications to the tenant.

-- name: list_consents
-- Applications with a consent or a live grant, by id: those that are first party need no consent.
with live as materialized (
  select g.client_id, g.scopes, g.created_at, coalesce(g.refreshed_at, g.created_at) as used_at
  from grants g join tenants t on t.id = split_part(g.tenant_id, ':', 1)
  where g.tenant_id = @tenant_id and g.user_id = @user_id and g.revoked_at is null and g.expires_at > now()
    and g.created_at >= t.sessions_from and (g.is_offline or not exists (
      select from sessions s where s.tenant_id = g.tenant_id and s.id = g.session_id and s.revoked_at is not null))
), access as (
  select client_id, scopes, granted_at, null::timestamptz as used_at from consents
  where tenant_id = @tenant_id and user_id = @user_id and revoked_at is null
  union all
  select client_id, scopes, created_at, used_at from live
)
select a.id as client_id, a.name, min(c.granted_at) as granted_at, max(c.used_at) as last_used_at,
  array(
    select distinct scope from access o cross join lateral unnest(o.scopes) as scope where o.client_id = a.id order by scope
  ) as scopes
from applications a join access c on c.client_id = a.id
where a.tenant_id = split_part(@tenant_id, ':', 1)
group by a.tenant_id, a.id
order by a.id

-- name: lock_codes_to_end
-- Lock the logins that could still become a grant of an application. A redemption locks its login first, so a statement
-- after this one sees the grants of all redemptions. The order is that of complete_logins.
select id from logins
where tenant_id = @tenant_id and user_id = @user_id and client_id = @client_id and redeemed_at is null
order by expires_at, id for no key update

-- name: lock_consent
-- A redemption locks the consent after its login. So it has committed its grant, or it will see that the consent has ended.
select client_id as id from consents
where tenant_id = @tenant_id and user_id = @user_id and client_id = @client_id for no key update

-- name: end_consent
-- End the consent and the grants of an application, and the logins whose code it has not redeemed: their pages would issue
-- another one. No row if it has neither consent nor grant. Its access tokens end with the grants.
with ended_logins as (
  update logins set step = 'expired', code_expires_at = least(code_expires_at, now())
  where tenant_id = @tenant_id and user_id = @user_id and client_id = @client_id and redeemed_at is null and step = 'done'
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
