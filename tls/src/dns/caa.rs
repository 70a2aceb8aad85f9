//! Whether a domain lets a CA issue for it (CAA, RFC 8659): asked before the CA is, since a refusal there counts against us.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::CAA;
use hickory_proto::rr::{Name, RData, RecordType};

use super::{Resolvers, Silence, name};

/// Longer chains of aliases than this are not followed (RFC 8659 §3 wants eight at least).
const ALIASES: usize = 10;

/// What the domain says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caa {
    /// The CA may issue.
    Allowed,
    /// It may not.
    Refused {
        /// The name whose records say so.
        at: String,
        /// Who may instead.
        issuers: Vec<String>,
    },
}

/// Who wants to issue, and how (RFC 8657).
#[derive(Clone, Copy, Debug, Default)]
pub struct CaaAsker<'a> {
    /// The names by which the CA knows itself in CAA records, e.g. `letsencrypt.org`.
    pub issuers: &'a [&'a str],
    /// Our accounts there; a record that names another refuses. None known: no record is taken to mean another.
    pub accounts: &'a [&'a str],
    /// The ways of validation that would be used (`http-01` …); a record that names only others refuses. None: any.
    pub methods: &'a [&'a str],
}

/// Whether the records that stand for `host` let a CA issue for it.
///
/// # Errors
/// When DNS does not answer: the CA will hardly get an answer either, and asks for one.
pub async fn caa_allows(dns: &Resolvers, host: &str, wildcard: bool, asker: &CaaAsker<'_>) -> Result<Caa, Silence> {
    let mut at = host.strip_prefix("*.").unwrap_or(host);
    loop {
        let records = found(dns, at).await?;
        if !records.is_empty() {
            return Ok(judge(at, &records, wildcard, asker));
        }
        match at.split_once('.') {
            Some((_, parent)) => at = parent,
            None => return Ok(Caa::Allowed),
        }
    }
}

/// The records at a name, behind its aliases too.
async fn found(dns: &Resolvers, host: &str) -> Result<Vec<CAA>, Silence> {
    let mut asked = name(host).ok_or(Silence::Nonsense)?;
    for _ in 0..ALIASES {
        let answer = dns.recurse(&asked, RecordType::CAA, false).await?;
        match answer.metadata.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain => {}
            // A resolver that is not asked beyond its own zones: nothing is known above them.
            ResponseCode::Refused => return Ok(Vec::new()),
            _ => return Err(Silence::Failed),
        }
        let found: Vec<CAA> = answer.answers.iter().filter_map(|record| caa(&record.data)).collect();
        let end = answer.answers.iter().fold(asked.clone(), |at, record| match &record.data {
            RData::CNAME(to) if record.name == at => to.0.clone(),
            _ => at,
        });
        if !found.is_empty() || end == asked || answer.metadata.recursion_available {
            return Ok(found);
        }
        asked = fqdn(end);
    }
    Ok(Vec::new())
}

fn fqdn(mut name: Name) -> Name {
    name.set_fqdn(true);
    name
}

fn caa(data: &RData) -> Option<CAA> {
    match data {
        RData::CAA(caa) => Some(caa.clone()),
        _ => None,
    }
}

/// RFC 8659 §4: the records of one name, and nothing else.
fn judge(at: &str, records: &[CAA], wildcard: bool, asker: &CaaAsker<'_>) -> Caa {
    let tag = |wanted: &'static str| records.iter().filter(move |record| record.tag.eq_ignore_ascii_case(wanted));
    let known = ["issue", "issuewild", "iodef", "issuemail", "issuevmc", "contactemail", "contactphone"];
    let issuers = |records: &[&CAA]| {
        let named = records.iter().map(|record| Value::read(&record.value).issuer).filter(|issuer| !issuer.is_empty());
        named.collect::<Vec<_>>()
    };
    let refused = |records: &[&CAA]| Caa::Refused { at: at.to_owned(), issuers: issuers(records) };
    let strange = |record: &&CAA| record.issuer_critical && !known.contains(&record.tag.to_lowercase().as_str());
    if records.iter().any(|record| strange(&record)) {
        return refused(&[]);
    }
    let wild: Vec<&CAA> = tag("issuewild").collect();
    let ordinary: Vec<&CAA> = tag("issue").collect();
    let count = if wildcard && !wild.is_empty() { wild } else { ordinary };
    if count.is_empty() || count.iter().any(|record| Value::read(&record.value).lets(asker)) {
        return Caa::Allowed;
    }
    refused(&count)
}

/// `issuer; name=value; …`
struct Value {
    issuer: String,
    parameters: Vec<(String, String)>,
}

impl Value {
    fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let mut parts = text.split(';').map(str::trim);
        let issuer = parts.next().unwrap_or_default().trim_end_matches('.').to_lowercase();
        let pair = |part: &str| {
            let (name, value) = part.split_once('=')?;
            Some((name.trim().to_lowercase(), value.trim().to_owned()))
        };
        Self { issuer, parameters: parts.filter_map(pair).collect() }
    }

    fn lets(&self, asker: &CaaAsker<'_>) -> bool {
        let named = |wanted: &str| self.parameters.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
        let account =
            named("accounturi").is_none_or(|uri| asker.accounts.is_empty() || asker.accounts.contains(&uri.as_str()));
        let method = named("validationmethods").is_none_or(|methods| {
            asker.methods.is_empty() || methods.split(',').any(|method| asker.methods.contains(&method.trim()))
        });
        asker.issuers.iter().any(|issuer| issuer.eq_ignore_ascii_case(&self.issuer)) && account && method
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(critical: bool, tag: &str, value: &str) -> CAA {
        let mut caa = CAA::new_issue(critical, Some(Name::root()), Vec::new());
        (caa.tag, caa.value) = (tag.to_owned(), value.as_bytes().to_vec());
        caa
    }

    #[test]
    fn caa_records_say_who_may_issue() {
        let asker = CaaAsker { issuers: &["ca.test"], accounts: &["https://ca.test/1"], methods: &["http-01"] };
        for (what, records, host, wild) in [
            ("the CA", vec![("issue", "ca.test")], true, true),
            ("it among others", vec![("issue", "other.test"), ("issue", "CA.test. ; x=y")], true, true),
            ("others only", vec![("issue", "other.test")], false, false),
            ("nobody", vec![("issue", ";")], false, false),
            ("nothing of issuing", vec![("iodef", "mailto:a@ada.test")], true, true),
            ("no wildcard", vec![("issue", "ca.test"), ("issuewild", ";")], true, false),
            ("a wildcard alone", vec![("issue", ";"), ("issuewild", "ca.test")], false, true),
            ("our account", vec![("issue", "ca.test; accounturi=https://ca.test/1")], true, true),
            ("another account", vec![("issue", "ca.test; accounturi=https://ca.test/2")], false, false),
            ("our way", vec![("issue", "ca.test; validationmethods=dns-01,http-01")], true, true),
            ("another way", vec![("issue", "ca.test; validationmethods=dns-01")], false, false),
        ] {
            let records: Vec<_> = records.iter().map(|(tag, value)| record(false, tag, value)).collect();
            let allowed = |wildcard| judge("ada.test", &records, wildcard, &asker) == Caa::Allowed;
            assert_eq!((allowed(false), allowed(true)), (host, wild), "{what}");
        }
        let strange = [record(true, "future", "x"), record(false, "issue", "ca.test")];
        assert!(
            matches!(judge("ada.test", &strange, false, &asker), Caa::Refused { .. }),
            "critical and not understood"
        );
        let harmless = [record(false, "future", "x"), record(false, "issue", "ca.test")];
        assert_eq!(judge("ada.test", &harmless, false, &asker), Caa::Allowed);
        let others = [record(false, "issue", "other.test")];
        let said = Caa::Refused { at: "ada.test".into(), issuers: vec!["other.test".into()] };
        assert_eq!(judge("ada.test", &others, false, &asker), said);
    }
}
