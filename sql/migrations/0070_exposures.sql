-- States of fraud scopes that outlive Redis: exposure (messages, or dollars) and verified amount at a second since 1970.
-- Workers write behind what changed: countries, exposure budgets, wrong codes, and blocks of numbers with a load above a
-- half. The newer second wins.
create table if not exists exposures (
  tenant_id text collate "C" not null,
  scope text not null check (scope in ('country', 'exposure_budget', 'guessing', 'block_of_1000', 'block_of_10000')),
  key text collate "C" not null,              -- the country, or the digits that the numbers of a block share; else empty
  exposure double precision not null,
  verified double precision not null,
  second double precision not null,
  loaded_at double precision not null default 0, -- when the load of a block was last above 1; 0: never
  primary key (tenant_id, scope, key)
) with (fillfactor = 70);
create index if not exists exposures_loaded_at on exposures (loaded_at) where loaded_at > 0;
