//! What is sealed, wherever it is. `$1` is the id of the key that seals now; a sealed value has its key's id after its first byte.

crate::statements! {
    /// The next certificates after the id $2 whose keys are sealed with an older key.
    CERTIFICATES_STALE = "select id, key_sealed as sealed from certificates
        where key_sealed is not null and substring(key_sealed from 2 for 8) <> $1 and id > $2
        order by id limit $3";
    /// Puts keys that were sealed anew in the place of those that they were read from, unless something newer is there.
    CERTIFICATES_SEALED = "update certificates as c set key_sealed = anew.fresh
        from unnest($1::text[], $2::bytea[], $3::bytea[]) as anew (id, old, fresh)
        where c.id = anew.id and c.key_sealed = anew.old";
    /// The next accounts at public CAs, likewise.
    ACCOUNTS_STALE = "select id, credentials_sealed as sealed from acme_accounts
        where credentials_sealed is not null and substring(credentials_sealed from 2 for 8) <> $1 and id > $2
        order by id limit $3";
    /// Puts credentials, likewise.
    ACCOUNTS_SEALED = "update acme_accounts as a set credentials_sealed = anew.fresh
        from unnest($1::text[], $2::bytea[], $3::bytea[]) as anew (id, old, fresh)
        where a.id = anew.id and a.credentials_sealed = anew.old";
}
