-- Store the type of an identifier. Its text does not tell it: an email may begin with a plus sign.
alter table identifiers add column if not exists type text not null default 'phone' check (type in ('phone', 'email'));
update identifiers set type = 'email' where type = 'phone' and position('@' in identifier) > 0;
alter table identifiers alter column type drop default;

alter table challenges add column if not exists channel text not null default 'sms' check (channel in ('sms', 'email'));
update challenges set channel = 'email' where channel = 'sms' and position('@' in identifier) > 0;
alter table challenges alter column channel drop default;

-- Return the channel that reaches an identifier of a type.
create or replace function channel_of(type text) returns text
language sql immutable strict parallel safe
as $$ select case type when 'phone' then 'sms' else 'email' end $$;
