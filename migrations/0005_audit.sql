-- expand: who did what to which percloud, for operators and for the people concerned.

create table audit (
    id bigint generated always as identity primary key,
    at timestamptz not null,
    actor text not null check (actor ~ '^(owner|visitor|operator|reconcile|token:k-[a-z2-7]{16})$'),
    action text not null check (action ~ '^[a-z]+\.[a-z-]+$'),
    tenant_id text check (tenant_id ~ '^t-[a-z2-7]{16}$'),
    details jsonb not null default '{}'
);
comment on table audit is 'Who did what. Only ever added to.';
comment on column audit.id is 'Counts up.';
comment on column audit.at is 'When.';
comment on column audit.actor is 'visitor (sign-up), owner, operator (percloud admin), token:… (the API), or reconcile.';
comment on column audit.action is 'What: tenant.created, tenant.suspended …';
comment on column audit.tenant_id is 'To which percloud; no foreign key, since this outlives it.';
comment on column audit.details is 'What else is needed to understand it; never a secret, an address or content.';
create index audit_tenant on audit (tenant_id, id);
