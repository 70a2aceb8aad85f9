use serde::Serialize;

/// Whose percloud a page is about. Every form carries the id along: a form that was opened for one percloud never acts on another, whoever
/// is signed in by then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Whose {
    /// The percloud's id.
    pub id: String,
    /// Its name at the provider.
    pub domain: String,
    /// Its Control panel's page of the address.
    pub address: String,
}

impl Whose {
    /// One to look at.
    #[must_use]
    pub fn sample() -> Self {
        Self::named("ada.percloud.localhost")
    }

    /// One with a long name to look at.
    #[must_use]
    pub fn long() -> Self {
        Self::named("a-name-as-long-as-it-may-be-yes.cloud.a-very-long-library-name.example")
    }

    fn named(domain: &str) -> Self {
        Self {
            id: "t-aaaaaaaaaaaaaaaa".into(),
            domain: domain.into(),
            address: format!("https://{domain}:8443/control/address"),
        }
    }
}
