-- The logo of a tenant. Its digest is also in the tenant's settings, so that messages and pages need no other look-up.
create table if not exists logos (
  tenant_id text collate "C" primary key references tenants on delete cascade,
  digest text collate "C" not null,  -- the first 32 hexadecimal digits of the image's SHA-256
  image bytea not null               -- PNG
);
create index if not exists logos_digest on logos (digest);
