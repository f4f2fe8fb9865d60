-- API keys and their tenants.

-- name: find_tenant
-- The tenant that a live key belongs to, or that a slug names. A slug has no key: @kind is then that of the caller.
select t.id as tenant_id, t.name, t.settings, t.jwt_version, t.suspended_at is not null as suspended,
  coalesce(m.state = 'moved', false) as moved,
  coalesce(extract(epoch from case m.state when 'arriving' then 'infinity' else greatest(m.closed_until, 'epoch') end), 0)::float8
    as closed_until,
  t.retired_versions, extract(epoch from t.sessions_from)::float8 as sessions_from,
  (select coalesce(array_agg(extract(epoch from r)::float8 order by n), '{}')
   from unnest(t.retired_at) with ordinality as u(r, n)) as retired_at,
  k.key_id, k.kind, k.allowed_origins, k.key_expires_at,
  -- A tenant without a policy has the operator's.
  coalesce(f.policy, d.policy) as policy, f.policy is not null as has_own_policy,
  case when f.policy is null then d.captcha_secret else f.captcha_secret end as captcha_secret,
  array[coalesce(f.list_version, 0), coalesce(d.list_version, 0)] as list_versions,
  (select json_object_agg(h.name, json_build_object('name', h.name, 'url', h.url, 'on_error', h.on_error,
    'timeout_ms', h.timeout_ms, 'revision', h.revision, 'secret', translate(encode(h.secret, 'base64'), E'\n', ''),
    'previous_secret', translate(encode(h.previous_secret, 'base64'), E'\n', ''),
    'previous_secret_until', extract(epoch from h.previous_secret_until)::float8))::text
   from hooks h where h.tenant_id = t.id) as hooks,
  (select coalesce(array_agg(o.host order by o.id), '{}') from hosts o where o.tenant_id = t.id and o.verified_at is not null) as hosts,
  (select o.host from hosts o where o.tenant_id = t.id and o.canonical) as canonical_host
from (
  -- A rotated key is revoked in the future, and caches need that time.
  select tenant_id, id as key_id, kind, allowed_origins, extract(epoch from least(expires_at, revoked_at))::float8 as key_expires_at
  from keys
  where digest = @digest and (revoked_at is null or revoked_at > now()) and (expires_at is null or expires_at > now())
  union all
  select id, '', @kind, '{}', null from tenants where slug = @slug
) k
join tenants t on t.id = k.tenant_id
left join tenant_moves m on m.tenant_id = t.id
left join fraud_settings f on f.tenant_id = t.id
left join fraud_settings d on d.tenant_id = 'operator'
where t.deleted_at is null

-- name: list_moved_tenants
-- List the tenants that are served by another installation.
select tenant_id from tenant_moves where state = 'moved'

-- name: is_tenant_moved
-- Whether a tenant is served by another installation. No row without such a tenant.
select coalesce(m.state = 'moved', false) as is_moved
from tenants t left join tenant_moves m on m.tenant_id = t.id
where t.id = @tenant_id and t.deleted_at is null

-- name: list_own_hosts
-- List the verified hosts of the installation.
select h.host, t.slug from hosts h join tenants t on t.id = h.tenant_id where h.verified_at is not null and t.deleted_at is null
