//! Perclouds: wishes and reading. What the reconciler writes stands in its own `sql.rs`.

/// The columns that [`super::Tenant`] reads, from `tenants t` and `accounts a`.
#[macro_export]
#[doc(hidden)]
macro_rules! tenant_columns {
    () => {
        "t.id, t.account_id, a.email, t.name, t.domain, t.own_domain, t.former_domain, t.wanted, t.suspended_reason, t.observed, t.spec_hash, t.socket,
            t.setup_sha256, t.confirmed_at, t.set_up_at, t.used_bytes, t.quota_bytes, t.language, t.delete_after,
            t.created_at, t.due_at, t.tries, t.last_error, t.retry, t.wish, t.trace_parent"
    };
}

crate::statements! {
    /// Wants a new one.
    CREATE = "insert into tenants
            (id, account_id, name, domain, setup_sha256, confirm_sha256, confirmed_at, quota_bytes, language, created_at, due_at, trace_parent,
            again_sha256)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11, $12)";
    /// The browser that signed up gives another address: new links, and the old ones end.
    AGAIN = "select sign_up_again($1, $2, $3, $4, $5, $6, $7, $8)";
    /// Whether a browser may do so.
    MAY_AGAIN = "select exists (
            select from tenants
            where domain = $1 and again_sha256 = $2 and confirmed_at is null and set_up_at is null and wanted = 'running')";
    /// By id, name or host name.
    FIND = concat!("select ", crate::tenant_columns!(), "
        from tenants t join accounts a on a.id = t.account_id
        where t.id = $1 or t.domain = $1 or t.own_domain = $1 or t.name = $2
        order by t.id = $1 desc, t.domain = $1 desc, t.own_domain = $1 desc nulls last
        limit 1");
    /// By the hash of the mailed link's token.
    BY_CONFIRM = concat!("select ", crate::tenant_columns!(), "
        from tenants t join accounts a on a.id = t.account_id
        where t.confirm_sha256 = $1");
    /// A page of them by host name; '~' comes after every character of one.
    LIST = concat!("select ", crate::tenant_columns!(), "
        from tenants t join accounts a on a.id = t.account_id
        where t.domain > coalesce($1::text, '')
            and t.domain >= coalesce($2::text, '') and t.domain < coalesce($2::text, '') || '~'
            and ($3::text is null or t.observed = $3)
            and (not $4 or t.last_error is not null)
        order by t.domain
        limit $5");
    /// How many by wanted and observed.
    COUNTS = "select wanted, observed, count(*) from tenants group by wanted, observed order by wanted, observed";
    /// Writes a wish, due at once; who is wanted running is tried at once, too.
    WANT = "update tenants set wanted = $2, suspended_reason = $3, due_at = $4, tries = 0, wish = wish + 1,
            trace_parent = coalesce($5, trace_parent), retry = $2 = 'running'
        where id = $1";
    /// The mailed link was used.
    CONFIRM = "update tenants set confirmed_at = coalesce(confirmed_at, $2) where id = $1 and wanted <> 'deleted'";
}
