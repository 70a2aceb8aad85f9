//! Certificates: rows by id and by names.

crate::statements! {
    /// Wants one for these names, due at once; leaves one that is wanted already alone.
    WANT = "insert into certificates (id, names, created_at, due_at) values ($1, $2, $3, $3)
        on conflict (names) do update set wanted = 'issued', due_at = $3, tries = 0 where certificates.wanted <> 'issued'";
    /// Wants none for these names any more.
    UNWANT = "update certificates set wanted = 'gone', due_at = $2 where names = $1";
    /// One of them, for its reconciler.
    GET = "select id, names, wanted, observed, issuer, not_before, not_after, created_at, due_at, tries, last_error
        from certificates where id = $1";
    /// All, the one that ends first in front.
    LIST = "select id, names, wanted, observed, issuer, not_before, not_after, created_at, due_at, tries, last_error
        from certificates order by not_after nulls first, id";
    /// Has a new one; only whoever holds the claim may say so.
    ISSUED = "update certificates set observed = 'issued', issuer = $3, chain_pem = $4, key_sealed = $5, not_before = $6, not_after = $7
        where id = $1 and claim = $2";
    /// Is gone.
    REMOVE = "delete from certificates where id = $1 and claim = $2 and wanted = 'gone'";
}
