-- expand: a domain that led to another one and is on its way back to be the one in use leads on meanwhile, and goes on doing so when its owner thinks better of it.

alter table domains
    drop constraint domains_leads,
    add constraint domains_leads check (part <> 'former' or leads_until is not null);
comment on column domains.leads_until is 'When a former one is let go of at the latest; of one that is on its way back to be the one in use, when it would have been. None for the others.';

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
-- The same with or without "www.", and what was the percloud's own domain before, or shall be again: it leads on until then. One that serves
-- until the runtime knows the new one leads nowhere.
select d.twin, t.id, t.state, t.socket, nullif(t.answers_at, d.twin) collate "default", t.quota_bytes
from domains d join perclouds t on t.id = d.tenant_id
where d.observed = 'active' and d.twin is distinct from t.own_domain and d.twin is not null
    and (d.part <> 'main' or t.own_domain is null or t.own_domain = d.name)
union all
select d.name, t.id, t.state, t.socket, nullif(t.answers_at, d.name) collate "default", t.quota_bytes
from domains d join perclouds t on t.id = d.tenant_id
where d.observed = 'active' and d.name is distinct from t.own_domain
    and (d.part <> 'main' or t.own_domain is null or t.own_domain = d.twin);
