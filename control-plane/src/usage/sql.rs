//! Usage: counting, adding up, reading.

/// The columns that [`super::list::Used`] reads beside whose and when, from hours or days `u`.
macro_rules! amounts {
    () => {
        "u.cpu_micros, u.memory_byte_seconds, u.awake_seconds, u.wakes, u.storage_bytes, u.requests, u.egress_bytes, u.throttled_micros,
            u.memory_limits, u.thread_limits, u.disk_limits, u.failures, u.starts_in_vain, u.busy_micros, u.refused,
            u.forbidden, u.crowded"
    };
}

/// The same, added up.
macro_rules! sums {
    () => {
        "sum(cpu_micros)::bigint as cpu_micros, sum(memory_byte_seconds)::bigint as memory_byte_seconds,
                sum(awake_seconds)::bigint as awake_seconds, sum(wakes)::bigint as wakes, sum(requests)::bigint as requests,
                sum(egress_bytes)::bigint as egress_bytes, sum(throttled_micros)::bigint as throttled_micros,
                sum(memory_limits)::bigint as memory_limits, sum(thread_limits)::bigint as thread_limits,
                sum(disk_limits)::bigint as disk_limits, sum(failures)::bigint as failures,
                sum(starts_in_vain)::bigint as starts_in_vain, sum(busy_micros)::bigint as busy_micros, sum(refused)::bigint as refused,
                sum(forbidden)::bigint as forbidden, sum(crowded)::bigint as crowded"
    };
}

/// Of the day's row that there is and of the one that was worked out, the more.
macro_rules! most {
    ($($column:ident),+) => {
        concat!($(stringify!($column), " = greatest(excluded.", stringify!($column), ", usage_days.", stringify!($column), "), "),+)
    };
}

crate::statements! {
    /// Takes the right to count; whoever else has it keeps it until its transaction ends.
    TAKE = "select pg_try_advisory_xact_lock($1)";
    /// Makes the partitions for a moment and for two months after it.
    PARTITIONS = "select usage_partitions($1)";
    /// How far the host's counters have been added.
    MARKS = "select m.tenant_id, m.epoch, m.cpu_micros, m.memory_byte_seconds, m.awake_seconds, m.wakes, m.throttled_micros, m.memory_limits,
            m.thread_limits, m.disk_limits, m.failures, m.starts_in_vain, m.busy_micros, m.storage_bytes,
            exists (select from tenants t where t.id = m.tenant_id) as there
        from usage_marks m";
    /// Adds what is new to an hour: $1 the hour, $2 the perclouds, then their differences, a column each, and their bytes on the disk.
    ADD = "insert into usage_hours (hour, tenant_id, cpu_micros, memory_byte_seconds, awake_seconds, wakes, throttled_micros, memory_limits,
            thread_limits, disk_limits, failures, starts_in_vain, busy_micros, storage_bytes)
        select $1::timestamptz, s.* from unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
            $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[]) as s
        on conflict (tenant_id, hour) do update set
            cpu_micros = usage_hours.cpu_micros + excluded.cpu_micros,
            memory_byte_seconds = usage_hours.memory_byte_seconds + excluded.memory_byte_seconds,
            awake_seconds = usage_hours.awake_seconds + excluded.awake_seconds,
            wakes = usage_hours.wakes + excluded.wakes,
            throttled_micros = usage_hours.throttled_micros + excluded.throttled_micros,
            memory_limits = usage_hours.memory_limits + excluded.memory_limits,
            thread_limits = usage_hours.thread_limits + excluded.thread_limits,
            disk_limits = usage_hours.disk_limits + excluded.disk_limits,
            failures = usage_hours.failures + excluded.failures,
            starts_in_vain = usage_hours.starts_in_vain + excluded.starts_in_vain,
            busy_micros = usage_hours.busy_micros + excluded.busy_micros,
            storage_bytes = coalesce(excluded.storage_bytes, usage_hours.storage_bytes)";
    /// Moves the marks: $1 the epoch, $2 the perclouds, then their counters, a column each, and their bytes on the disk.
    MARK = "insert into usage_marks (epoch, tenant_id, cpu_micros, memory_byte_seconds, awake_seconds, wakes, throttled_micros, memory_limits,
            thread_limits, disk_limits, failures, starts_in_vain, busy_micros, storage_bytes)
        select $1::text, s.* from unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
            $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[]) as s
        on conflict (tenant_id) do update set
            epoch = excluded.epoch, cpu_micros = excluded.cpu_micros, memory_byte_seconds = excluded.memory_byte_seconds,
            awake_seconds = excluded.awake_seconds, wakes = excluded.wakes, throttled_micros = excluded.throttled_micros,
            memory_limits = excluded.memory_limits, thread_limits = excluded.thread_limits, disk_limits = excluded.disk_limits,
            failures = excluded.failures, starts_in_vain = excluded.starts_in_vain, busy_micros = excluded.busy_micros,
            storage_bytes = excluded.storage_bytes";
    /// Forgets marks.
    UNMARK = "delete from usage_marks where tenant_id = any($1)";
    /// In which hour hours were last added up to days, and since when the clock goes steadily.
    ROLLED = "select hour, steady_since from usage_rolled";
    /// Notes both.
    NOTE_ROLLED = "insert into usage_rolled (hour, steady_since) values ($1, $2)
        on conflict (one) do update set hour = excluded.hour, steady_since = excluded.steady_since";
    /// Notes that the clock leapt.
    NOTE_LEAP = "update usage_rolled set steady_since = $1";
    /// The last day up to $1 of which anything is known.
    LAST_DAY = "select max(day) from usage_days where day <= $1";
    /// What time the database thinks that it is.
    NOW = "select now()";
    /// The first hour of which anything is known.
    FIRST_HOUR = "select min(hour) from usage_hours";
    /// Adds up the day $1, which begins at $2 and ends at $3; $4 says whether it is today. A row for every percloud that was there. Bytes on the
    /// disk are those that were last seen on the day, or before it. What a day has never becomes less: then its hours were dropped.
    ROLL = concat!("insert into usage_days (day, tenant_id, cpu_micros, memory_byte_seconds, awake_seconds, wakes, requests, egress_bytes, throttled_micros,
            memory_limits, thread_limits, disk_limits, failures, starts_in_vain, busy_micros, refused, forbidden, crowded, storage_bytes, confirmed)
        with used as (
            select tenant_id, ", sums!(), ",
                (array_agg(storage_bytes order by hour desc) filter (where storage_bytes is not null))[1] as storage_bytes
            from usage_hours
            where hour >= $2 and hour < $3
            group by tenant_id
        ), there as (
            select tenant_id from used union select id from tenants where created_at < $3
        )
        select $1::date, there.tenant_id, coalesce(u.cpu_micros, 0), coalesce(u.memory_byte_seconds, 0), coalesce(u.awake_seconds, 0),
            coalesce(u.wakes, 0), coalesce(u.requests, 0), coalesce(u.egress_bytes, 0), coalesce(u.throttled_micros, 0),
            coalesce(u.memory_limits, 0), coalesce(u.thread_limits, 0), coalesce(u.disk_limits, 0), coalesce(u.failures, 0),
            coalesce(u.starts_in_vain, 0), coalesce(u.busy_micros, 0), coalesce(u.refused, 0),
            coalesce(u.forbidden, 0), coalesce(u.crowded, 0), coalesce(u.storage_bytes, earlier.storage_bytes, m.storage_bytes),
            coalesce((select t.confirmed_at is not null from tenants t where t.id = there.tenant_id), known.confirmed, earlier.confirmed, true)
        from there
            left join used u on u.tenant_id = there.tenant_id
            left join usage_days known on known.tenant_id = there.tenant_id and known.day = $1::date
            left join usage_days earlier on earlier.tenant_id = there.tenant_id and earlier.day = $1::date - 1
            left join usage_marks m on $4::boolean and m.tenant_id = there.tenant_id
        on conflict (tenant_id, day) do update set
            ", most!(cpu_micros, memory_byte_seconds, awake_seconds, wakes, requests, egress_bytes, throttled_micros, memory_limits, thread_limits,
                disk_limits, failures, starts_in_vain, busy_micros, refused, forbidden, crowded), "
            storage_bytes = coalesce(excluded.storage_bytes, usage_days.storage_bytes), confirmed = excluded.confirmed or usage_days.confirmed");
    /// Drops what is too old.
    FORGET = "select usage_forget($1)";
    /// A page of hours from $1 to $2, oldest first, after the place $4, $5.
    HOURS = concat!("select u.tenant_id, t.domain, u.hour as begin, ", amounts!(), "
        from usage_hours u left join tenants t on t.id = u.tenant_id
        where u.hour >= greatest($1::timestamptz, $4::timestamptz) and u.hour < $2
            and ($3::text is null or u.tenant_id = $3)
            and ($4::timestamptz is null or (u.hour, u.tenant_id) > ($4, $5::text))
        order by u.hour, u.tenant_id
        limit $6");
    /// The same of days.
    DAYS = concat!("select u.tenant_id, t.domain, u.day::timestamp at time zone 'UTC' as begin, ", amounts!(), "
        from usage_days u left join tenants t on t.id = u.tenant_id
        where u.day >= (greatest($1::timestamptz, $4::timestamptz) at time zone 'UTC')::date and u.day < ($2::timestamptz at time zone 'UTC')::date
            and ($3::text is null or u.tenant_id = $3)
            and ($4::timestamptz is null or (u.day, u.tenant_id) > (($4 at time zone 'UTC')::date, $5::text))
        order by u.day, u.tenant_id
        limit $6");
    /// The same of months; of the days from $1 to $2 only.
    MONTHS = concat!("select u.tenant_id, t.domain, u.begin, ", amounts!(), "
        from (
            select tenant_id, date_trunc('month', day::timestamp) at time zone 'UTC' as begin, avg(storage_bytes)::bigint as storage_bytes,
                ", sums!(), "
            from usage_days
            where day >= ($1::timestamptz at time zone 'UTC')::date and day < ($2::timestamptz at time zone 'UTC')::date
                and ($3::text is null or tenant_id = $3)
            group by 1, 2
        ) u left join tenants t on t.id = u.tenant_id
        where $4::timestamptz is null or (u.begin, u.tenant_id) > ($4, $5::text)
        order by u.begin, u.tenant_id
        limit $6");
    /// Who met any limit in the hours from $1 on, or used more than an hour of processor time.
    MET = concat!("select u.tenant_id, t.domain, $1::timestamptz as begin, ", amounts!(), "
        from (
            select tenant_id, null::bigint as storage_bytes, ", sums!(), "
            from usage_hours
            where hour >= $1
            group by tenant_id
            having sum(throttled_micros) + sum(memory_limits) + sum(thread_limits) + sum(disk_limits) + sum(failures) + sum(starts_in_vain)
                + sum(busy_micros) + sum(refused) + sum(forbidden) + sum(crowded) > 0 or sum(cpu_micros) > 3600000000
        ) u left join tenants t on t.id = u.tenant_id");
    /// What the fleet used in each hour from $1 on.
    FLEET = concat!("select hour, ", sums!(), "
        from usage_hours
        where hour >= $1
        group by hour");
    /// How many perclouds are counted, and what they have on the disk.
    STORED = "select count(*), coalesce(sum(storage_bytes), 0)::bigint from usage_marks";
    /// Each percloud since the host's epoch began, in the order in which it is shown.
    EACH = "select t.domain, m.cpu_micros, m.memory_byte_seconds, m.awake_seconds, m.wakes, m.storage_bytes
        from usage_marks m join tenants t on t.id = m.tenant_id";
    /// What edge and way out have counted of each percloud in the hours from $1 on.
    PASSED = "select t.domain, sum(h.requests)::bigint, sum(h.egress_bytes)::bigint
        from usage_hours h join tenants t on t.id = h.tenant_id
        where h.hour >= $1
        group by t.domain";
    /// What each percloud used in the days from $1 to $2, for costs; without those that never were confirmed.
    SHARES = "select u.tenant_id, t.domain, count(*) as days, sum(u.cpu_micros)::bigint as cpu_micros,
            sum(u.memory_byte_seconds)::bigint as memory_byte_seconds, coalesce(sum(u.storage_bytes), 0)::bigint as storage_byte_days,
            sum(u.egress_bytes)::bigint as egress_bytes
        from usage_days u left join tenants t on t.id = u.tenant_id
        where u.day >= $1 and u.day < $2
        group by u.tenant_id, t.domain
        having bool_or(u.confirmed)
        order by u.tenant_id";
    /// What the operator pays.
    PRICES = "select currency, machine_micros, machines, share_percent, watts, kwh_micros, storage_gb_micros, egress_gb_micros,
            weight_base, weight_cpu, weight_memory
        from cost_prices";
    /// Says it anew.
    SET_PRICES = "insert into cost_prices (currency, machine_micros, machines, share_percent, watts, kwh_micros, storage_gb_micros,
            egress_gb_micros, weight_base, weight_cpu, weight_memory)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        on conflict (one) do update set
            currency = excluded.currency, machine_micros = excluded.machine_micros, machines = excluded.machines,
            share_percent = excluded.share_percent, watts = excluded.watts, kwh_micros = excluded.kwh_micros,
            storage_gb_micros = excluded.storage_gb_micros, egress_gb_micros = excluded.egress_gb_micros,
            weight_base = excluded.weight_base, weight_cpu = excluded.weight_cpu, weight_memory = excluded.weight_memory";
}
