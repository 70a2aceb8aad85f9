//! What every request may use: handed in, so that a test can hand in its own.

use std::sync::Arc;

use bundle::{Clock, Domain};

use crate::{config::Common, db, web::limits::Limits};

/// What every request may use. Cheap to clone.
#[derive(Clone)]
pub struct App {
    /// Postgres, as the web's user.
    pub db: db::Pool,
    /// What time it is.
    pub clock: Clock,
    /// What is the same for all requests.
    pub settings: Arc<Settings>,
    /// Who may come how often.
    pub limits: Arc<Limits>,
}

/// What is the same for all requests.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name below which new perclouds get theirs.
    pub base_domain: Domain,
    /// The portal's origin, without a slash at the end.
    pub origin: String,
    /// The HTTPS port.
    pub port: u16,
    /// The provider's name for people.
    pub provider_name: String,
    /// Bytes that a new percloud may hold.
    pub quota_bytes: i64,
    /// Development: no mail server, and a base domain of this machine; mails are shown on a page.
    pub shows_mails: bool,
}

impl Settings {
    /// From what a role is told.
    #[must_use]
    pub fn new(common: &Common, quota_bytes: i64, sends_mails: bool) -> Self {
        Self {
            base_domain: common.base_domain.clone(),
            origin: common.portal_origin(),
            port: common.public_port(),
            provider_name: common.provider_name.clone(),
            quota_bytes,
            shows_mails: !sends_mails && common.base_domain.as_str().ends_with(".localhost"),
        }
    }

    /// A percloud's origin, without a slash at the end.
    #[must_use]
    pub fn origin_of(&self, domain: &Domain) -> String {
        bundle::spec::origin(domain, self.port)
    }

    /// What follows a name in an address.
    #[must_use]
    pub fn suffix(&self) -> String {
        format!(".{}", self.base_domain)
    }
}
