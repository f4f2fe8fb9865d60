-- Return whether a verified login pauses, so that hooks of the tenant can decide about it: 'new' without a user, 'known'
-- with one; null: it goes on. `pause_before`: 'creation' of a user, or every 'login'; null: never. A login that hooks have
-- allowed for this very user does not pause again.
create function pause_login(pause_before text, allowed_user_id text, user_id text, new_user_id text) returns text
language sql immutable
as $$
  select case
    when pause_before is null or coalesce(user_id, new_user_id) = allowed_user_id then null
    when user_id is null then 'new'
    when pause_before = 'login' then 'known' end
$$;
