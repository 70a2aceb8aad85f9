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
    /// Claims the one that has been due longest.
    CLAIM = "update mails set claimed_until = now() + interval '20 seconds', claim = claim + 1
        where id = (
            select id from mails where due_at <= $1 and claimed_until < now()
            order by due_at limit 1 for update skip locked)
        returning id, claim, tries, trace_parent, language, recipient, data, observed, erase_at";
    /// Writes a failure ($3 and $4 are for nouns that count wishes).
    FAIL = "update mails set
            due_at = case when $3 = 0::bigint then $5::timestamptz else $4::timestamptz end, last_error = $6, tries = tries + 1, claimed_until = '-infinity'
        where id = $1 and claim = $2";
    /// Prolongs the lease.
    HOLD = "update mails set claimed_until = now() + interval '20 seconds' where id = $1 and claim = $2";
    /// What is queued is tried again within an hour; all else waits for its time to be over.
    SET_RIGHT = "update mails set due_at = $1 where observed = 'queued' and due_at > $1::timestamptz + interval '1 day'";
    /// When the next is due.
    NEXT = "select min(due_at) from mails where claimed_until < now()";
    /// It went out; what was in it is erased.
    SENT = "update mails set observed = 'sent', sent_at = $3, recipient = null, data = null, due_at = erase_at, tries = 0, last_error = null,
            claimed_until = '-infinity'
        where id = $1 and claim = $2";
    /// Nobody sends it; it is kept to be read.
    SPOOL = "update mails set observed = 'spooled', sent_at = $3, data = null, subject = $4, text_body = $5, html_body = $6, due_at = erase_at,
            tries = 0, last_error = null, claimed_until = '-infinity'
        where id = $1 and claim = $2";
    /// It will never go out; what was in it is erased.
    FAILED = "update mails set observed = 'failed', recipient = null, data = null, due_at = erase_at, tries = tries + 1, last_error = $3,
            claimed_until = '-infinity'
        where id = $1 and claim = $2";
    /// Nothing to do before its time is over.
    KEEP = "update mails set due_at = erase_at, claimed_until = '-infinity' where id = $1 and claim = $2";
    /// The row goes.
    ERASE = "delete from mails where id = $1 and claim = $2";
}
