-- Messages of a code that another message of the same login answered. They are neither verified nor exposed.
alter table message_hours add column if not exists repeated integer not null default 0;
