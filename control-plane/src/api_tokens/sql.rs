//! Bearer tokens.

crate::statements! {
    /// Makes one.
    CREATE = "insert into api_tokens (id, name, sha256, scopes, created_at, expires_at)
        values ($1, $2, $3, $4, $5, $6)
        returning id, name, scopes, created_at, expires_at, last_used_at, revoked_at";
    /// By its hash, live or not.
    BY_HASH = "select id, name, scopes, created_at, expires_at, last_used_at, revoked_at from api_tokens where sha256 = $1";
    /// Notes its use, once a minute at most.
    USED = "update api_tokens set last_used_at = $2::timestamptz
        where id = $1 and (last_used_at is null or last_used_at < $2::timestamptz - interval '1 minute')";
    /// All of them.
    LIST = "select id, name, scopes, created_at, expires_at, last_used_at, revoked_at from api_tokens order by created_at, id";
    /// Ends one; once is enough.
    REVOKE = "update api_tokens set revoked_at = coalesce(revoked_at, $2) where id = $1";
}
