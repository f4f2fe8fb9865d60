-- The steps of hosted logins. A login belongs to one browser: each statement names the digest of its cookie. A statement
-- that finds the login in another step changes nothing, and returns no row.

-- name: insert_account_login
-- A login for the account pages, without an application. With a session it begins at the step `profile`, to add an identifier.
insert into logins (tenant_id, id, browser_digest, request, step, adding, user_id, session_id)
values (@tenant_id, @login_id, @browser_digest, @request::text::jsonb, @step, @adding, @user_id, @session_id)
returning id

-- name: start_again
-- Another phone or email, or another account. `channel` is the channel that the user chose, or null.
update logins set step = 'start', identifier = null, channel = @channel::text, challenge_id = null, code_length = null, resend_at = null,
  link_box = null, user_id = null, session_id = null, amr = null, added = null, adding = case when client_id is null then adding end
where tenant_id = @tenant_id and id = @login_id and browser_digest = @browser_digest
  and step in ('start', 'code', 'waiting', 'profile', 'account', 'consent')
returning id

-- name: set_locale
-- Store the language that the user chose.
update logins set locale = @locale
where tenant_id = @tenant_id and id = @login_id and browser_digest = @browser_digest
returning id

-- name: find_completed_login
-- A login that complete_logins gave a new cookie, which no other call knows.
select tenant_id, id as login_id, @browser_digest::bytea as browser_digest, step from logins
where tenant_id = @tenant_id and id = @login_id and browser_digest = @new_digest

-- name: record_addition
-- Store the identifier that the user adds, after a code was sent to it.
update logins set added = @identifier, challenge_id = @challenge_id, code_length = @code_length::int,
  resend_at = now() + @resend_after::int * interval '1 s'
where tenant_id = @tenant_id and id = @login_id and browser_digest = @browser_digest and step = 'profile' and adding = @type
returning id

-- name: change_addition
-- Let the user enter another phone or email to add.
update logins set added = null, challenge_id = null, code_length = null, resend_at = null
where tenant_id = @tenant_id and id = @login_id and browser_digest = @browser_digest and step = 'profile'
returning id

-- name: finish_addition
-- The identifier was added. The next step is another one, or the end of the profile.
update logins set step = @step, adding = @adding::text, added = null, challenge_id = null, code_length = null, resend_at = null
where tenant_id = @tenant_id and id = @login_id and browser_digest = @browser_digest and step = 'profile' and adding = @type
returning id

-- name: finish_consent
-- Move to the step `done`, because the user has allowed the scopes.
update logins set step = 'done'
where tenant_id = @tenant_id and id = @login_id and browser_digest = @browser_digest and step = 'consent'
returning id

-- name: deny_login
-- Move to the step `refused`, because the user may not sign in.
update logins set step = 'refused'
where tenant_id = @tenant_id and id = @login_id and browser_digest = @browser_digest and step in ('code', 'waiting')
returning id
