-- A phone or email that an import brought and that its owner has not proven: profile data, never a login.
alter table users add column if not exists unverified_phone text;
alter table users add column if not exists unverified_email text;
