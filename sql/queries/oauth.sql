-- The OAuth endpoints of a tenant. Applications belong to the tenant, revoked tokens to the tenant or its sandbox.

-- name: is_token_active
-- Whether the application of a token is enabled, and the token was not revoked.
select exists (select from applications where tenant_id = split_part(@tenant_id, ':', 1) and id = @client_id and disabled_at is null)
  and not exists (select from revoked_tokens where tenant_id = @tenant_id and jti = @jti) as is_active

-- name: revoke_token
-- Revoke an access token. Repeating changes nothing.
insert into revoked_tokens (tenant_id, jti, expires_at) values (@tenant_id, @jti, to_timestamp(@expires_at::float8))
on conflict do nothing

-- name: revoke_grant
-- Revoke a grant, because its client returns it. Repeating changes nothing.
with revoked as (
  update grants set revoked_at = now()
  where tenant_id = @tenant_id and id = @grant_id and client_id = @client_id and revoked_at is null
  returning id, user_id
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network, data)
  select @tenant_id, @event_id, 'grant.revoked', @actor, id, @request_id, @network,
    jsonb_build_object('user_id', user_id, 'reason', 'revoked_by_client')
  from revoked
  returning event_json(e) as event
)
select json_agg(event)::text as events from new_event

-- name: push_request
-- Store a login that no browser has begun. Repeating changes nothing.
insert into logins (tenant_id, id, browser_digest, client_id, request, expires_at)
values (@tenant_id, @login_id, '', @client_id, @request::text::jsonb, now() + @life_s::int * interval '1 s')
on conflict do nothing

-- name: find_pushed_request
-- A request that was pushed a short time ago, and the browser that has begun its login since. No row once the application
-- has its tokens.
select client_id, request::text, browser_digest from logins
where tenant_id = @tenant_id and id = @login_id and created_at > now() - @life_s::int * interval '1 s' and redeemed_at is null

-- name: issue_code
-- Number the code of a login that is done. While the current code lives long enough, it is returned again. No row for another
-- browser, or after a redemption.
update logins
set code_number = case when code_expires_at > now() + @reuse_s::int * interval '1 s' then code_number else code_number + 1 end,
  code_expires_at = case when code_expires_at > now() + @reuse_s::int * interval '1 s' then code_expires_at
    else now() + @life_s::int * interval '1 s' end
where tenant_id = @tenant_id and id = @login_id and browser_digest = @browser_digest and step = 'done'
  and client_id is not null and user_id is not null and session_id is not null and redeemed_at is null
  and expires_at > now()
returning client_id, request::text, code_number

-- name: find_login_request
-- Find the request of a login of this browser, unless its code was redeemed.
select client_id, request::text from logins
where tenant_id = @tenant_id and id = @login_id and browser_digest = @browser_digest and client_id is not null
  and redeemed_at is null and expires_at > now()

-- name: give_consent
-- Add scopes to the consent of a user. Repeating changes nothing, and writes no event. The lock of the user keeps an erasure
-- from missing the row.
with owner as (
  select id from users where tenant_id = @tenant_id and id = @user_id for key share
), given as (
  insert into consents as c (tenant_id, user_id, client_id, scopes)
  select @tenant_id, id, @client_id, @scopes::text[] from owner
  on conflict (tenant_id, user_id, client_id) do update set
    scopes = case when c.revoked_at is null
      then array(select distinct s from unnest(c.scopes || excluded.scopes) as s order by s) else excluded.scopes end,
    granted_at = now(), revoked_at = null
  where c.revoked_at is not null or not c.scopes @> excluded.scopes
  returning c.user_id
), new_event as (
  insert into events as e (tenant_id, id, type, actor, subject, request_id, network, data)
  select @tenant_id, @event_id, 'consent.given', user_id, user_id, @request_id, @network,
    jsonb_build_object('client_id', @client_id::text, 'scopes', to_jsonb(@scopes::text[]))
  from given
  returning event_json(e) as event
)
select json_agg(event)::text as events from new_event
