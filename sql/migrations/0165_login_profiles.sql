-- The steps `profile` and `waiting` of a hosted login.
alter table logins add column if not exists adding text check (adding in ('phone', 'email'));  -- the identifier that the user adds
alter table logins add column if not exists added text collate "C";  -- as it was entered, while its code is awaited
alter table logins add column if not exists link_box bytea;           -- the sealed secret that redeems a magic link
