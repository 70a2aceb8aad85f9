//! Certificates: wishes, reading, and what the reconciler writes. `now()` is for leases only.

use crate::domains::misses;

/// The columns that [`super::Certificate`] reads.
macro_rules! columns {
    () => {
        "id, names, tenant_id, wanted, observed, paused, issuer, not_before, not_after, renew_at, created_at, due_at, tries, last_error, \
        trouble, failing_since, waits, ari_explanation"
    };
}

/// Whether a domain shall have nothing ordered: it is paused, or not proved any more.
macro_rules! resting {
    () => {
        concat!("(d.paused or d.misses >= ", misses!(), ")")
    };
}

/// Whether a domain of a percloud `t` is `$so` that these names belong to: one of its two, or the one that it is still
/// in use by while another was chosen. No further: below an apex, the same with `www.` is another domain's name.
macro_rules! domain_is {
    ($so:expr, $names:literal) => {
        concat!(
            "exists (
                select from domains d
                where d.tenant_id = t.id and d.wanted = 'active' and ",
            $so,
            " and (",
            $names,
            " && array[d.name, d.twin] or (d.part = 'main' and t.own_domain = any(",
            $names,
            "))))"
        )
    };
}

/// Which rows may be claimed once they are due: at most 32 are worked at by all reconcilers together, and of those at most 4 that failed
/// before and 4 whose CA is only to be asked when to renew. So neither names that never validate nor a CA that hangs keep the others waiting.
macro_rules! free {
    () => {
        concat!(
            "claimed_until < now() and (not paused or wanted = 'gone')
                and 32 > ",
            claimed!(""),
            "
                and (tries = 0 or 4 > ",
            claimed!(" and tries > 0"),
            ")
                and (due_at is distinct from ari_due_at or 4 > ",
            claimed!(" and due_at = ari_due_at"),
            ")"
        )
    };
}

/// How many are worked at.
macro_rules! claimed {
    ($of:literal) => {
        concat!(
            "(select count(*) from certificates where claimed_until >= now() and claimed_until > '-infinity'",
            $of,
            ")"
        )
    };
}

crate::statements! {
    /// Wants one for these names, due at once; leaves one that is wanted already for the same percloud alone. Of what was said and failed
    /// while they were another's, an operator's pause among it, nothing goes over.
    WANT = "insert into certificates (id, names, tenant_id, created_at, due_at, trace_parent) values ($1, $2, $3, $4, $4, $5)
        on conflict (names) do update set wanted = 'issued', tenant_id = excluded.tenant_id, due_at = $4, tries = 0, told_at = null,
            told_of = null, trouble = null, mend = null, wish = certificates.wish + 1, trace_parent = coalesce(excluded.trace_parent, certificates.trace_parent),
            paused = certificates.paused and certificates.tenant_id is not distinct from excluded.tenant_id,
            failing_since = case when certificates.tenant_id is not distinct from excluded.tenant_id then certificates.failing_since end,
            last_error = case when certificates.tenant_id is not distinct from excluded.tenant_id then certificates.last_error end,
            waits = case when certificates.tenant_id is not distinct from excluded.tenant_id then certificates.waits end
        where certificates.wanted <> 'issued' or certificates.tenant_id is distinct from excluded.tenant_id";
    /// Wants none for these names of a percloud ($3) any more; another's of the same name stays.
    UNWANT = "update certificates set wanted = 'gone', due_at = $2, tries = 0, wish = wish + 1
        where names = $1 and wanted <> 'gone' and tenant_id is not distinct from $3";
    /// Looks at once at what a percloud's certificates wait for.
    LOOK = "update certificates set due_at = $2, wish = wish + 1 where tenant_id = $1 and wanted = 'issued' and waits is not null";
    /// Tries it at once.
    RETRY = "update certificates set due_at = $3, tries = 0, wish = wish + 1, trace_parent = coalesce($2, trace_parent) where id = $1";
    /// Orders a new one at once.
    RENEW = "update certificates set due_at = $3, renew_at = $3, tries = 0, wish = wish + 1, trace_parent = coalesce($2, trace_parent)
        where id = $1";
    /// Leaves it alone.
    PAUSE = "update certificates set paused = true, wish = wish + 1, trace_parent = coalesce($2, trace_parent) where id = $1";
    /// Ends a pause.
    RESUME = "update certificates set paused = false, due_at = $3, tries = 0, wish = wish + 1, trace_parent = coalesce($2, trace_parent)
        where id = $1";
    /// A page of them by id.
    LIST = concat!("select ", columns!(), "
        from certificates
        where id > coalesce($1::text, '')
            and ($2::text is null or names @> array[$2::text])
            and ($3::text is null or tenant_id = $3)
            and (not $4 or last_error is not null)
            and (not $5 or paused)
        order by id
        limit $6");
    /// Perclouds' that are near their end ($1 is now) although nothing failed: they wait for a budget, or nobody came to them. Those of
    /// suspended perclouds, and of domains that are paused or not proved any more, shall end.
    ENDING = concat!("select ", columns!(), "
        from certificates
        where wanted = 'issued' and tenant_id is not null and observed = 'issued' and last_error is null
            and not_after - (not_after - not_before) / 6 < $1
            and not exists (select from tenants t where t.id = certificates.tenant_id and (t.wanted = 'suspended' or ", domain_is!(resting!(), "certificates.names"), "))
        order by not_after
        limit $2");
    /// By id or by one of its names; the one that stands for fewest, when there are several.
    FIND = concat!("select ", columns!(), "
        from certificates
        where id = $1 or names @> array[$1::text]
        order by id = $1 desc, cardinality(names), id
        limit 1");
    /// How many by state; $1 is now.
    COUNTS = concat!("select
            count(*) filter (where not paused and waits is null and last_error is null and c.observed = 'issued' and not_after > $1) as issued,
            count(*) filter (where not paused and waits is null and last_error is null and c.observed = 'absent') as pending,
            count(*) filter (where not paused and waits is not null) as waiting,
            count(*) filter (where not paused and waits is null and last_error is not null) as failing,
            count(*) filter (where not resting and last_error is not null and c.observed = 'issued' and renew_at <= $1) as renewals_failing,
            count(*) filter (where paused) as paused,
            count(*) filter (where c.observed = 'issued' and not_after <= $1) as ended,
            min(not_after) filter (where not resting and c.observed = 'issued' and not_after > $1) as earliest_end
        from (
            select c.paused, c.waits, c.last_error, c.observed, c.not_after, c.renew_at,
                c.paused or coalesce(t.wanted = 'suspended', false) or ", domain_is!(resting!(), "c.names"), " as resting
            from certificates c left join tenants t on t.id = c.tenant_id
            where c.wanted = 'issued') c");
    /// Claims the one that has been due longest.
    CLAIM = concat!("update certificates set claimed_until = now() + interval '20 seconds', claim = claim + 1
        where id = (
            select id from certificates where due_at <= $1 and ", free!(), "
            order by due_at limit 1 for update skip locked)
        returning claim, wish, trace_parent, chain_pem, key_sealed, mend, told_at, told_of, ari_start, ari_end, ari_due_at, ", columns!());
    /// Holds on to it while a slow order runs.
    HOLD = "update certificates set claimed_until = now() + interval '20 seconds' where id = $1 and claim = $2";
    /// Writes a failure.
    FAIL = "update certificates set
            due_at = case when wish = $3 then $5::timestamptz else $4::timestamptz end,
            tries = case when wish = $3 then tries + 1 else 0 end,
            last_error = $6, waits = null, failing_since = coalesce(failing_since, $4::timestamptz), claimed_until = '-infinity'
        where id = $1 and claim = $2";
    /// Whose it is to mend what keeps it from being issued, and what that is, where it is the owner's; the failure itself is written by [`FAIL`].
    TROUBLE = "update certificates set trouble = $3, mend = $4 where id = $1 and claim = $2";
    /// Puts it off until $5 because of $6, which is no failure of its own; with $7 it is somebody's all the same, and shown as one. $8 says
    /// who can mend it.
    PUT_OFF = "update certificates set
            due_at = case when wish = $3 then $5::timestamptz else $4::timestamptz end,
            waits = $6,
            last_error = case when $7 then $6 else last_error end,
            failing_since = case when $7 then coalesce(failing_since, $4::timestamptz) else failing_since end,
            trouble = $8, claimed_until = '-infinity'
        where id = $1 and claim = $2";
    /// When the next is due that could be claimed: whoever ends a turn looks again, so nobody need ask for those that wait for a place.
    NEXT = concat!("select min(due_at) from certificates where ", free!());
    /// A CA that wants to be left alone, and a budget, put one off for a week at most; all else is sooner.
    SET_RIGHT = "update certificates set due_at = least(due_at, $1),
            ari_due_at = case when ari_due_at > $1::timestamptz + interval '8 days' then $1 else ari_due_at end
        where greatest(due_at, ari_due_at) > $1::timestamptz + interval '8 days'";
    /// There is a new one.
    ISSUED = "update certificates set observed = 'issued', issuer = $3, chain_pem = $4, key_sealed = $5, not_before = $6, not_after = $7,
            renew_at = $8, ari_due_at = $9, ari_start = null, ari_end = null, ari_explanation = null
        where id = $1 and claim = $2";
    /// Its CA suggests when to renew it, and may say why. Who wished for something meanwhile, a new one at once perhaps, knows better when.
    SUGGESTED = "update certificates set ari_start = $3, ari_end = $4, ari_due_at = $5, ari_explanation = $7,
            renew_at = case when wish = $8 then $6 else renew_at end
        where id = $1 and claim = $2";
    /// All is well until $5; a wish that came meanwhile is due at once ($4). Lets go.
    OBSERVED = "update certificates set
            due_at = case when wish = $3 then $5::timestamptz else $4::timestamptz end,
            tries = 0, last_error = null, waits = null, failing_since = null, trouble = null, mend = null, told_at = null, told_of = null,
            claimed_until = '-infinity'
        where id = $1 and claim = $2";
    /// Its owner was told of $4's trouble. With $5 it lets go, and it is looked at again at once; else who has the claim goes on.
    TOLD = "update certificates set told_at = $3, told_of = $4, claimed_until = case when $5 then '-infinity' else claimed_until end
        where id = $1 and claim = $2";
    /// What the percloud that it is for shall be, whether all of its names ($2) are proved to be that one's now (three daily looks in a row
    /// that say otherwise are too many), and whether its domain is paused.
    STANDING = concat!("select t.wanted, exists (
            select from domains d
            where d.tenant_id = t.id and d.wanted = 'active' and d.observed in ('verified', 'active') and d.misses < ", misses!(), "
                and $2 <@ array[d.name, d.twin, case when d.part = 'main' then t.own_domain end]), ", domain_is!("d.paused", "$2"), "
        from tenants t where t.id = $1");
    /// Whom to tell.
    OWNER = "select a.email, t.language, t.domain, t.own_domain, coalesce(t.own_domain, t.domain) as address from tenants t join accounts a on a.id = t.account_id where t.id = $1";
    /// Who issues certificates here.
    KNOW = "insert into issuers (public, own_domains, own_root, written_at) values ($1, $2, $3, $4)
        on conflict (one) do update set public = $1, own_domains = $2, own_root = $3, written_at = $4";
    /// The same, read.
    KNOWN = "select public, own_domains, own_root from issuers";
    /// How they are met in CAA records.
    LEARN = "update issuers set caa_names = $1, caa_accounts = $2, caa_methods = $3
        where (caa_names, caa_accounts, caa_methods) is distinct from ($1::text[], $2::text[], $3::text[])";
    /// The same, read.
    MET = "select caa_names, caa_accounts, caa_methods from issuers";
    /// The row goes.
    REMOVE = "delete from certificates where id = $1 and claim = $2 and wish = $3";
}
