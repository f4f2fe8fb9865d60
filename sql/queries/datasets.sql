-- The datasets that the command line loads, for all tenants.

-- name: list_datasets
-- Return all datasets. Each worker runs it twice a second.
select name, version, entries, bytes, loaded_at from datasets order by name

-- name: replace_dataset
-- Give a dataset its next version. The lock on its row makes loads of one dataset follow each other.
insert into datasets (name, entries, bytes) values (@name, @entries, @bytes)
on conflict (name) do update
set version = default, entries = excluded.entries, bytes = excluded.bytes, loaded_at = now()
returning version

-- name: insert_part
-- Add a part of a version.
insert into dataset_parts (name, version, part, data) values (@name, @version, @part, @data)

-- name: delete_old_parts
-- Delete the parts of all versions but one.
delete from dataset_parts where name = @name and version <> @version

-- name: read_part
-- Return a part. No row when a newer version has replaced it.
select data from dataset_parts where name = @name and version = @version and part = @part

-- name: remove_dataset
-- Remove a dataset with its parts.
delete from datasets where name = @name returning name
