-- The database of `auth1 dev`.

-- name: database_exists
-- Return whether the server has a database of this name.
select exists (select from pg_database where datname = @name)

-- name: create_database
-- Its name is a constant, because a statement that makes a database takes no parameters.
create database auth1_db
