-- expand: names, perclouds (wanted and observed), the routes that the edge reads, and when reconcilers last turned.

create table names (
    name text collate "C" primary key check (name ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    skeleton text collate "C" not null unique,
    tenant_id text not null check (tenant_id ~ '^t-[a-z2-7]{16}$'),
    taken_at timestamptz not null,
    quarantined_at timestamptz
);
comment on table names is 'Every name ever handed out below the base domain. A name that was in use is never handed out again: links, followers and mails of its owner must not reach a stranger.';
comment on column names.name is 'The label in ASCII (an A-label for IDN).';
comment on column names.skeleton is 'What the name looks like (UTS #39); unique, so that no two names can be taken for each other.';
comment on column names.tenant_id is 'Who has or had it; no foreign key, since the percloud''s row goes and this one stays.';
comment on column names.taken_at is 'When it was handed out.';
comment on column names.quarantined_at is 'When its percloud was deleted; nobody gets it again.';

create table tenants (
    id text primary key check (id ~ '^t-[a-z2-7]{16}$'),
    account_id text not null references accounts (id),
    name text collate "C" not null unique references names (name),
    domain text collate "C" not null unique check (domain ~ '^[a-z0-9.-]{1,253}$'),
    wanted text not null default 'running' check (wanted in ('running', 'suspended', 'deleted')),
    suspended_reason text check (octet_length(suspended_reason) between 1 and 2000),
    observed text not null default 'absent' check (observed in ('absent', 'running', 'suspended', 'failing')),
    spec_hash text,
    socket text,
    setup_sha256 text check (setup_sha256 ~ '^[0-9a-f]{64}$'),
    confirm_sha256 text unique check (confirm_sha256 ~ '^[0-9a-f]{64}$'),
    confirmed_at timestamptz,
    set_up_at timestamptz,
    used_bytes bigint not null default 0 check (used_bytes >= 0),
    quota_bytes bigint not null check (quota_bytes > 0),
    language text not null default 'en' check (language ~ '^[a-z]{2,3}$'),
    delete_after timestamptz,
    created_at timestamptz not null,
    due_at timestamptz,
    claimed_until timestamptz not null default '-infinity',
    claim bigint not null default 0,
    tries integer not null default 0 check (tries >= 0),
    last_error text,
    wish bigint not null default 0,
    trace_parent text,
    check ((wanted = 'suspended') = (suspended_reason is not null)),
    check (observed = 'absent' or socket is not null)
);
comment on table tenants is 'Perclouds: what is wanted (written by web and admin) and what is (written by the reconciler). A row goes when its percloud has gone.';
comment on column tenants.id is 'Random: "t-" and 80 bits in base 32; never reused.';
comment on column tenants.account_id is 'Whose contract it is.';
comment on column tenants.name is 'The label below the base domain, in ASCII.';
comment on column tenants.domain is 'The host name it answers at.';
comment on column tenants.wanted is 'What the owner or the operator asked for. The reconciler reads it, and only turns it to deleted when the owner''s grace or an unconfirmed sign-up has run out.';
comment on column tenants.suspended_reason is 'Why it is suspended, for the owner to read; there while wanted is suspended.';
comment on column tenants.observed is 'What the host was last seen to have; absent also before the first look.';
comment on column tenants.spec_hash is 'The hash of the spec that the host was last seen to have.';
comment on column tenants.socket is 'Where the edge reaches it.';
comment on column tenants.setup_sha256 is 'Hex SHA-256 of "setup:" and the token in the one-time set-up link. Kept after use: taking it out would restart a runtime for nothing.';
comment on column tenants.confirm_sha256 is 'Hex SHA-256 of "confirm:" and the token in the mailed link; none when an operator made it.';
comment on column tenants.confirmed_at is 'When the mailed link was used; never means that it lapses.';
comment on column tenants.set_up_at is 'When its owner was first seen to have set it up.';
comment on column tenants.used_bytes is 'Bytes in use, as the runtime last said.';
comment on column tenants.quota_bytes is 'Bytes that it may hold.';
comment on column tenants.language is 'The language of its first pages.';
comment on column tenants.delete_after is 'The owner asked for deletion in the own Control panel; after this moment it is done.';
comment on column tenants.created_at is 'When it was asked for.';
comment on column tenants.due_at is 'When the reconciler shall look at it next; none for never.';
comment on column tenants.claimed_until is 'Until when a worker has it (a lease: a dead worker lets go by itself).';
comment on column tenants.claim is 'A fencing number: a late worker cannot write.';
comment on column tenants.tries is 'Failures in a row.';
comment on column tenants.last_error is 'What went wrong last, for the operator; none after a success.';
comment on column tenants.wish is 'Counts wishes, so that a turn that ends does not put off one that came meanwhile.';
comment on column tenants.trace_parent is 'W3C trace context of the request that last wanted something, so that one trace shows it through to the end.';
create index tenants_due on tenants (due_at) where due_at is not null;
create index tenants_account on tenants (account_id);
create index tenants_stuck on tenants (tries) where last_error is not null;

create view edge_routes with (security_barrier) as
select
    domain as host,
    id as tenant_id,
    case
        when observed = 'failing' then 'failing'
        when observed = 'absent' and tries >= 3 then 'failing'
        when observed = 'absent' then 'preparing'
        when wanted = 'suspended' or observed = 'suspended' then 'suspended'
        else 'running'
    end as state,
    socket
from tenants
where wanted <> 'deleted';
comment on view edge_routes is 'What the edge may know of perclouds.';
comment on column edge_routes.host is 'The host name in the request.';
comment on column edge_routes.tenant_id is 'Whose it is.';
comment on column edge_routes.state is 'running, suspended, preparing or failing.';
comment on column edge_routes.socket is 'Where it listens; none while it is being prepared.';

-- Work for the reconciler: woken when something new is wanted, not by its own writing.
create function tenants_wake() returns trigger language plpgsql as $$
begin
    perform pg_notify('tenants', '');
    return null;
end $$;
create trigger tenants_wake_insert after insert on tenants for each row execute function tenants_wake();
create trigger tenants_wake_update after update of wanted, due_at on tenants for each row
    when (new.wanted is distinct from old.wanted or (new.due_at < old.due_at) or (old.due_at is null and new.due_at is not null))
    execute function tenants_wake();

-- News for the edge: the host name whose route is another one now.
create function tenants_route() returns trigger language plpgsql as $$
begin
    if tg_op <> 'INSERT' then
        perform pg_notify('routes', old.domain);
    end if;
    if tg_op = 'INSERT' or (tg_op = 'UPDATE' and new.domain <> old.domain) then
        perform pg_notify('routes', new.domain);
    end if;
    return null;
end $$;
create trigger tenants_route_insert after insert or delete on tenants for each row execute function tenants_route();
create trigger tenants_route_update after update on tenants for each row
    when ((new.domain, new.wanted, new.observed, new.socket, new.tries >= 3) is distinct from (old.domain, old.wanted, old.observed, old.socket, old.tries >= 3))
    execute function tenants_route();

create table reconcilers (
    noun text primary key,
    turned_at timestamptz not null,
    outcome text not null check (outcome in ('ok', 'later', 'stuck', 'idle')),
    last_error text
);
comment on table reconcilers is 'When each reconciler last turned and how it went; percloud doctor reads it.';
comment on column reconcilers.noun is 'What it reconciles: tenants, mails, certificates.';
comment on column reconcilers.turned_at is 'When it last turned, or looked and found nothing to do.';
comment on column reconcilers.outcome is 'How the last turn ended.';
comment on column reconcilers.last_error is 'What the last turn that failed said; none after a success.';
