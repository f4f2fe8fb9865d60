-- What a message costs, in millionths of a US dollar: estimated when it is opened (its segments times the rate of its
-- country), or the provider's own price where that comes. Nothing where the provider refused it. Rows of older versions
-- have no price.
alter table messages add column if not exists country text;             -- ISO 3166-1 alpha-2; null for an email
alter table messages add column if not exists segments smallint;        -- null for an email
alter table messages add column if not exists price_microdollars bigint;
alter table messages add column if not exists price_source text check (price_source in ('estimate', 'provider'));
