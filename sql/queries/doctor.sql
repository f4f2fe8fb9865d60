-- What `auth1 doctor` reads from PostgreSQL.

-- name: database_facts
-- Return one row about this connection, the server and the role.
select
    clock_timestamp() as now,
    current_setting('server_version') as version,
    current_setting('server_version_num')::integer as version_number,
    current_setting('max_connections')::integer as max_connections,
    coalesce((select ssl from pg_stat_ssl where pid = pg_backend_pid()), false) as tls,
    (select rolsuper from pg_roles where rolname = current_user) as superuser
