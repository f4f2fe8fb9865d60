-- Statements of this file commit one by one.
-- The unique keys of links hold to one tenant, so that the table can be distributed by it. Each begins with the digest,
-- because a link is found by its token before its tenant is known. Digests of random tokens do not collide.
create unique index concurrently if not exists links_by_token on links (token_digest, tenant_id);
drop index concurrently if exists links_token;
create unique index concurrently if not exists links_by_grant on links (grant_digest, tenant_id) where grant_digest is not null;
drop index concurrently if exists links_grant;
