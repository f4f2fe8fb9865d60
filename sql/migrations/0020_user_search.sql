-- Finding a tenant's users: by the beginning of what the tenant calls them, which is compared byte by byte as ids are, and
-- by what their metadata holds.
alter table users alter column external_id type text collate "C";
create index if not exists users_metadata on users using gin (metadata jsonb_path_ops);
