//! The local authority at home, and the certificate that it made last.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bundle::{Clock, Domain};
use chrono::{DateTime, TimeDelta, Utc};
use tls::{Certified, LocalCa, Resolver};

/// How long a certificate lasts, and how long before its end the next one is made.
const CERTIFICATE_DAYS: u16 = 90;
const RENEW_BEFORE: TimeDelta = TimeDelta::days(30);

/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// From when to when a certificate is good.
type Validity = (DateTime<Utc>, DateTime<Utc>);

/// Whether another one shall be made: it ends soon, or was made by a clock that has been set since.
fn is_due(last: Option<Validity>, now: DateTime<Utc>) -> bool {
    last.is_none_or(|(from, end)| end - RENEW_BEFORE <= now || now < from)
}

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

    fn renew(&self) -> anyhow::Result<Validity> {
        let issued = self.ca.issue(&[self.domain.as_str()], CERTIFICATE_DAYS, self.clock.now())?;
        let certified = Certified::new(&issued.chain_pem, issued.key_der.into())?;
        self.resolver.replace([&certified], Some(self.domain.as_str()));
        Ok((certified.not_before(), certified.not_after()))
    }

    /// Makes a fresh one, for whoever waits long for another.
    pub(super) fn renew_or_say(&self) {
        if let Err(error) = self.renew() {
            tracing::warn!(error = format!("{error:#}"), "no certificate of the local authority");
        }
    }

    pub(super) async fn renew_forever(self) {
        let mut last = None;
        loop {
            if is_due(last, self.clock.now()) {
                match self.renew() {
                    Ok(validity) => last = Some(validity),
                    Err(error) => tracing::warn!(error = format!("{error:#}"), "no certificate of the local authority"),
                }
            }
            // A machine that sleeps stops this timer, and not the certificate's; and one that has just begun may set its clock.
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_one_is_made_in_time_by_the_clock_and_not_by_how_long_the_machine_was_awake() {
        let day = |n| DateTime::from_timestamp(1_800_000_000, 0).unwrap() + TimeDelta::days(n);
        let last = Some((day(0), day(90)));
        for (now, due) in [(0, false), (59, false), (60, true), (200, true), (-1, true)] {
            assert_eq!(is_due(last, day(now)), due, "day {now}");
        }
        assert!(is_due(None, day(0)));
    }
}
