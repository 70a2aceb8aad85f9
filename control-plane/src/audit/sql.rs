//! The log of who did what.

crate::statements! {
    /// Adds a line.
    NOTE = "insert into audit (at, actor, action, tenant_id, details) values ($1, $2, $3, $4, $5)";
    /// A percloud's lines, newest first.
    OF_TENANT = "select at, actor, action, details from audit where tenant_id = $1 order by id desc limit $2";
}
