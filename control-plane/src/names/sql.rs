//! Names, handed out once.

crate::statements! {
    /// Whether the name itself (true) or only its looks (false) are taken; no row when neither.
    HOLDER = "select name = $1 as same from names where name = $1 or skeleton = $2 order by 1 desc limit 1";
    /// Hands a name out; the constraints refuse what is taken or looks so.
    TAKE = "insert into names (name, skeleton, tenant_id, taken_at) values ($1, $2, $3, $4)";
    /// Keeps a name out of use for good.
    QUARANTINE = "update names set quarantined_at = $2 where tenant_id = $1 and quarantined_at is null";
    /// Frees a name that nobody ever used.
    FREE = "delete from names where tenant_id = $1 and quarantined_at is null";
}
