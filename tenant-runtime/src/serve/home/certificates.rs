//! The local authority at home, and the certificate that it made last.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bundle::{Clock, Domain};
use chrono::TimeDelta;
use tls::{Certified, LocalCa, Resolver};

/// How long a certificate lasts, and how long before its end the next one is made.
const CERTIFICATE_DAYS: u16 = 90;
const RENEW_BEFORE: TimeDelta = TimeDelta::days(30);

/// The local authority and the certificate that it made last.
pub(super) struct Certificates {
    ca: LocalCa,
    pub(super) root: PathBuf,
    domain: Domain,
    pub(super) resolver: Arc<Resolver>,
    clock: Clock,
}

impl Certificates {
    pub(super) fn open(data: &Path, domain: &Domain, clock: Clock) -> anyhow::Result<Self> {
        let name = format!("percloud at home ({domain})");
        let ca = LocalCa::open_or_create(&data.join("keys"), &name, &[domain.as_str()], clock.now())?;
        let root = data.join("ca.pem");
        ca.write_root(&root)?;
        let root = std::path::absolute(&root)?;
        let this = Self { ca, root, domain: domain.clone(), resolver: Arc::default(), clock };
        this.renew()?;
        Ok(this)
    }

    fn renew(&self) -> anyhow::Result<chrono::DateTime<chrono::Utc>> {
        let issued = self.ca.issue(&[self.domain.as_str()], CERTIFICATE_DAYS, self.clock.now())?;
        let certified = Certified::new(&issued.chain_pem, issued.key_der.into())?;
        self.resolver.replace([&certified], Some(self.domain.as_str()));
        Ok(certified.not_after())
    }

    /// Makes a fresh one, for whoever waits long for another.
    pub(super) fn renew_or_say(&self) {
        if let Err(error) = self.renew() {
            tracing::warn!(error = format!("{error:#}"), "no certificate of the local authority");
        }
    }

    pub(super) async fn renew_forever(self) {
        loop {
            let name = self.resolver.find(self.domain.as_str());
            let end = name.and_then(|_| self.renew().ok()).unwrap_or_else(|| self.clock.now() + TimeDelta::hours(1));
            let pause = (end - RENEW_BEFORE - self.clock.now()).to_std().unwrap_or_default();
            tokio::time::sleep(pause.max(Duration::from_secs(3600))).await;
        }
    }
}
