-- The fraud policy of a tenant and the version of its allow and block lists, read with each API key. The row of `operator`
-- is the default of all tenants without a policy, and the version of the entries that apply to every tenant.
create table if not exists fraud_settings (
  tenant_id text collate "C" primary key,
  policy jsonb,                               -- null: the operator's default
  captcha_secret bytea,                       -- encrypted
  list_version bigint not null default 0,     -- increases with each change of the lists
  list_entries integer not null default 0
);
