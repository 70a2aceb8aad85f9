-- expand: own domains, wanted and observed, and what they change in perclouds' routes.

create table domain_targets (
    target text primary key check (target ~ '^t-[a-z2-7]{26}$'),
    tenant_id text not null,
    made_at timestamptz not null
);
comment on table domain_targets is 'Every routing target that was ever handed out. Rows stay for ever, so that a CNAME that somebody forgot never leads to somebody else.';
comment on column domain_targets.target is 'The label below edge.BASE: "t-" and 128 random bits in base 32.';
comment on column domain_targets.tenant_id is 'Whose it was; the percloud may be gone.';
comment on column domain_targets.made_at is 'When it was made.';

create table domains (
    id text primary key check (id ~ '^d-[a-z2-7]{16}$'),
    tenant_id text not null references tenants on delete cascade,
    name text not null check (name ~ '^[a-z0-9.-]{3,253}$'),
    twin text check (twin ~ '^[a-z0-9.-]{3,253}$' and twin <> name),
    base text not null check (base in (name, twin) or 'www.' || base in (name, twin)),
    target text not null unique references domain_targets,
    challenge text not null check (challenge ~ '^[a-z2-7]{26,64}$'),
    challenge_expires_at timestamptz not null,
    wanted text not null default 'active' check (wanted in ('active', 'gone')),
    observed text not null default 'pending' check (observed in ('pending', 'verified', 'active', 'lost')),
    report jsonb,
    claimed_at timestamptz not null,
    asked_at timestamptz not null,
    check_at timestamptz not null,
    checked_at timestamptz,
    verified_at timestamptz,
    good_at timestamptz,
    misses integer not null default 0 check (misses >= 0),
    missed_at timestamptz,
    due_at timestamptz,
    claimed_until timestamptz not null default '-infinity',
    claim bigint not null default 0,
    tries integer not null default 0 check (tries >= 0),
    last_error text,
    wish bigint not null default 0,
    trace_parent text,
    check (observed in ('pending', 'lost') or verified_at is not null)
);
comment on table domains is 'Names of their own that owners claim for their perclouds: what is wanted (written by web and admin) and what is (written by the reconciler). Several perclouds may claim one name; one at most has it.';
comment on column domains.id is 'Random: "d-" and 80 bits in base 32.';
comment on column domains.tenant_id is 'For which percloud.';
comment on column domains.name is 'The name it shall answer at, in ASCII.';
comment on column domains.twin is 'The same with or without "www.", which leads to the name; none when not wanted.';
comment on column domains.base is 'The name without "www.": the challenge stands below it, and one percloud at most has it.';
comment on column domains.target is 'The label below edge.BASE that a CNAME leads to; for this claim alone, for ever.';
comment on column domains.challenge is 'What the TXT record must say; random, for this claim alone.';
comment on column domains.challenge_expires_at is 'When another challenge is made, unless this one was found in DNS.';
comment on column domains.wanted is 'active: the percloud shall answer at it; gone: the row shall go.';
comment on column domains.observed is 'pending: not proved yet; verified: proved and leads here, its certificate is awaited; active: serves; lost: proved once, and three daily looks in a row failed.';
comment on column domains.report is 'What the last look at DNS found, record by record.';
comment on column domains.claimed_at is 'When it was claimed.';
comment on column domains.asked_at is 'When its owner last did something about it; looks are frequent after that.';
comment on column domains.check_at is 'When DNS is to be looked at next.';
comment on column domains.checked_at is 'When DNS was last looked at.';
comment on column domains.verified_at is 'When it was proved.';
comment on column domains.good_at is 'When DNS was last right.';
comment on column domains.misses is 'Daily looks in a row that found it wrong.';
comment on column domains.missed_at is 'When the last of them was.';
comment on column domains.due_at is 'When the reconciler shall look at it next; none for never.';
comment on column domains.claimed_until is 'Until when a worker has it (a lease: a dead worker lets go by itself).';
comment on column domains.claim is 'A fencing number: a late worker cannot write.';
comment on column domains.tries is 'Failures in a row.';
comment on column domains.last_error is 'What went wrong last, for the operator; none after a success.';
comment on column domains.wish is 'Counts wishes, so that a turn that ends does not put off one that came meanwhile.';
comment on column domains.trace_parent is 'W3C trace context of the request that last wanted something.';
-- One percloud has one, one name belongs to one percloud.
create unique index domains_of_tenant on domains (tenant_id) where wanted = 'active';
create unique index domains_held on domains (base) where observed in ('verified', 'active');
create index domains_base on domains (base);
create index domains_name on domains (name);
create index domains_twin on domains (twin) where twin is not null;
create index domains_due on domains (due_at) where due_at is not null;

alter table tenants add column own_domain text unique check (own_domain ~ '^[a-z0-9.-]{3,253}$');
comment on column tenants.own_domain is 'The own domain that it answers at, once that is proved and has a certificate; written by the domains'' reconciler. None: it answers at domain.';
alter table tenants add column served_domain text;
comment on column tenants.served_domain is 'The name in the spec that the host was last seen to have: no visitor is sent to a name that the runtime does not know yet.';

create or replace view edge_routes with (security_barrier) as
with perclouds as not materialized (
    select
        id, domain, own_domain, served_domain, socket,
        case
            when observed = 'failing' then 'failing'
            when observed = 'absent' and tries >= 3 then 'failing'
            when observed = 'absent' then 'preparing'
            when wanted = 'suspended' or observed = 'suspended' then 'suspended'
            else 'running'
        end as state
    from tenants
    where wanted <> 'deleted'
)
select
    domain as host,
    id as tenant_id,
    -- Back from an own domain: for the moment until the runtime knows.
    case when state = 'running' and own_domain is null and coalesce(served_domain, domain) <> domain then 'preparing' else state end as state,
    socket,
    case when served_domain = own_domain then own_domain end as redirect_to
from perclouds
union all
select
    own_domain,
    id,
    case when state = 'running' and served_domain is distinct from own_domain then 'preparing' else state end,
    socket,
    null
from perclouds
where own_domain is not null
union all
select d.twin, t.id, t.state, t.socket, t.own_domain
from domains d join perclouds t on t.id = d.tenant_id
where d.observed = 'active' and d.twin is not null and t.own_domain = d.name
union all
-- The owner chose the twin, which waits for its certificate: until then it leads to the other one.
select d.name, t.id, t.state, t.socket, t.own_domain
from domains d join perclouds t on t.id = d.tenant_id
where d.observed = 'active' and t.own_domain = d.twin;
comment on view edge_routes is 'What the edge may know of perclouds.';
comment on column edge_routes.host is 'The host name in the request.';
comment on column edge_routes.tenant_id is 'Whose it is.';
comment on column edge_routes.state is 'running, suspended, preparing or failing.';
comment on column edge_routes.socket is 'Where it listens; none while it is being prepared.';
comment on column edge_routes.redirect_to is 'The name to go to instead, with the same path; none where the percloud answers at this one.';

-- News for the edge: every host name whose route may be another one now.
create or replace function tenants_route() returns trigger language plpgsql as $$
declare
    host text;
begin
    for host in
        select distinct name from unnest(array[
            case when tg_op <> 'INSERT' then old.domain end, case when tg_op <> 'INSERT' then old.own_domain end,
            case when tg_op <> 'DELETE' then new.domain end, case when tg_op <> 'DELETE' then new.own_domain end
        ]) as name where name is not null
        union
        select unnest(array[d.name, d.twin]) from domains d
        where d.tenant_id = case when tg_op = 'DELETE' then old.id else new.id end and d.observed = 'active'
    loop
        if host is not null then
            perform pg_notify('routes', host);
        end if;
    end loop;
    return null;
end $$;
drop trigger tenants_route_update on tenants;
create trigger tenants_route_update after update on tenants for each row
    when ((new.domain, new.own_domain, new.served_domain, new.wanted, new.observed, new.socket, new.tries >= 3)
        is distinct from (old.domain, old.own_domain, old.served_domain, old.wanted, old.observed, old.socket, old.tries >= 3))
    execute function tenants_route();

create function domains_route() returns trigger language plpgsql as $$
begin
    if tg_op <> 'INSERT' and old.observed = 'active' then
        perform pg_notify('routes', old.name);
        if old.twin is not null then
            perform pg_notify('routes', old.twin);
        end if;
    end if;
    if tg_op <> 'DELETE' and new.observed = 'active' then
        perform pg_notify('routes', new.name);
        if new.twin is not null then
            perform pg_notify('routes', new.twin);
        end if;
    end if;
    return null;
end $$;
create trigger domains_route_delete after delete on domains for each row execute function domains_route();
create trigger domains_route_update after update on domains for each row
    when ((new.name, new.twin, new.observed) is distinct from (old.name, old.twin, old.observed))
    execute function domains_route();

-- Work for the reconciler: woken when something is wanted or due earlier, not by its own writing.
create function domains_wake() returns trigger language plpgsql as $$
begin
    perform pg_notify('domains', '');
    return null;
end $$;
create trigger domains_wake_insert after insert on domains for each row execute function domains_wake();
create trigger domains_wake_update after update of wanted, due_at on domains for each row
    when (new.wanted is distinct from old.wanted or (new.due_at < old.due_at) or (old.due_at is null and new.due_at is not null))
    execute function domains_wake();

-- A certificate that somebody waits for is there: the domain goes on at once, not with the clock.
create function certificates_awaited() returns trigger language plpgsql as $$
begin
    update domains set due_at = 'epoch', wish = wish + 1
    where wanted = 'active' and observed in ('verified', 'active') and (name = new.names[1] or twin = new.names[1]);
    return null;
end $$;
create trigger certificates_awaited after update on certificates for each row
    when (new.observed = 'issued' and old.observed <> 'issued' and cardinality(new.names) = 1)
    execute function certificates_awaited();

alter table api_tokens drop constraint api_tokens_scopes_check;
alter table api_tokens add constraint api_tokens_scopes_check check (cardinality(scopes) > 0 and scopes <@ array[
    'tenants:read', 'tenants:write', 'mails:read', 'certificates:read', 'certificates:write', 'domains:read', 'domains:write']);
