-- Expand: one percloud that collects domains must not use up what a CA gives to all.

alter table acme_attempts add column tenant_id text;
alter table acme_attempts add column serving boolean not null default false;
create index acme_attempts_tenant on acme_attempts (tenant_id, at) where not serving;
comment on column acme_attempts.tenant_id is 'For whose certificate; no foreign key, since it counts after the percloud has gone, too. None: the provider''s own.';
comment on column acme_attempts.serving is 'There was one that served: a renewal, whatever its CA takes it for.';
