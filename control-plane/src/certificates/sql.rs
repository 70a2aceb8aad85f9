//! Certificates: wishes, reading, and what the reconciler writes. `now()` is for leases only.

/// The columns that [`super::Certificate`] reads.
macro_rules! columns {
    () => {
        "id, names, wanted, observed, issuer, not_before, not_after, created_at, due_at, tries, last_error"
    };
}

crate::statements! {
    /// Wants one for these names, due at once; leaves one that is wanted already alone.
    WANT = "insert into certificates (id, names, created_at, due_at) values ($1, $2, $3, $3)
        on conflict (names) do update set wanted = 'issued', due_at = $3, tries = 0 where certificates.wanted <> 'issued'";
    /// Wants none for these names any more.
    UNWANT = "update certificates set wanted = 'gone', due_at = $2 where names = $1";
    /// All, the one that ends first in front.
    LIST = concat!("select ", columns!(), " from certificates order by not_after nulls first, id");
    /// Claims the one that has been due longest.
    CLAIM = concat!("update certificates set claimed_until = now() + interval '20 seconds', claim = claim + 1
        where id = (
            select id from certificates where due_at <= $1 and claimed_until < now()
            order by due_at limit 1 for update skip locked)
        returning claim, trace_parent, chain_pem, key_sealed, ", columns!());
    /// Writes a failure ($3 and $4 are for nouns that count wishes).
    FAIL = "update certificates set
            due_at = case when $3 = 0::bigint then $5::timestamptz else $4::timestamptz end, last_error = $6, tries = tries + 1,
            claimed_until = '-infinity'
        where id = $1 and claim = $2";
    /// When the next is due.
    NEXT = "select min(due_at) from certificates where claimed_until < now()";
    /// There is a new one; it is looked at again at once.
    ISSUED = "update certificates set observed = 'issued', issuer = $3, chain_pem = $4, key_sealed = $5, not_before = $6, not_after = $7
        where id = $1 and claim = $2";
    /// All is well until $4; another wish than $3, that came meanwhile, is due at once ($5). Lets go.
    OBSERVED = "update certificates set
            due_at = case when wanted = $3 then $4::timestamptz else $5::timestamptz end, tries = 0, last_error = null,
            claimed_until = '-infinity'
        where id = $1 and claim = $2";
    /// The row goes.
    REMOVE = "delete from certificates where id = $1 and claim = $2 and wanted = 'gone'";
}
