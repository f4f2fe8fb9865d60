-- Find hosted logins with their applications, for pages. A login belongs to one browser: the digest of another cookie finds
-- none. Returns a row for each request.
create type find_login as (
  tenant_id text,
  login_id text,
  browser_digest bytea
);
create type found_login as (
  tenant_id text,
  login_id text,
  browser_digest bytea,
  is_found boolean,
  client_id text,                 -- null: a login of the account pages
  client_name text,               -- null: the application was deleted or disabled, or there is none
  client_kind text,
  redirect_uris text[],           -- of the application, at the step `done`
  request text,
  step text,
  identifier text,
  channel text,
  challenge_id text,
  message_state text,             -- of the message of the challenge, while a code is awaited
  user_id text,
  session_id text,
  locale text,
  adding text,
  added text,
  link_box bytea,
  code_length int,
  resend_after int,               -- seconds
  is_expired boolean,
  is_redeemed boolean,
  code_number int,                -- of the code for the application
  code_expires_in float8          -- seconds; null: none was issued
);

create function find_logins(requests find_login[]) returns setof found_login
language plpgsql stable
set search_path from current
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
begin
  return query
  select r.tenant_id, r.login_id, r.browser_digest, l.id is not null, l.client_id, a.name, a.kind,
    case when l.step = 'done' then a.redirect_uris end,
    l.request::text, l.step, l.identifier, l.channel, l.challenge_id,
    case when l.challenge_id is not null and l.step in ('code', 'profile') then (
      -- As find_challenge says: of a message and its retry, the first one where that arrived.
      select case when exists (
          select from messages f where f.tenant_id = m.tenant_id and f.id = m.retry_of and f.state = 'delivered'
        ) then 'delivered' else m.state end
      from (select * from challenges where tenant_id = l.tenant_id and id = l.challenge_id limit 1) as c
      cross join lateral (select * from messages where tenant_id = c.tenant_id and id = c.message_id limit 1) as m
    ) end,
    l.user_id, l.session_id, l.locale, l.adding, l.added, l.link_box, l.code_length::int,
    greatest(0, ceil(extract(epoch from l.resend_at - now())))::int,
    l.expires_at <= now(), l.redeemed_at is not null,
    l.code_number::int, extract(epoch from l.code_expires_at - now())::float8
  from unnest(requests) as r
  -- The limits let the planner of a small or new database read each row by its key.
  left join lateral (
    select * from logins
    where tenant_id = r.tenant_id and id = r.login_id and browser_digest = r.browser_digest limit 1
  ) as l on true
  left join lateral (
    select * from applications
    where tenant_id = split_part(l.tenant_id, ':', 1) and id = l.client_id and disabled_at is null limit 1
  ) as a on true;
end
$$;
