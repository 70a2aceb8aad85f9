-- expand: an own domain gives way to another without a gap: the next one waits beside it, and the one before leads to it for a while.

alter table domains
    add column part text not null default 'main' check (part in ('main', 'next', 'former')),
    add column leads_until timestamptz,
    add constraint domains_leads check ((part = 'former') = (leads_until is not null));
comment on column domains.part is 'main: the one that it answers at, or shall, when it has no other; next: shall take the place of main, which serves until then; former: gave way to main, and leads there.';
comment on column domains.leads_until is 'When a former one is let go of at the latest; none for the others.';
comment on column domains.observed is 'pending: not proved yet; verified: proved and leads here, its certificate is awaited; active: serves, or leads to where the percloud answers; lost: proved once, and three daily looks in a row failed.';
drop index domains_of_tenant;
-- One in use and one on its way; those that have been are not counted here.
create unique index domains_of_tenant on domains (tenant_id, part) where wanted = 'active' and part <> 'former';
create index domains_tenant on domains (tenant_id);

alter table tenants add column former_domain text check (former_domain ~ '^[a-z0-9.-]{3,253}$');
comment on column tenants.former_domain is 'The own domain that it answered at before own_domain, which its runtime answers to as well: the edge leads visitors there until it knows that the runtime knows the new one.';

create or replace view edge_routes with (security_barrier) as
with perclouds as not materialized (
    select
        id, domain, own_domain, served_domain, socket, quota_bytes,
        case
            when observed = 'failing' then 'failing'
            when observed = 'absent' and tries >= 3 then 'failing'
            when observed = 'absent' then 'preparing'
            when wanted = 'suspended' or observed = 'suspended' then 'suspended'
            else 'running'
        end as state,
        -- Where it answers at this moment: what its runtime is known to know, for as long as that is its own.
        case
            when own_domain is null or served_domain is null then domain
            when served_domain in (own_domain, domain) then served_domain
            when exists (
                select from domains d
                where d.tenant_id = tenants.id and d.observed = 'active' and tenants.served_domain in (d.name, d.twin)) then served_domain
            else own_domain
        end as answers_at
    from tenants
    where wanted <> 'deleted'
)
select
    domain as host,
    id as tenant_id,
    -- Back from an own domain: for the moment until the runtime knows.
    case when state = 'running' and own_domain is null and coalesce(served_domain, domain) <> domain then 'preparing' else state end as state,
    socket,
    nullif(answers_at, domain) collate "default" as redirect_to,
    quota_bytes
from perclouds
union all
select
    own_domain,
    id,
    case when state = 'running' and served_domain is distinct from own_domain then 'preparing' else state end,
    socket,
    null,
    quota_bytes
from perclouds
where own_domain is not null
union all
-- The same with or without "www.", and what was the percloud's own domain before. One that serves until the runtime knows the new one leads nowhere.
select d.twin, t.id, t.state, t.socket, nullif(t.answers_at, d.twin) collate "default", t.quota_bytes
from domains d join perclouds t on t.id = d.tenant_id
where d.observed = 'active' and d.twin is distinct from t.own_domain and d.twin is not null
    and (d.part <> 'main' or t.own_domain = d.name)
union all
select d.name, t.id, t.state, t.socket, nullif(t.answers_at, d.name) collate "default", t.quota_bytes
from domains d join perclouds t on t.id = d.tenant_id
where d.observed = 'active' and d.name is distinct from t.own_domain
    and (d.part <> 'main' or t.own_domain = d.twin);

drop trigger domains_route_update on domains;
create trigger domains_route_update after update on domains for each row
    when ((new.name, new.twin, new.observed, new.part) is distinct from (old.name, old.twin, old.observed, old.part))
    execute function domains_route();

-- News for the edge: the name at which it answers first, so that nobody is led there before that is known.
create or replace function tenants_route() returns trigger language plpgsql as $$
declare
    host text;
begin
    for host in
        select name from (
            select distinct name from unnest(array[
                case when tg_op <> 'INSERT' then old.domain end, case when tg_op <> 'INSERT' then old.own_domain end,
                case when tg_op <> 'DELETE' then new.domain end, case when tg_op <> 'DELETE' then new.own_domain end
            ]) as name
            union
            select unnest(array[d.name, d.twin]) from domains d
            where d.tenant_id = case when tg_op = 'DELETE' then old.id else new.id end and d.observed = 'active'
        ) as names
        where name is not null
        order by name = case when tg_op <> 'DELETE' then new.own_domain end desc nulls last
    loop
        perform pg_notify('routes', host);
    end loop;
    return null;
end $$;
