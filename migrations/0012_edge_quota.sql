-- The edge refuses a body that is larger than the whole percloud may be, before it wakes anybody for it.

create or replace view edge_routes with (security_barrier) as
with perclouds as not materialized (
    select id, domain, own_domain, served_domain, socket, quota_bytes,
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
    case when served_domain = own_domain then own_domain end as redirect_to,
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
select d.twin, t.id, t.state, t.socket, t.own_domain, t.quota_bytes
from domains d join perclouds t on t.id = d.tenant_id
where d.observed = 'active' and d.twin is not null and t.own_domain = d.name
union all
-- The owner chose the twin, which waits for its certificate: until then it leads to the other one.
select d.name, t.id, t.state, t.socket, t.own_domain, t.quota_bytes
from domains d join perclouds t on t.id = d.tenant_id
where d.observed = 'active' and t.own_domain = d.twin;
comment on column edge_routes.quota_bytes is 'Bytes that it may hold: no request''s body is larger.';

drop trigger tenants_route_update on tenants;
create trigger tenants_route_update after update on tenants for each row
    when ((new.domain, new.own_domain, new.served_domain, new.wanted, new.observed, new.socket, new.quota_bytes, new.tries >= 3)
        is distinct from (old.domain, old.own_domain, old.served_domain, old.wanted, old.observed, old.socket, old.quota_bytes, old.tries >= 3))
    execute function tenants_route();
