//! Whose it is to mend what keeps a certificate from being issued: owners are not asked for help with what only the operator can do, and
//! where they are, they read what to do, and not how we would say it to an operator.

use super::{caa, issuer::Error};
use crate::mails::Mend;

/// Who can mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// The owner of the name: it does not lead here, or its domain forbids our CA.
    Owner,
    /// The operator, or the CA: it is away, it refuses us, it limits the name, a budget is used up. Whatever is not known to be the owner's.
    Operator,
}

crate::column_words!(Trouble, "certificates.trouble", Owner = "owner", Operator = "operator");

impl Trouble {
    /// Of an order that failed.
    #[must_use]
    pub fn of(error: &Error) -> Self {
        match error {
            Error::NotValidated { .. } => Self::Owner,
            Error::Refused { source, .. } if caa::forbids(source) => Self::Owner,
            Error::Refused { .. } | Error::Limited { .. } | Error::Away { .. } | Error::NotNow { .. } => Self::Operator,
        }
    }
}

/// What its owner can mend of an order that failed; nothing of what is not the owner's.
#[must_use]
pub fn mend(error: &Error) -> Option<Mend> {
    let (Error::NotValidated { source, .. } | Error::Refused { source, .. }) = error else { return None };
    match source.downcast_ref() {
        Some(caa::Forbids { at, issuers, ours, otherwise, .. }) => {
            Some(Mend::Caa { at: at.clone(), issuers: issuers.clone(), ours: ours.clone(), otherwise: *otherwise })
        }
        None if Trouble::of(error) == Trouble::Owner => Some(Mend::Name { said: quoted(source) }),
        None => None,
    }
}

/// A CA's own words in an error; empty when the words are ours.
fn quoted(source: &anyhow::Error) -> String {
    let words = source.root_cause().to_string();
    let theirs = words.contains("urn:ietf:params:acme:error:");
    let words = words.strip_prefix("API error: ").map(ToOwned::to_owned).unwrap_or(words);
    if theirs { words } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_name_or_its_domain_does_is_its_owners() {
        let refused = |source| Error::Refused { issuer: "ca.example".into(), source };
        let caa = caa::Forbids::unseen("ca.example");
        let theirs = "API error: CAA record for a.example prevents issuance (urn:ietf:params:acme:error:caa)";
        let not_validated = Error::NotValidated {
            issuer: "ca.example".into(),
            name: "a.example".into(),
            source: anyhow::anyhow!("connection refused"),
        };
        let away = Error::Away { issuer: "ca.example".into(), after: None, source: anyhow::anyhow!("HTTP 503") };
        let limited = Error::Limited {
            issuer: "ca.example".into(),
            after: None,
            source: anyhow::anyhow!("too many certificates already issued for \"a.example\""),
        };
        for (error, trouble) in [
            (limited, Trouble::Operator),
            (not_validated, Trouble::Owner),
            (refused(anyhow::Error::msg(caa).context("asked beforehand")), Trouble::Owner),
            (refused(anyhow::anyhow!(theirs).context("the order")), Trouble::Owner),
            (refused(anyhow::anyhow!("(urn:ietf:params:acme:error:externalAccountRequired)")), Trouble::Operator),
            (refused(anyhow::anyhow!("(urn:ietf:params:acme:error:invalidProfile)")), Trouble::Operator),
            (refused(anyhow::anyhow!("the account is deactivated")), Trouble::Operator),
            (away, Trouble::Operator),
        ] {
            assert_eq!(Trouble::of(&error), trouble, "{error:?}");
            assert_eq!(mend(&error).is_some(), trouble == Trouble::Owner, "{error:?}");
        }
    }

    #[test]
    fn an_owner_reads_the_cas_words_and_none_of_ours() {
        let name = |source: anyhow::Error| {
            let error = Error::NotValidated { issuer: "ca.example".into(), name: "a.example".into(), source };
            let Some(Mend::Name { said }) = mend(&error) else { panic!("{error:?}") };
            said
        };
        let theirs = "192.0.2.7: Connection refused (urn:ietf:params:acme:error:connection)";
        assert_eq!(name(anyhow::anyhow!("API error: {theirs}").context("http-01")), theirs);
        assert_eq!(name(anyhow::anyhow!("the authority has not finished looking after 120 seconds")), "");
        let source = anyhow::anyhow!("(urn:ietf:params:acme:error:caa)").context(caa::Forbids::unseen("ca.example"));
        let caa = mend(&Error::Refused { issuer: "ca.example".into(), source: source.context("the order") });
        let (at, issuers, ours) = (None, Vec::new(), "ca.example".to_owned());
        assert_eq!(caa, Some(Mend::Caa { at, issuers, ours, otherwise: false }));
    }
}
