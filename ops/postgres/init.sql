-- Creates Auth1's role and database. The postgres image runs it once, for an empty volume (compose.yaml); on your own
-- server: POSTGRES_PASSWORD=… psql --username postgres --file ops/postgres/init.sql
--
-- The role owns its database, which is what migrations need, and nothing else: an attacker with Auth1's password cannot
-- read files of the server, run programs on it, or read other databases.
\set ON_ERROR_STOP on
\getenv password POSTGRES_PASSWORD
create role auth1 login nosuperuser nocreatedb nocreaterole noreplication nobypassrls password :'password';
create database auth1_db owner auth1;
revoke all on database auth1_db from public;
