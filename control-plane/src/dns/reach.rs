//! Where a name that a stranger chose leads, and of that only what may be reached.
//!
//! Every address is judged, and whoever connects does so to these very addresses without asking again: a name that leads
//! elsewhere a moment later (rebinding) gains nothing.

use std::net::IpAddr;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RecordType};

use super::Dns;
use super::Silence;
use super::zone;

/// More addresses than this of one kind are not looked at.
const MOST: usize = 4;

/// Why a name leads nowhere; `R` says what was wrong with an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Nowhere<R> {
    /// There is no such name, or it has no address.
    NoAddress,
    /// No resolver says.
    Silent,
    /// It has addresses, and none that may be reached.
    Refused(R),
}

impl Dns {
    /// The addresses of `host` that `judge` lets pass: as a resolver has them, IPv6 and IPv4 by turns (RFC 8305).
    ///
    /// # Errors
    /// When there is none; see [`Nowhere`].
    pub(crate) async fn reach<R>(
        &self,
        host: &str,
        judge: impl Fn(IpAddr) -> Result<(), R>,
    ) -> Result<Vec<IpAddr>, Nowhere<R>> {
        let name = tls::dns::name(host).ok_or(Nowhere::NoAddress)?;
        let (v6, v4) = tokio::join!(self.of_kind(&name, RecordType::AAAA), self.of_kind(&name, RecordType::A));
        let silent = v6.is_err() || v4.is_err();
        let (mut v6, mut v4) = (v6.unwrap_or_default().into_iter(), v4.unwrap_or_default().into_iter());
        let by_turns = std::iter::from_fn(|| Some([v6.next(), v4.next()])).take(MOST).flatten().flatten();
        let (mut passed, mut refused) = (Vec::new(), None);
        for ip in by_turns {
            match judge(ip) {
                Ok(()) => passed.push(ip),
                Err(why) => refused = refused.or(Some(why)),
            }
        }
        match refused {
            _ if !passed.is_empty() => Ok(passed),
            Some(why) => Err(Nowhere::Refused(why)),
            None if silent => Err(Nowhere::Silent),
            None => Err(Nowhere::NoAddress),
        }
    }

    /// All addresses of a name, as a resolver has them.
    ///
    /// # Errors
    /// When it does not say so of both families.
    pub(crate) async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Silence> {
        let name = tls::dns::name(host).ok_or(Silence::Nonsense)?;
        let (v4, v6) = tokio::join!(self.of_kind(&name, RecordType::A), self.of_kind(&name, RecordType::AAAA));
        Ok([v4?, v6?].concat())
    }

    async fn of_kind(&self, name: &Name, kind: RecordType) -> Result<Vec<IpAddr>, Silence> {
        let answer = self.recurse(name, kind, false).await?;
        match answer.metadata.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain => {}
            _ => return Err(Silence::Failed),
        }
        Ok(answer.answers.iter().filter_map(|record| zone::address(&record.data)).collect())
    }
}
