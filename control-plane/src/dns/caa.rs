//! Whether a domain lets a CA issue for it (CAA, RFC 8659): asked before the CA is, since a refusal there counts against us.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::CAA;
use hickory_proto::rr::{Name, RData, RecordType};

use super::ask::Silence;
use super::{Dns, zone};

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
    /// Our account there; a record that names another refuses. Unknown: no record is taken to mean another.
    pub account_uri: Option<&'a str>,
    /// The ways of validation that would be used (`http-01` …); a record that names only others refuses. None: any.
    pub methods: &'a [&'a str],
}

/// Whether the records that stand for `host` let a CA issue for it.
///
/// # Errors
/// When DNS does not answer: the CA will hardly get an answer either, and asks for one.
pub async fn caa_allows(dns: &Dns, host: &str, wildcard: bool, asker: &CaaAsker<'_>) -> Result<Caa, Silence> {
    let mut at = host.strip_prefix("*.").unwrap_or(host);
    loop {
        let records = dns.caa(at).await?;
        if !records.is_empty() {
            return Ok(judge(at, &records, wildcard, asker));
        }
        match at.split_once('.') {
            Some((_, parent)) => at = parent,
            None => return Ok(Caa::Allowed),
        }
    }
}

impl Dns {
    /// The records at a name, behind its aliases too.
    async fn caa(&self, host: &str) -> Result<Vec<CAA>, Silence> {
        let mut asked = zone::name(host).ok_or(Silence::Nonsense)?;
        for _ in 0..ALIASES {
            let answer = self.recurse(&asked, RecordType::CAA, false).await?;
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
pub(super) fn judge(at: &str, records: &[CAA], wildcard: bool, asker: &CaaAsker<'_>) -> Caa {
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
        let account = match (named("accounturi"), asker.account_uri) {
            (Some(uri), Some(ours)) => uri == ours,
            _ => true,
        };
        let method = named("validationmethods").is_none_or(|methods| {
            asker.methods.is_empty() || methods.split(',').any(|method| asker.methods.contains(&method.trim()))
        });
        asker.issuers.iter().any(|issuer| issuer.eq_ignore_ascii_case(&self.issuer)) && account && method
    }
}
