-- The OAuth endpoints of a tenant. Applications belong to the tenant, revoked tokens to the tenant or its sandbox.

-- name: find_client
-- An enabled application with the digests of the secrets that it may use now.
select id as client_id, scopes, id_token_alg,
  array(select s.digest from unnest(secret_digests, secret_ends) as s(digest, ends) where s.ends is null or s.ends > now()) as secrets
from applications where tenant_id = @tenant_id and id = @client_id and disabled_at is null

-- name: is_token_active
-- Whether the application of a token is enabled, and the token was not revoked.
select exists (select from applications where tenant_id = split_part(@tenant_id, ':', 1) and id = @client_id and disabled_at is null)
  and not exists (select from revoked_tokens where tenant_id = @tenant_id and jti = @jti) as is_active

-- name: revoke_token
-- Repeating changes nothing.
insert into revoked_tokens (tenant_id, jti, expires_at) values (@tenant_id, @jti, to_timestamp(@expires_at::float8))
on conflict do nothing
