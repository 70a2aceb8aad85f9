//! The list of all SQL, so that one test prepares every statement against the real schema.

/// Declares SQL, one const a statement, and the list `ALL` of them.
#[macro_export]
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:expr;)+) => {
        $($(#[$doc])* pub const $name: &str = $sql;)+
        /// Every statement here, with its name.
        pub const ALL: &[(&str, &str)] = &[$((stringify!($name), $sql)),+];
    };
}

/// Every statement of the program, noun by noun. A noun that has SQL has a line here.
#[must_use]
pub fn all() -> Vec<(&'static str, &'static str, &'static str)> {
    let nouns: [(&str, &[(&str, &str)]); 17] = [
        ("accounts", crate::accounts::sql::ALL),
        ("api_tokens", crate::api_tokens::sql::ALL),
        ("audit", crate::audit::sql::ALL),
        ("certificates", crate::certificates::sql::ALL),
        ("certificates::acme", crate::certificates::acme::sql::ALL),
        ("doctor", crate::doctor::sql::ALL),
        ("domains", crate::domains::sql::ALL),
        ("edge", crate::edge::sql::ALL),
        ("ledger", crate::ledger::sql::ALL),
        ("mails", crate::mails::sql::ALL),
        ("names", crate::names::sql::ALL),
        ("owners", crate::owners::sql::ALL),
        ("reconcile", crate::reconcile::sql::ALL),
        ("seals", crate::seals::sql::ALL),
        ("tenants", crate::tenants::sql::ALL),
        ("tenants::reconcile", crate::tenants::reconcile::sql::ALL),
        ("usage", crate::usage::sql::ALL),
    ];
    nouns.iter().flat_map(|(noun, list)| list.iter().map(move |(name, sql)| (*noun, *name, *sql))).collect()
}
