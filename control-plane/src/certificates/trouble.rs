//! Whose it is to mend what keeps a certificate from being issued: owners are not asked for help with what only the operator can do.

use super::{caa, issuer::Error};

/// Who can mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// The owner of the name: it does not lead here, its domain forbids our CA, or it has had too many certificates there.
    Owner,
    /// The operator, or the CA: it is away, it refuses us, a budget is used up. Whatever is not known to be the owner's.
    Operator,
}

crate::column_words!(Trouble, "certificates.trouble", Owner = "owner", Operator = "operator");

impl Trouble {
    /// Of an order that failed.
    #[must_use]
    pub fn of(error: &Error) -> Self {
        match error {
            Error::NotValidated { .. } | Error::Limited { .. } => Self::Owner,
            Error::Refused { source, .. } if caa::forbids(source) => Self::Owner,
            Error::Refused { .. } | Error::Away { .. } | Error::NotNow { .. } => Self::Operator,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_name_or_its_domain_does_is_its_owners() {
        let refused = |source| Error::Refused { issuer: "ca.example".into(), source };
        let caa = caa::Forbids::new("the CAA records at a.example let no authority issue for a.example");
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
            (limited, Trouble::Owner),
            (not_validated, Trouble::Owner),
            (refused(anyhow::Error::msg(caa).context("asked beforehand")), Trouble::Owner),
            (refused(anyhow::anyhow!(theirs).context("the order")), Trouble::Owner),
            (refused(anyhow::anyhow!("(urn:ietf:params:acme:error:externalAccountRequired)")), Trouble::Operator),
            (refused(anyhow::anyhow!("(urn:ietf:params:acme:error:invalidProfile)")), Trouble::Operator),
            (refused(anyhow::anyhow!("the account is deactivated")), Trouble::Operator),
            (away, Trouble::Operator),
        ] {
            assert_eq!(Trouble::of(&error), trouble, "{error:?}");
        }
    }
}
