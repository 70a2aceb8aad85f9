//! Mails on their way out.

crate::statements! {
    /// Queues one.
    QUEUE = "insert into mails (tenant_id, kind, language, recipient, data, queued_at, due_at, erase_at, trace_parent)
        values ($1, $2, $3, $4, $5, $6, $6, $7, $8)";
    /// The newest, without what is in them.
    LIST = "select id, tenant_id, kind, language, observed, queued_at, sent_at, due_at, tries, last_error
        from mails
        where id < coalesce($1::bigint, 9223372036854775807)
        order by id desc
        limit $2";
    /// The spool, newest first.
    SPOOLED = "select id, kind, language, recipient, subject, text_body, html_body, sent_at
        from spooled_mails
        order by id desc
        limit $1";
    /// One of the spool.
    SPOOLED_ONE = "select id, kind, language, recipient, subject, text_body, html_body, sent_at from spooled_mails where id = $1";
}
