//! Accounts.

crate::statements! {
    /// The account of an address, made when there is none. The update that changes nothing locks the row against its deletion.
    ENSURE = "insert into accounts (id, email, language, created_at) values ($1, $2, $3, $4)
        on conflict (email_key) do update set language = accounts.language
        returning id";
    /// The first time counts.
    CONFIRMED = "update accounts set email_confirmed_at = coalesce(email_confirmed_at, $2) where id = $1";
    /// Forgets one that has no percloud.
    FORGET = "delete from accounts where id = $1 and not exists (select from tenants where account_id = accounts.id)";
}
