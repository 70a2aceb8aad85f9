//! Own domains: wishes, reading, and what the reconciler writes. `now()` is for leases only.

/// The columns that [`super::DomainRow`] reads, from `domains d`, `tenants t` and `accounts a`.
macro_rules! columns {
    () => {
        "d.id, d.tenant_id, d.name, d.twin, d.base, d.target, d.challenge, d.challenge_expires_at, d.wanted, d.observed, d.part, d.leads_until, d.paused, d.resumed_at, d.report,
            d.claimed_at, d.asked_at, d.check_at, d.checked_at, d.verified_at, d.good_at, d.unheard_since, d.misses, d.missed_at, d.due_at, d.tries,
            d.slow, d.last_error, d.wish, d.trace_parent, t.domain, t.own_domain, t.language, t.wanted as tenant_wanted, a.email"
    };
}

/// Whether DNS is to be asked for a row at $1. One whose certificate has come (it is due since the epoch) does first what it can without.
macro_rules! looks {
    () => {
        "wanted = 'active' and not paused and check_at <= $1 and due_at > 'epoch'"
    };
}

/// Those that a worker has.
macro_rules! worked_at {
    () => {
        "claimed_until >= now() and claimed_until > '-infinity'"
    };
}

crate::statements! {
    /// A target for ever.
    TARGET = "insert into domain_targets (target, tenant_id, made_at) values ($1, $2, $3)";
    /// Claims a name.
    CLAIM_NAME = "insert into domains (id, tenant_id, name, twin, base, target, challenge, challenge_expires_at, claimed_at, asked_at, check_at,
            due_at, trace_parent, part)
        select $1, id, $3, $4, $5, $6, $7, $8, $9, $9, $9, $9, $10, $11 from tenants where id = $2 and wanted <> 'deleted'";
    /// How many others claim it without having proved it: those that have had their day ($3), and those that have not. Paused ones
    /// neither count nor go.
    CLAIMS = "select count(*) filter (where claimed_at <= $3), count(*) filter (where claimed_at > $3)
        from domains where base = $1 and tenant_id <> $2 and observed = 'pending' and wanted = 'active' and not paused";
    /// So many ($4) of the others' claims that DNS never knew of and that have had their day ($6) shall go, the oldest first. One that
    /// somebody works on is left alone.
    MAKE_ROOM = "with going as materialized (
            select id from domains
            where base = $1 and tenant_id <> $2 and observed = 'pending' and wanted = 'active' and challenge_seen_at is null
                and claimed_at <= $6 and not paused
            order by claimed_at, id limit $4 for update skip locked)
        update domains d set wanted = 'gone', due_at = $3, tries = 0, wish = wish + 1, trace_parent = coalesce($5, trace_parent)
        from going where d.id = going.id
        returning d.tenant_id, d.name";
    /// A percloud's; of those that lead to it, the one that does so longest comes first.
    OF_TENANT = concat!("select ", columns!(), "
        from domains d join tenants t on t.id = d.tenant_id join accounts a on a.id = t.account_id
        where d.tenant_id = $1 and d.wanted = 'active'
        order by d.leads_until desc, d.id");
    /// Who has a name: by itself or its twin.
    HOLDER = concat!("select ", columns!(), "
        from domains d join tenants t on t.id = d.tenant_id join accounts a on a.id = t.account_id
        where $1 in (d.name, d.twin) and d.wanted = 'active' and d.observed in ('verified', 'active')");
    /// By id, name, twin, or the percloud's id, name or host name: what an operator types. The one that is proved first, and of a
    /// percloud the one that it answers at.
    FIND = concat!("select ", columns!(), "
        from domains d join tenants t on t.id = d.tenant_id join accounts a on a.id = t.account_id
        where $1 in (d.id, d.name, d.twin, t.id, t.name, t.domain)
        order by d.wanted = 'active' desc, $1 not in (t.id, t.name, t.domain) or d.part = 'main' desc, d.observed in ('verified', 'active') desc, d.claimed_at
        limit 1");
    /// A page of them by name.
    LIST = concat!("select ", columns!(), "
        from domains d join tenants t on t.id = d.tenant_id join accounts a on a.id = t.account_id
        where (d.name, d.id) > (coalesce($1::text, ''), coalesce($2::text, ''))
            and ($3::text is null or d.observed = $3)
            and (not $6 or d.paused)
            and (not $4 or d.misses > 0 or d.last_error is not null or d.observed = 'lost'
                or (d.observed in ('verified', 'active') and coalesce(d.report -> 'former', '[]') <> '[]')
                or (d.observed = 'verified' and exists (
                    select from certificates c where c.names = array[d.name] and c.wanted = 'issued' and c.trouble is not null)))
        order by d.name, d.id
        limit $5");
    /// How many by state.
    COUNTS = "select observed, count(*) from domains where wanted = 'active' and part <> 'former' group by observed order by observed";
    /// How many are paused, shall take another's place, and lead to what took theirs.
    ASIDE = "select count(*) filter (where paused), count(*) filter (where part = 'next'), count(*) filter (where part = 'former')
        from domains where wanted = 'active'";
    /// Those in trouble: lost, or missed, or failing; those due for long; those that wait at their old names for the next certificate; those
    /// that lead to a former address of the edge; paused ones; those that are not proved any more and go on until their certificates end; and
    /// those that wait since nobody knows the edge's addresses; and those for which nobody has answered since $2, when that is so of all.
    TROUBLED = concat!("select count(*) filter (where observed = 'lost'), count(*) filter (where observed = 'active' and misses > 0 and misses < ", misses!(), "),
            count(*) filter (where last_error is not null), count(*) filter (where due_at < $1),
            count(*) filter (where observed = 'verified' and exists (
                select from certificates c
                where c.names = array[domains.name] and c.wanted = 'issued' and c.observed = 'issued' and c.trouble is not null)),
            count(*) filter (where observed in ('verified', 'active') and coalesce(report -> 'former', '[]') <> '[]'),
            count(*) filter (where paused), count(*) filter (where observed = 'active' and misses >= ", misses!(), "),
            count(*) filter (where report -> 'notices' @> '[{\"key\": \"domain.notice.no-addresses\"}]'),
            case when max(good_at) filter (where good_at < $2::timestamptz + interval '3 days') >= $2 then 0 else count(*) filter (where observed in ('verified', 'active') and not paused and misses = 0
                and coalesce(good_at, verified_at) < $2) end
        from domains where wanted = 'active'");
    /// A look at all of a percloud's, or at one of them ($5), is wanted now, or as soon as it may be ($3).
    ASK = "update domains set check_at = least(check_at, greatest($2, checked_at + $3::bigint * interval '1 second')),
            due_at = least(coalesce(due_at, $2), greatest($2, checked_at + $3::bigint * interval '1 second')),
            asked_at = case when observed = 'pending' then greatest(asked_at, least($2, claimed_at + $4::bigint * interval '1 day')) else $2 end,
            wish = wish + 1
        where tenant_id = $1 and wanted = 'active' and not paused and ($5::text is null or id = $5)";
    /// It is left alone. The reconciler takes one more turn, to know until when what serves may.
    PAUSE = "update domains set paused = true, due_at = $2, wish = wish + 1, trace_parent = coalesce($3, trace_parent) where id = $1";
    /// Its pause ends; it is looked at at once.
    RESUME = "update domains set paused = false, resumed_at = $2, asked_at = $2, check_at = $2, due_at = $2, tries = 0, wish = wish + 1,
            trace_parent = coalesce($3, trace_parent)
        where id = $1";
    /// Another of the two names, or no twin; looked at at once.
    CHOOSE = "update domains set name = $2, twin = $3, check_at = $4, due_at = $4, wish = wish + 1,
            asked_at = case when observed = 'pending' then greatest(asked_at, least($4, claimed_at + $6::bigint * interval '1 day')) else $4 end,
            trace_parent = coalesce($5, trace_parent)
        where id = $1 and wanted = 'active' and part = 'main'";
    /// It shall go, if it is still what it was when that was decided.
    REMOVE = "update domains set wanted = 'gone', due_at = $2, tries = 0, wish = wish + 1, trace_parent = coalesce($3, trace_parent)
        where id = $1 and wanted = 'active' and part = $4 and observed = $5";
    /// It leads to the percloud again, until $2.
    LEAD_ON = "update domains set part = 'former', leads_until = $2, due_at = $3, tries = 0, wish = wish + 1, trace_parent = coalesce($4, trace_parent)
        where id = $1 and wanted = 'active' and part = $5 and observed = $6";
    /// So do all that lead to the one that is given up.
    REMOVE_FORMER = "update domains set wanted = 'gone', due_at = $2, tries = 0, wish = wish + 1, trace_parent = coalesce($3, trace_parent)
        where tenant_id = $1 and wanted = 'active' and part = 'former'";
    /// What was to take its place stands for itself.
    FIRST = "update domains set part = 'main', due_at = $2, wish = wish + 1 where tenant_id = $1 and wanted = 'active' and part = 'next'";
    /// One that was the percloud's before shall be so again, by this name; looked at at once. It leads there meanwhile.
    BACK = "update domains set part = $6, name = $2, twin = $3, asked_at = $4, check_at = $4, due_at = $4, tries = 0,
            wish = wish + 1, trace_parent = coalesce($5, trace_parent)
        where id = $1 and wanted = 'active' and part = 'former'";
    /// The names of a percloud that goes.
    NAMES_OF = "select name, twin, base from domains where tenant_id = $1 and observed in ('verified', 'active')";
    /// Claims the one that has been due longest. At most 20 looks at DNS are taken at once by all reconcilers together, and of those at most 8
    /// for rows whose last one was slow or failed: name servers that never answer cannot keep the others waiting. What needs no look waits
    /// for none.
    CLAIM = concat!("update domains d set claimed_until = now() + interval '20 seconds', claim = d.claim + 1
        from tenants t join accounts a on a.id = t.account_id
        where t.id = d.tenant_id and d.id = (
            select id from domains
            where due_at <= $1 and claimed_until < now()
                and (not (", looks!(), ") or (
                    20 > (select count(*) from domains where ", worked_at!(), " and ", looks!(), ")
                    and (not (slow or tries > 0)
                        or 8 > (select count(*) from domains where ", worked_at!(), " and (slow or tries > 0) and ", looks!(), "))))
            order by due_at limit 1 for update skip locked)
        returning d.claim, ", columns!());
    /// Writes a failure.
    FAIL = "update domains set
            due_at = case when wish = $3 then $5::timestamptz else $4::timestamptz end, last_error = $6, tries = tries + 1, claimed_until = '-infinity'
        where id = $1 and claim = $2";
    /// When the next is due that has a place: where there is none, a turn that ends makes one.
    NEXT = concat!("select min(due_at)
        from domains, (
            select count(*) as all_of_them, count(*) filter (where slow or tries > 0) as slow_ones from domains where ", worked_at!(), ") at_work
        where claimed_until < now() and all_of_them < 20 and (slow_ones < 8 or not (slow or tries > 0))");
    /// DNS is looked at daily or sooner. One that is paused is due when its certificate ends, which may be long.
    SET_RIGHT = "update domains set due_at = least(due_at, $1), check_at = least(check_at, $1)
        where not paused and greatest(due_at, check_at) > $1::timestamptz + interval '8 days'";
    /// Writes what was found, lets go, and says when to look next: at once, when a wish came meanwhile.
    LOOKED = "update domains set
            due_at = case when wish = $3 then $5::timestamptz else $4::timestamptz end,
            check_at = case when wish = $3 then $6::timestamptz else check_at end,
            report = coalesce($7, report), checked_at = coalesce($8, checked_at), good_at = $9, misses = $10, missed_at = $11,
            challenge_seen_at = coalesce(challenge_seen_at, $12), slow = coalesce($13, slow), unheard_since = $14,
            tries = 0, last_error = null, claimed_until = '-infinity'
        where id = $1 and claim = $2";
    /// Whether a domain other than $1 was found as it should be since $2; not in days that have not come yet, by a clock that was ahead.
    HEARD = "select coalesce((select max(good_at) from domains where base <> $1 and good_at < $2::timestamptz + interval '3 days') >= $2, false)";
    /// The other claim of a name that has been proved; locked, where a transaction is about to change it.
    RIVAL = "select challenge from domains where base = $1 and id <> $2 and observed in ('verified', 'active')";
    /// The same, for the transaction that is about to displace it.
    RIVAL_LOCKED = "select id, tenant_id, name, twin, challenge, part, leads_until from domains
        where base = $1 and id <> $2 and observed in ('verified', 'active') for update";
    /// To whom a displaced owner's mail goes.
    OWNER = "select a.email, t.language, t.domain, coalesce(t.own_domain, t.domain) as address from tenants t join accounts a on a.id = t.account_id where t.id = $1";
    /// Another claim has lost its name: one that led to another one ends, one that was to take another's place waits for its proof again, and
    /// leads nowhere any more.
    DISPLACE = "update domains set
            observed = case when part = 'next' then 'pending' else 'lost' end,
            wanted = case when part = 'former' then 'gone' else wanted end,
            leads_until = case when part = 'former' then leads_until end,
            due_at = $2, check_at = $2, wish = wish + 1
        where id = $1";
    /// Goes from one state to the next. Proved anew, it has missed nothing, which its certificate waits for.
    OBSERVED = "update domains set observed = $3, verified_at = coalesce($4, verified_at), misses = case when $4::timestamptz is null then misses else 0 end
        where id = $1 and claim = $2 and wanted = 'active'";
    /// It was lost: it leads nowhere any more.
    LOST = "update domains set observed = $3, leads_until = null where id = $1 and claim = $2 and wanted = 'active'";
    /// The percloud answers at it from now on: it is the one.
    TAKE = "update domains set observed = 'active', part = 'main', leads_until = null where id = $1 and claim = $2 and wanted = 'active'";
    /// The one that gives way to it leads to it until $3, if it was proved. Whoever works on it loses it: what they saw is not so any more.
    /// What leads there is the name that people know, the one in use, whichever of the two was chosen and was not ready yet.
    GIVE_WAY = "update domains d set part = 'former', leads_until = $3, observed = 'active', due_at = $4, claim = d.claim + 1, claimed_until = '-infinity',
            wish = d.wish + 1,
            name = case when t.own_domain in (d.base, 'www.' || d.base) then t.own_domain else d.name end,
            twin = case when t.own_domain in (d.base, 'www.' || d.base) and t.own_domain <> d.name then d.name else d.twin end
        from tenants t
        where t.id = d.tenant_id and d.tenant_id = $1 and d.id <> $2 and d.wanted = 'active' and d.part = 'main'
            and d.observed in ('verified', 'active')
        returning d.name";
    /// Else it goes.
    GIVE_UP = "update domains set wanted = 'gone', due_at = $3, wish = wish + 1
        where tenant_id = $1 and id <> $2 and wanted = 'active' and part = 'main'";
    /// Those beyond so many ($2) that lead to it do so no more, the oldest first.
    TOO_MANY = "update domains set leads_until = $3, due_at = $3, wish = wish + 1
        where id in (
            select id from domains where tenant_id = $1 and wanted = 'active' and part = 'former' order by leads_until desc, id offset $2)";
    /// Another challenge, and nothing that was said of the old one.
    RENEW = "update domains set challenge = $3, challenge_expires_at = $4, report = null, check_at = $5, due_at = $5, claimed_until = '-infinity'
        where id = $1 and claim = $2";
    /// The row goes.
    DELETE = "delete from domains where id = $1 and claim = $2";
    /// Whether the claim is still this worker's; locked.
    MINE = "select 1 from domains where id = $1 and claim = $2 for update";
    /// A percloud's ($4) certificates of single names that are wanted: whether there is one that lasts for two days more from now ($3) on, or for a sixth of
    /// its life where that is less; whether there is not although somebody tried (or may not try); and until when it lasts so.
    CERTIFICATES = "select name, coalesce(lasts_until > $3, false),
            coalesce(lasts_until, $3) <= $3 and (paused or tried), lasts_until
        from (
            select names[1] as name, paused, trouble is not null or failing_since is not null as tried,
                case when observed = 'issued' then not_after - least(interval '2 days', (not_after - not_before) / 6) end as lasts_until
            from certificates
            where names in (array[$1::text], array[$2::text]) and wanted = 'issued' and tenant_id = $4
        ) c";
    /// A percloud runs again: a domain that rested meanwhile is looked at now.
    RESUMED = "update domains set check_at = $2, due_at = $2, wish = wish + 1 where tenant_id = $1 and wanted = 'active' and observed = 'verified'";
    /// The percloud answers at its own domain from now on.
    OWN = "update tenants set own_domain = $2, former_domain = own_domain, due_at = $3, wish = wish + 1
        where id = $1 and wanted <> 'deleted' and own_domain is distinct from $2";
    /// It does so no more.
    DISOWN = "update tenants set own_domain = null, former_domain = null, due_at = $3, wish = wish + 1 where id = $1 and own_domain = any($2)";
}
