-- Files that the command line loads: line types by prefix, networks by type. Each is replaced as a whole. Workers read a
-- new version when they see it, one part after the other.
create table if not exists datasets (
  name text collate "C" primary key,    -- prefixes, networks/tor
  version bigint generated always as identity,
  entries integer not null,
  bytes integer not null,
  loaded_at timestamptz not null default now()
);
create table if not exists dataset_parts (
  name text collate "C" not null references datasets on delete cascade,
  version bigint not null,
  part integer not null,
  data bytea not null,
  primary key (name, version, part)
);
-- The parts hold numbers that do not compress well, and are read as a whole.
alter table dataset_parts alter column data set storage external;
