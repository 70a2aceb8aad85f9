-- expand: what nobody was told of: ways out that a rule refused, crowds that shake hands, and to owners that their percloud fills the disk. `usage_add` stays for those who know no better.

alter table usage_hours
    add column forbidden bigint not null default 0 check (forbidden >= 0),
    add column crowded bigint not null default 0 check (crowded >= 0);
comment on column usage_hours.forbidden is 'Connections of its own that a rule of the way out refused: to what is not public, or to a port or host that the provider does not allow.';
comment on column usage_hours.crowded is 'Handshakes of its visitors that came faster than one percloud''s share: they waited for others, or were sent away.';
comment on column usage_hours.refused is 'Requests, of its visitors or its own, that were refused for being too many or too large.';
comment on column usage_hours.starts_in_vain is 'How often it was started in vain once too often: it left at once, or while the connection that it was started for still waited.';

alter table usage_days
    add column forbidden bigint not null default 0 check (forbidden >= 0),
    add column crowded bigint not null default 0 check (crowded >= 0);
comment on column usage_days.forbidden is 'As in usage_hours, all day.';
comment on column usage_days.crowded is 'As in usage_hours, all day.';

alter table tenants add column full_told_at timestamptz;
comment on column tenants.full_told_at is 'When its owner was last told that it was put to sleep for filling the disk.';

-- What edge and egress count. As the owner of the schema: those two may add to these columns, and neither read nor change anything.
-- Adds up what is said twice; leaves out perclouds that are not there (any more); gives how many rows were added to.
create function usage_add_counts(
    of_tenants text[], of_hours timestamptz[], of_requests bigint[], of_egress_bytes bigint[], of_refused bigint[], of_forbidden bigint[],
    of_crowded bigint[]
) returns bigint language plpgsql security definer set search_path = public, pg_temp as $$
declare
    rows_added bigint;
    said bigint := coalesce(cardinality(of_tenants), 0);
begin
    if said = 0 then
        return 0;
    end if;
    if said > 10000 then
        raise exception 'too many rows at once: % of 10000', said using errcode = 'check_violation';
    end if;
    if exists (
        select from unnest(of_tenants, of_hours, of_requests, of_egress_bytes, of_refused, of_forbidden, of_crowded)
            as s (tenant_id, hour, requests, egress_bytes, refused, forbidden, crowded)
        where s.tenant_id is null or s.hour is null
            or coalesce(s.requests not between 0 and 1000000000000, true)
            or coalesce(s.egress_bytes not between 0 and 1000000000000000, true)
            or coalesce(s.refused not between 0 and 1000000000000, true)
            or coalesce(s.forbidden not between 0 and 1000000000000, true)
            or coalesce(s.crowded not between 0 and 1000000000000, true)
    ) then
        raise exception 'a row has nothing, less than nothing or too much in it' using errcode = 'check_violation';
    end if;
    if exists (
        select from unnest(of_hours) as s (hour)
        where s.hour <> date_trunc('hour', s.hour, 'UTC') or s.hour not between now() - interval '25 hours' and now() + interval '1 day'
    ) then
        raise exception 'an hour that is none, or further from now than a day' using errcode = 'check_violation';
    end if;
    perform usage_partitions(month) from (select distinct date_trunc('month', h, 'UTC') as month from unnest(of_hours) as h) as months;
    insert into usage_hours (tenant_id, hour, requests, egress_bytes, refused, forbidden, crowded)
    select s.tenant_id, s.hour, sum(s.requests)::bigint, sum(s.egress_bytes)::bigint, sum(s.refused)::bigint, sum(s.forbidden)::bigint,
        sum(s.crowded)::bigint
    from unnest(of_tenants, of_hours, of_requests, of_egress_bytes, of_refused, of_forbidden, of_crowded)
        as s (tenant_id, hour, requests, egress_bytes, refused, forbidden, crowded)
    where exists (select from tenants t where t.id = s.tenant_id)
    group by s.tenant_id, s.hour
    order by s.tenant_id, s.hour -- everybody in the same order, so that nobody waits for each other
    on conflict (tenant_id, hour) do update set
        requests = usage_hours.requests + excluded.requests,
        egress_bytes = usage_hours.egress_bytes + excluded.egress_bytes,
        refused = usage_hours.refused + excluded.refused,
        forbidden = usage_hours.forbidden + excluded.forbidden,
        crowded = usage_hours.crowded + excluded.crowded;
    get diagnostics rows_added = row_count;
    return rows_added;
end $$;
revoke execute on function usage_add_counts from public;
