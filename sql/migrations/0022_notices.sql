-- Notices: messages without a code, which tell a person of a change to their account. They belong to no challenge.
alter table messages alter column challenge_id drop not null;
alter table messages add column if not exists notice text;      -- what it tells of; null: it brings a code or a link
