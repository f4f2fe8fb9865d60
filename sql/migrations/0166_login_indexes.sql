-- Statements of this file commit one by one.
-- No index of logins and grants but the primary key begins with the tenant: before the first ANALYZE of a table, the planner
-- may take such an index and read all rows of a tenant.
create index concurrently if not exists logins_of_browser on logins (browser_digest, tenant_id);
create index concurrently if not exists logins_of_user on logins (user_id, tenant_id);
create index concurrently if not exists logins_of_identifier on logins (identifier, tenant_id) where identifier is not null;
drop index concurrently if exists logins_browser;
drop index concurrently if exists logins_user;
drop index concurrently if exists logins_identifier;
create index concurrently if not exists grants_of_user on grants (user_id, tenant_id);
create index concurrently if not exists grants_of_session on grants (session_id, tenant_id);
drop index concurrently if exists grants_user;
drop index concurrently if exists grants_session;
