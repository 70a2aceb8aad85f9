//! When reconcilers last turned.

crate::statements! {
    /// Notes a turn; an idle look keeps the last outcome's error.
    TURNED = "insert into reconcilers (noun, turned_at, outcome, last_error) values ($1, $2, $3, $4)
        on conflict (noun) do update set turned_at = $2, outcome = $3, last_error = $4";
    /// Whether a clock that shows $1 is within an hour of the database's.
    CLOCKS_AGREE = "select abs(extract(epoch from now() - $1::timestamptz)) < 3600";
    /// All of them.
    HEALTH = "select noun, turned_at, outcome, last_error from reconcilers order by noun";
}
