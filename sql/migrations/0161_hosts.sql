-- Hosts of tenants: their pages and OAuth endpoints are then at https://<host>. A host counts once a TXT record with the
-- token has shown that the tenant controls its DNS. One at most is canonical: the address of the tenant's issuer.
create table if not exists hosts (
  tenant_id text collate "C" not null,
  id text collate "C" not null,
  host text collate "C" not null,
  token text not null,
  canonical boolean not null default false,
  created_at timestamptz not null default now(),
  verified_at timestamptz,
  primary key (tenant_id, id),
  check (not canonical or verified_at is not null)
);
-- Several tenants may try to verify a host; one succeeds.
create unique index if not exists hosts_of_tenant on hosts (tenant_id, host);
create unique index if not exists hosts_verified on hosts (host) where verified_at is not null;
create unique index if not exists hosts_canonical on hosts (tenant_id) where canonical;
create index if not exists hosts_host on hosts (host);
