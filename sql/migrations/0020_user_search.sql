-- Finding a tenant's users: by the beginning of what the tenant calls them, which is compared byte by byte as ids are, and
-- by what their metadata holds. The tenant is the outermost key of what is indexed, so that a search finds nobody else's
-- users on its way, and takes no longer for them.
alter table users alter column external_id type text collate "C";
create index if not exists users_metadata on users using gin (jsonb_set('{}', array[tenant_id], metadata) jsonb_path_ops);
