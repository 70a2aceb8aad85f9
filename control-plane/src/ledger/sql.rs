//! All that edge and egress write: what they counted, by a function of the schema that does just this.

crate::statements! {
    /// The transaction's number, to ask for its fate by, and what time the database has.
    BEGUN = "select pg_current_xact_id()::text, now()";
    /// Adds to the hours of some perclouds ($1): when ($2), requests ($3), bytes that went out ($4), refused ($5), refused ways
    /// out ($6), crowded handshakes ($7).
    ADD = "select usage_add_counts($1, $2, $3, $4, $5, $6, $7)";
    /// What became of a transaction.
    FATE = "select pg_xact_status($1::text::xid8)";
}
