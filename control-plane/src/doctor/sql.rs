//! What the doctor asks of Postgres.

crate::statements! {
    /// The server's version.
    VERSION = "select current_setting('server_version')";
    /// Whether the roles have users of their own.
    ROLES = "select count(*) from pg_roles where rolname in ('percloud_edge', 'percloud_web', 'percloud_reconcile', 'percloud_egress')";
    /// Perclouds that have been due for longer than anybody should wait ($1).
    OVERDUE = "select count(*) from tenants where due_at < $1";
    /// Mails that should have gone by now ($1), and those that never will.
    MAILS = "select count(*) filter (where observed = 'queued' and queued_at < $1), count(*) filter (where observed = 'failed'),
            max(last_error) filter (where observed in ('queued', 'failed'))
        from mails";
}
