-- Refreshing a session. A refresh token is derived from the session, a number and the server's secret, so nothing of it
-- is kept: only which number is current. What an access token says is derived from the row again.
alter table sessions drop column if exists refresh_digest;
alter table sessions add column if not exists refreshes integer not null default 0;  -- the number of the live token
alter table sessions add column if not exists refreshed_at timestamptz;
-- When it ends, unless it is refreshed before. Never after expires_at.
alter table sessions add column if not exists idle_at timestamptz not null default now() + interval '30 days';
alter table sessions add column if not exists channel text not null default 'sms' check (channel in ('sms', 'email'));
alter table sessions add column if not exists user_agent text;
alter table sessions add column if not exists network text;     -- the /24 or /48 that the login came from
