-- When the last refresh tokens of a session were exchanged, the newest first: each stays usable for a grace period.
alter table sessions add column if not exists rotated_at timestamptz[] not null default '{}';
