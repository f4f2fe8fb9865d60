-- The database of `auth1 dev`.

-- name: database_exists
-- $1 name
select exists (select from pg_database where datname = $1)

-- name: create_database
-- Its name is a constant, because a statement that makes a database takes no parameters.
create database auth1_db
