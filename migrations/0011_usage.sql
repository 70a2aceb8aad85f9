-- expand: what perclouds use, by the hour and by the day; what the host's counters said last; what the machine costs.

create table usage_hours (
    tenant_id text not null check (tenant_id ~ '^t-[a-z2-7]{16}$'),
    hour timestamptz not null check (extract(epoch from hour)::bigint % 3600 = 0),
    cpu_micros bigint not null default 0 check (cpu_micros >= 0),
    memory_byte_seconds bigint not null default 0 check (memory_byte_seconds >= 0),
    awake_seconds bigint not null default 0 check (awake_seconds >= 0),
    wakes bigint not null default 0 check (wakes >= 0),
    storage_bytes bigint check (storage_bytes >= 0),
    requests bigint not null default 0 check (requests >= 0),
    egress_bytes bigint not null default 0 check (egress_bytes >= 0),
    throttled_micros bigint not null default 0 check (throttled_micros >= 0),
    memory_limits bigint not null default 0 check (memory_limits >= 0),
    thread_limits bigint not null default 0 check (thread_limits >= 0),
    disk_limits bigint not null default 0 check (disk_limits >= 0),
    failures bigint not null default 0 check (failures >= 0),
    refused bigint not null default 0 check (refused >= 0),
    primary key (tenant_id, hour)
) partition by range (hour);
comment on table usage_hours is 'What each percloud used in each hour in which it used anything; a partition a month, made and dropped by usage_partitions. No foreign key: what a month cost must still add up when a percloud has gone.';
comment on column usage_hours.tenant_id is 'Whose.';
comment on column usage_hours.hour is 'When the hour began.';
comment on column usage_hours.cpu_micros is 'Microseconds of processor time.';
comment on column usage_hours.memory_byte_seconds is 'Memory in use times the time it was in use.';
comment on column usage_hours.awake_seconds is 'Seconds awake.';
comment on column usage_hours.wakes is 'Starts of its runtime.';
comment on column usage_hours.storage_bytes is 'Bytes on the disk as they were last seen in this hour; none when they did not change.';
comment on column usage_hours.requests is 'Requests that visitors made at the edge.';
comment on column usage_hours.egress_bytes is 'Bytes of bodies that went out: to visitors through the edge, to others through the egress proxy.';
comment on column usage_hours.throttled_micros is 'Microseconds that it was held back for wanting more than its processor share.';
comment on column usage_hours.memory_limits is 'How often it was ended for memory.';
comment on column usage_hours.thread_limits is 'How often it was refused a thread.';
comment on column usage_hours.disk_limits is 'How often it was found with more on the disk than it may hold.';
comment on column usage_hours.failures is 'How often its runtime failed.';
comment on column usage_hours.refused is 'Requests, of visitors or its own, that a limit refused.';
-- Rows come in the order of time: a few blocks' bounds find an hour.
create index usage_hours_hour on usage_hours using brin (hour) with (pages_per_range = 16);

create table usage_days (
    tenant_id text not null check (tenant_id ~ '^t-[a-z2-7]{16}$'),
    day date not null,
    cpu_micros bigint not null default 0 check (cpu_micros >= 0),
    memory_byte_seconds bigint not null default 0 check (memory_byte_seconds >= 0),
    awake_seconds bigint not null default 0 check (awake_seconds >= 0),
    wakes bigint not null default 0 check (wakes >= 0),
    storage_bytes bigint check (storage_bytes >= 0),
    requests bigint not null default 0 check (requests >= 0),
    egress_bytes bigint not null default 0 check (egress_bytes >= 0),
    throttled_micros bigint not null default 0 check (throttled_micros >= 0),
    memory_limits bigint not null default 0 check (memory_limits >= 0),
    thread_limits bigint not null default 0 check (thread_limits >= 0),
    disk_limits bigint not null default 0 check (disk_limits >= 0),
    failures bigint not null default 0 check (failures >= 0),
    refused bigint not null default 0 check (refused >= 0),
    primary key (tenant_id, day)
) partition by range (day);
comment on table usage_days is 'The hours of each day (UTC) added up, a row for every percloud that there was, asleep or not; a partition a year.';
comment on column usage_days.tenant_id is 'Whose.';
comment on column usage_days.day is 'Which day, in UTC.';
comment on column usage_days.cpu_micros is 'As in usage_hours, all day.';
comment on column usage_days.memory_byte_seconds is 'As in usage_hours, all day.';
comment on column usage_days.awake_seconds is 'As in usage_hours, all day.';
comment on column usage_days.wakes is 'As in usage_hours, all day.';
comment on column usage_days.storage_bytes is 'Bytes on the disk as they were last seen on this day or before; none when nobody has looked yet.';
comment on column usage_days.requests is 'As in usage_hours, all day.';
comment on column usage_days.egress_bytes is 'As in usage_hours, all day.';
comment on column usage_days.throttled_micros is 'As in usage_hours, all day.';
comment on column usage_days.memory_limits is 'As in usage_hours, all day.';
comment on column usage_days.thread_limits is 'As in usage_hours, all day.';
comment on column usage_days.disk_limits is 'As in usage_hours, all day.';
comment on column usage_days.failures is 'As in usage_hours, all day.';
comment on column usage_days.refused is 'As in usage_hours, all day.';
create index usage_days_day on usage_days using brin (day) with (pages_per_range = 16);

create table usage_marks (
    tenant_id text primary key check (tenant_id ~ '^t-[a-z2-7]{16}$'),
    epoch text not null,
    cpu_micros bigint not null check (cpu_micros >= 0),
    memory_byte_seconds bigint not null check (memory_byte_seconds >= 0),
    awake_seconds bigint not null check (awake_seconds >= 0),
    wakes bigint not null check (wakes >= 0),
    throttled_micros bigint not null check (throttled_micros >= 0),
    memory_limits bigint not null check (memory_limits >= 0),
    thread_limits bigint not null check (thread_limits >= 0),
    disk_limits bigint not null check (disk_limits >= 0),
    failures bigint not null check (failures >= 0),
    storage_bytes bigint not null check (storage_bytes >= 0)
);
comment on table usage_marks is 'How far the host''s counters have been added to usage_hours; changed in the same transaction as the hours, so that nothing counts twice or never.';
comment on column usage_marks.tenant_id is 'Whose.';
comment on column usage_marks.epoch is 'The host''s epoch: in another one its counters have begun at nought again.';
comment on column usage_marks.cpu_micros is 'The counter as it was last added.';
comment on column usage_marks.memory_byte_seconds is 'The counter as it was last added.';
comment on column usage_marks.awake_seconds is 'The counter as it was last added.';
comment on column usage_marks.wakes is 'The counter as it was last added.';
comment on column usage_marks.throttled_micros is 'The counter as it was last added.';
comment on column usage_marks.memory_limits is 'The counter as it was last added.';
comment on column usage_marks.thread_limits is 'The counter as it was last added.';
comment on column usage_marks.disk_limits is 'The counter as it was last added.';
comment on column usage_marks.failures is 'The counter as it was last added.';
comment on column usage_marks.storage_bytes is 'Bytes on the disk as the host last said.';

create table usage_rolled (
    one boolean primary key default true check (one),
    hour timestamptz not null
);
comment on table usage_rolled is 'How far hours have been added up to days: one row.';
comment on column usage_rolled.one is 'There is one row only.';
comment on column usage_rolled.hour is 'The hour in which that was last done.';

create table cost_prices (
    one boolean primary key default true check (one),
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    machine_micros bigint not null check (machine_micros between 0 and 1000000000000),
    machines integer not null check (machines between 1 and 10000),
    share_percent integer not null check (share_percent between 1 and 100),
    watts integer not null check (watts between 0 and 1000000),
    kwh_micros bigint not null check (kwh_micros between 0 and 1000000000),
    storage_gb_micros bigint not null check (storage_gb_micros between 0 and 1000000000),
    egress_gb_micros bigint not null check (egress_gb_micros between 0 and 1000000000),
    weight_base integer not null check (weight_base between 0 and 100),
    weight_cpu integer not null check (weight_cpu between 0 and 100),
    weight_memory integer not null check (weight_memory between 0 and 100),
    check (weight_base + weight_cpu + weight_memory = 100)
);
comment on table cost_prices is 'What the operator pays, in millionths of the currency: what costs are worked out from. One row, or none while nobody has said.';
comment on column cost_prices.one is 'There is one row only.';
comment on column cost_prices.currency is 'ISO 4217, such as EUR.';
comment on column cost_prices.machine_micros is 'What one machine costs a month.';
comment on column cost_prices.machines is 'How many machines there are.';
comment on column cost_prices.share_percent is 'How much of them is there for perclouds.';
comment on column cost_prices.watts is 'What one machine draws on average.';
comment on column cost_prices.kwh_micros is 'What a kilowatt-hour costs.';
comment on column cost_prices.storage_gb_micros is 'What a gigabyte (10^9 bytes) on the disk costs a month, beyond the machine.';
comment on column cost_prices.egress_gb_micros is 'What a gigabyte (10^9 bytes) that goes out costs.';
comment on column cost_prices.weight_base is 'How many per cent of machine and power every percloud shares alike, for being registered.';
comment on column cost_prices.weight_cpu is 'How many per cent are shared by processor time.';
comment on column cost_prices.weight_memory is 'How many per cent are shared by memory-time.';

-- Makes the partitions for a moment and for two months after it. As the owner of the schema, since no role may make tables.
create function usage_partitions(at timestamptz) returns void language plpgsql security definer set search_path = public, pg_temp as $$
declare
    month timestamptz := date_trunc('month', at, 'UTC');
    year date;
    part text;
begin
    for ahead in 0..2 loop
        part := 'usage_hours_' || to_char(month at time zone 'UTC', 'YYYYMM');
        if to_regclass(part) is null then
            perform pg_advisory_xact_lock(hashtext('usage_partitions'));
            execute format('create table if not exists %I partition of usage_hours for values from (%L) to (%L)',
                part, month, (month at time zone 'UTC' + interval '1 month') at time zone 'UTC');
        end if;
        year := date_trunc('year', month at time zone 'UTC')::date;
        part := 'usage_days_' || to_char(year, 'YYYY');
        if to_regclass(part) is null then
            perform pg_advisory_xact_lock(hashtext('usage_partitions'));
            execute format('create table if not exists %I partition of usage_days for values from (%L) to (%L)',
                part, year, (year + interval '1 year')::date);
        end if;
        month := (month at time zone 'UTC' + interval '1 month') at time zone 'UTC';
    end loop;
end $$;
revoke execute on function usage_partitions from public;

-- Drops the partitions that hold nothing younger than 40 days (hours) or 13 months (days), and says which those were.
create function usage_forget(at timestamptz) returns setof text language plpgsql security definer set search_path = public, pg_temp as $$
declare
    part text;
    keep_hours text := 'usage_hours_' || to_char((at - interval '40 days') at time zone 'UTC', 'YYYYMM');
    keep_days text := 'usage_days_' || to_char((at - interval '13 months') at time zone 'UTC', 'YYYY');
begin
    for part in
        select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where (i.inhparent = 'usage_hours'::regclass and c.relname collate "C" < keep_hours)
            or (i.inhparent = 'usage_days'::regclass and c.relname collate "C" < keep_days)
        order by 1
    loop
        execute format('drop table %I', part);
        return next part;
    end loop;
end $$;
revoke execute on function usage_forget from public;

-- What edge and egress count. As the owner of the schema: those two may add to these three columns, and neither read nor change anything.
-- Adds up what is said twice; leaves out perclouds that are not there (any more); gives how many rows were added to.
create function usage_add(
    of_tenants text[], of_hours timestamptz[], of_requests bigint[], of_egress_bytes bigint[], of_refused bigint[]
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
        select from unnest(of_tenants, of_hours, of_requests, of_egress_bytes, of_refused) as s (tenant_id, hour, requests, egress_bytes, refused)
        where s.tenant_id is null or s.hour is null
            or coalesce(s.requests not between 0 and 1000000000000, true)
            or coalesce(s.egress_bytes not between 0 and 1000000000000000, true)
            or coalesce(s.refused not between 0 and 1000000000000, true)
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
    insert into usage_hours (tenant_id, hour, requests, egress_bytes, refused)
    select s.tenant_id, s.hour, sum(s.requests)::bigint, sum(s.egress_bytes)::bigint, sum(s.refused)::bigint
    from unnest(of_tenants, of_hours, of_requests, of_egress_bytes, of_refused) as s (tenant_id, hour, requests, egress_bytes, refused)
    where exists (select from tenants t where t.id = s.tenant_id)
    group by s.tenant_id, s.hour
    order by s.tenant_id, s.hour -- everybody in the same order, so that nobody waits for each other
    on conflict (tenant_id, hour) do update set
        requests = usage_hours.requests + excluded.requests,
        egress_bytes = usage_hours.egress_bytes + excluded.egress_bytes,
        refused = usage_hours.refused + excluded.refused;
    get diagnostics rows_added = row_count;
    return rows_added;
end $$;
revoke execute on function usage_add from public;

-- Scopes of the JSON API for usage and costs.
alter table api_tokens drop constraint api_tokens_scopes_check;
alter table api_tokens add constraint api_tokens_scopes_check check (cardinality(scopes) > 0 and scopes <@ array[
    'tenants:read', 'tenants:write', 'mails:read', 'certificates:read', 'certificates:write', 'domains:read', 'domains:write', 'usage:read']);
comment on column api_tokens.scopes is 'What it may do: tenants:read, tenants:write, mails:read, certificates:read, certificates:write, domains:read, domains:write, usage:read.';
