-- What the pages of a hosted login show.
alter table logins add column if not exists locale text;              -- the language that the user chose
alter table logins add column if not exists code_length smallint;
alter table logins add column if not exists resend_at timestamptz;    -- when another code may be requested
-- A completed login replaces the cookie of its browser, in all logins of the browser.
create index if not exists logins_browser on logins (tenant_id, browser_digest);
