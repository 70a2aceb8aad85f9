//! What the perclouds' reconciler reads and writes. `now()` is for leases only; all else asks the clock that it was handed.

crate::statements! {
    /// Claims the one that has been due longest.
    CLAIM = concat!("update tenants t set claimed_until = now() + interval '20 seconds', claim = t.claim + 1
        from accounts a
        where a.id = t.account_id and t.id = (
            select id from tenants where due_at <= $1 and claimed_until < now()
            order by due_at limit 1 for update skip locked)
        returning t.claim, ", crate::tenant_columns!());
    /// Writes what was observed, lets go, and says when to look next: at once, when a wish came meanwhile.
    OBSERVED = "update tenants set
            due_at = case when wish = $3 then $5::timestamptz else $4::timestamptz end,
            observed = $6, spec_hash = $7, socket = $8, set_up_at = $9, used_bytes = $10, delete_after = $11, last_error = $12,
            served_domain = coalesce($13, served_domain),
            owner_key = coalesce($14, owner_key),
            retry = case when wish = $3 then $15 else retry end,
            tries = case when $12::text is null then 0 else tries end,
            claimed_until = '-infinity'
        where id = $1 and claim = $2";
    /// Notes at $2 that its owner hears that it fills the disk, unless that was told after $3; and who that is.
    TELL_FULL = "update tenants t set full_told_at = $2
        from accounts a
        where t.id = $1 and a.id = t.account_id and coalesce(t.full_told_at < $3, true) and t.wanted = 'running'
        returning a.email, t.language, coalesce(t.own_domain, t.domain)";
    /// Writes a failure.
    FAIL = "update tenants set
            due_at = case when wish = $3 then $5::timestamptz else $4::timestamptz end, last_error = $6, tries = tries + 1, claimed_until = '-infinity'
        where id = $1 and claim = $2";
    /// Whether the clock has gone steadily for an hour or more, as whoever adds hours up has noted: by the hour, so that only two hours are
    /// one for sure. Not, where nobody has added up lately.
    STEADY = "select coalesce(bool_or(hour between $1::timestamptz - interval '2 hours' and $1
            and steady_since <= $1::timestamptz - interval '2 hours'), false)
        from usage_rolled";
    /// Lets go.
    RELEASE = "update tenants set claimed_until = '-infinity' where id = $1 and claim = $2";
    /// The row goes.
    FORGET = "delete from tenants where id = $1 and claim = $2";
    /// Each is looked at several times an hour, and tried again within one.
    SET_RIGHT = "update tenants set due_at = $1 where due_at > $1::timestamptz + interval '1 day'";
    /// When the next is due.
    NEXT = "select min(due_at) from tenants where claimed_until < now()";
}
