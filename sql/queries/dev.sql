-- The database of `auth1 dev`.

-- name: database_exists
-- $1 name
select exists (select from pg_database where datname = $1)

-- name: create_database
create database auth1_db
