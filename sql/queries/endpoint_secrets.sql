-- Encrypted secrets of webhooks and hooks. `seal` begins those that the current JWT_SECRET has encrypted.

-- name: list_webhook_secrets
-- The next webhooks with a secret that the current JWT_SECRET has not encrypted.
select tenant_id, id as endpoint_id, secret, previous_secret from webhooks
where deleted_at is null and (tenant_id, id) > (@after_tenant::text, @after::text)
  and (substr(secret, 1, 4) <> @seal or substr(previous_secret, 1, 4) <> @seal)
order by tenant_id, id limit @max_rows

-- name: list_hook_secrets
-- Return the next hooks with a secret that the current JWT_SECRET has not encrypted.
select tenant_id, name as endpoint_id, secret, previous_secret from hooks
where (tenant_id, name) > (@after_tenant::text, @after::text)
  and (substr(secret, 1, 4) <> @seal or substr(previous_secret, 1, 4) <> @seal)
order by tenant_id, name limit @max_rows

-- name: list_signing_key_secrets
-- The next private signing keys that the current JWT_SECRET has not encrypted.
select tenant_id, kid as endpoint_id, box as secret, null::bytea as previous_secret from signing_keys
where (tenant_id, kid) > (@after_tenant::text, @after::text) and substr(box, 1, 4) <> @seal
order by tenant_id, kid limit @max_rows

-- name: replace_webhook_secrets
-- Replace the secrets of webhooks, unless they were rotated meanwhile.
update webhooks set secret = @new_secret, previous_secret = @new_previous_secret
where tenant_id = @tenant_id and id = @endpoint_id and secret = @secret and previous_secret is not distinct from @previous_secret

-- name: replace_hook_secrets
-- Replace the secrets of hooks, unless they were rotated meanwhile.
update hooks set secret = @new_secret, previous_secret = @new_previous_secret
where tenant_id = @tenant_id and name = @endpoint_id and secret = @secret and previous_secret is not distinct from @previous_secret

-- name: replace_signing_key_secrets
-- Replace the secrets of signing keys, unless another worker did it.
update signing_keys set box = @new_secret
where tenant_id = @tenant_id and kid = @endpoint_id and box = @secret
  and @previous_secret::bytea is null and @new_previous_secret::bytea is null

-- name: count_webhook_secrets
-- Count the webhooks with a secret that the current JWT_SECRET has not encrypted, for `auth1 doctor`.
select count(*) as webhooks from webhooks
where deleted_at is null and (substr(secret, 1, 4) <> @seal or substr(previous_secret, 1, 4) <> @seal)

-- name: count_hook_secrets
-- Count the hooks with such a secret, for `auth1 doctor`.
select count(*) as hooks from hooks where substr(secret, 1, 4) <> @seal or substr(previous_secret, 1, 4) <> @seal
