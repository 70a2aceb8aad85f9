//! Owners at the portal.

crate::statements! {
    /// A percloud and the key that vouches for its owner.
    VOUCHER = concat!("select t.owner_key, ", crate::tenant_columns!(), "
        from tenants t join accounts a on a.id = t.account_id
        where t.id = $1 and t.wanted <> 'deleted'");
    /// Has the reconciler look soon: the runtime may have a key that we do not know. One that waits for a person is left waiting.
    NUDGE = "update tenants set due_at = $2 where id = $1 and due_at > $2";
    /// Takes a ticket; no row when it was taken before.
    TAKE_TICKET = "insert into owner_tickets (sha256, expires_at) values ($1, $2) on conflict do nothing";
    /// Forgets tickets that have ended.
    FORGET_TICKETS = "delete from owner_tickets where expires_at < $1";
    /// Makes a link.
    MAKE_LINK = "insert into owner_links (sha256, tenant_id, created_at, expires_at) values ($1, $2, $3, $4)";
    /// The percloud of a link that still works.
    BY_LINK = concat!("select ", crate::tenant_columns!(), "
        from owner_links l join tenants t on t.id = l.tenant_id join accounts a on a.id = t.account_id
        where l.sha256 = $1 and l.used_at is null and l.expires_at > $2 and t.wanted <> 'deleted'");
    /// Uses a link; no row when it does not work any more.
    USE_LINK = "update owner_links set used_at = $2 where sha256 = $1 and used_at is null and expires_at > $2 returning tenant_id";
    /// Forgets links that have ended.
    FORGET_LINKS = "delete from owner_links where expires_at < $1";
    /// Begins a session.
    BEGIN = "insert into owner_sessions (sha256, tenant_id, via, created_at, expires_at) values ($1, $2, $3, $4, $5)";
    /// A session and its percloud, over or not.
    BY_SESSION = concat!("select s.ended_at is not null as gone, s.expires_at <= $2 as over, ", crate::tenant_columns!(), "
        from owner_sessions s join tenants t on t.id = s.tenant_id join accounts a on a.id = t.account_id
        where s.sha256 = $1 and t.wanted <> 'deleted'");
    /// Ends a session; once is enough.
    END = "update owner_sessions set ended_at = coalesce(ended_at, $2) where sha256 = $1";
    /// Forgets sessions that have been over for a while.
    FORGET_SESSIONS = "delete from owner_sessions where expires_at < $1";
}
