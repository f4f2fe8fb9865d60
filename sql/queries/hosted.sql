-- The steps of hosted logins. A login belongs to one browser: each statement names the digest of its cookie. A statement
-- that finds the login in another step changes nothing, and returns no row.

-- name: insert_account_login
-- A login for the account pages, without an application. With a session it begins at the step `profile`, to add an identifier.
insert into logins (tenant_id, id, browser_digest, request, step, adding, user_id, session_id)
values (@tenant_id, @login_id, @browser_digest, @request::text::jsonb, @step, @adding, @user_id, @session_id)
returning id

-- name: find_login
-- A login and its application.
select l.id, l.client_id, a.name as client_name, l.request::text as request, l.step, l.identifier, l.channel, l.challenge_id,
  l.user_id, l.session_id, l.locale, l.adding, l.added, l.link_box, l.code_length::int as code_length,
  greatest(0, ceil(extract(epoch from l.resend_at - now())))::int as resend_after,
  l.expires_at <= now() as is_expired, l.redeemed_at is not null as is_redeemed
from logins l
left join lateral (
  select name from applications where tenant_id = split_part(l.tenant_id, ':', 1) and id = l.client_id and disabled_at is null limit 1
) as a on true
where l.tenant_id = @tenant_id and l.id = @login_id and l.browser_digest = @browser_digest

-- name: record_sent
-- A code or a link was sent, or a code that was sent before is still valid: `challenge_id` is then null.
update logins set step = @step, identifier = @identifier, channel = @channel, challenge_id = @challenge_id::text,
  code_length = @code_length::int, resend_at = now() + @resend_after::int * interval '1 s', link_box = @link_box::bytea
where tenant_id = @tenant_id and id = @login_id and browser_digest = @browser_digest and step in ('start', 'code', 'waiting')
returning id

-- name: start_again
-- Another phone or email, or another account. `channel` is the channel that the user chose, or null.
update logins set step = 'start', identifier = null, channel = @channel::text, challenge_id = null, code_length = null, resend_at = null,
  link_box = null, user_id = null, session_id = null, amr = null, added = null, adding = case when client_id is null then adding end
where tenant_id = @tenant_id and id = @login_id and browser_digest = @browser_digest
  and step in ('start', 'code', 'waiting', 'profile', 'account', 'consent')
returning id

-- name: set_locale
-- The language that the user chose.
update logins set locale = @locale
where tenant_id = @tenant_id and id = @login_id and browser_digest = @browser_digest
returning id

-- name: complete_login
-- The user is known: keep the session, mark it as one of a browser, and replace the cookie in all logins of the browser. Two
-- tabs lock these rows in one order. The lock of the user keeps an erasure from missing the row.
with own as materialized (
  select id, step, expires_at from logins
  where tenant_id = @tenant_id and browser_digest = @browser_digest
  order by expires_at, id for no key update
), owner as materialized (
  select id from users where tenant_id = @tenant_id and id = @user_id for key share
), completed as (
  update logins l set step = @step, identifier = @identifier, channel = @channel, user_id = @user_id, session_id = @session_id,
    amr = @amr::text[], browser_digest = @new_digest, adding = @adding::text, challenge_id = null, code_length = null,
    resend_at = null, link_box = null
  where l.tenant_id = @tenant_id and l.id = @login_id and exists (select from owner) and exists (
    select from own o where o.id = @login_id and o.step in ('code', 'waiting', 'account') and o.expires_at > now())
  returning l.id
), others as (
  update logins l set browser_digest = @new_digest
  where l.tenant_id = @tenant_id and l.id = any(array(select id from own where id <> @login_id)) and exists (select from completed)
), marked as (
  update sessions set kind = 'browser', amr = @amr::text[]
  where tenant_id = @tenant_id and id = @session_id and exists (select from completed)
)
select id from completed

-- name: find_completed_login
-- A login that complete_login gave a new cookie, which no other call knows.
select id from logins where tenant_id = @tenant_id and id = @login_id and browser_digest = @new_digest

-- name: record_addition
-- A code was sent to an identifier that the user adds.
update logins set added = @identifier, challenge_id = @challenge_id, code_length = @code_length::int,
  resend_at = now() + @resend_after::int * interval '1 s'
where tenant_id = @tenant_id and id = @login_id and browser_digest = @browser_digest and step = 'profile' and adding = @type
returning id

-- name: change_addition
-- Another phone or email to add.
update logins set added = null, challenge_id = null, code_length = null, resend_at = null
where tenant_id = @tenant_id and id = @login_id and browser_digest = @browser_digest and step = 'profile'
returning id

-- name: finish_addition
-- The identifier was added. The next step is another one, or the end of the profile.
update logins set step = @step, adding = @adding::text, added = null, challenge_id = null, code_length = null, resend_at = null
where tenant_id = @tenant_id and id = @login_id and browser_digest = @browser_digest and step = 'profile' and adding = @type
returning id

-- name: finish_consent
-- The user allowed the scopes.
update logins set step = 'done'
where tenant_id = @tenant_id and id = @login_id and browser_digest = @browser_digest and step = 'consent'
returning id

-- name: refuse_login
-- The user may not sign in.
update logins set step = 'refused'
where tenant_id = @tenant_id and id = @login_id and browser_digest = @browser_digest and step in ('code', 'waiting')
returning id
