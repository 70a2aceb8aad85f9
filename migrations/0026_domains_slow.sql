-- expand: looks at DNS that take long, which must keep nobody else waiting.

alter table domains add column slow boolean not null default false;
comment on column domains.slow is 'Whether its last look at DNS took long: such ones have a share of the looks, and no more.';
comment on column domains.observed is 'pending: not proved yet; verified: proved and leads here, its certificate is awaited; active: serves, or leads to where the percloud answers; lost: proved once, and three daily looks in a row failed (where it leads here still, its certificate has come to its end, too), or somebody else has proved it.';
comment on column domains.misses is 'Daily looks in a row that found it wrong; from the third on nothing is renewed for it.';
create index domains_claimed on domains (claimed_until) where claimed_until > '-infinity';
