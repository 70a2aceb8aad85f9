//! What keeps a domain from being as it should, in words.

use ui::Lang;

use super::{DomainRow, Observed, Record, RecordState, Words};

impl Words {
    /// Its key in the portal's message files.
    #[must_use]
    pub fn key(&self) -> &str {
        let nobody = self.key == "domain.notice.caa" && self.args.get("issuers").is_none_or(String::is_empty);
        if nobody { "domain.notice.caa-nobody" } else { &self.key }
    }

    /// The sentence.
    #[must_use]
    pub fn said(&self, lang: Lang) -> String {
        portal::pages().message(lang, self.key(), &self.args)
    }
}

impl Record {
    /// Which one it is, and how it is, in a sentence.
    #[must_use]
    pub fn said(&self, lang: Lang) -> String {
        format!("{} {}: {}", self.kind.as_str(), self.host, self.words.said(lang))
    }
}

impl DomainRow {
    /// What keeps it from being as it should, for its operator; none when all is well.
    #[must_use]
    pub fn why(&self) -> Option<String> {
        let missing = || self.report.iter().flat_map(|report| &report.records).find(|record| self.lacks(record));
        let notice = || self.report.iter().flat_map(|report| &report.notices).next();
        match () {
            () if self.paused => Some("paused: it is not looked at, and nothing is ordered for it".to_owned()),
            () if self.last_error.is_some() => self.last_error.clone(),
            () if let Some(record) = missing() => Some(record.said(Lang::En)),
            () if let Some(words) = notice() => Some(words.said(Lang::En)),
            () if self.observed == Observed::Verified && self.suspended => {
                Some("its percloud is suspended: nothing is ordered for it".to_owned())
            }
            () if self.observed == Observed::Verified => Some(format!("the certificate for {} is awaited", self.name)),
            () if self.report.is_none() => Some("not looked at yet".to_owned()),
            () => None,
        }
    }

    /// Whether it is this record that is not as it should be: one that it goes without counts only where it is wrong.
    fn lacks(&self, record: &Record) -> bool {
        match record.state {
            RecordState::Ok => false,
            RecordState::Wrong => true,
            RecordState::Missing | RecordState::Unknown => !record.optional,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domains::{RecordKind, Report, testing::row};

    fn record(state: RecordState, optional: bool) -> Record {
        let args = [("found", "203.0.113.9"), ("kind", "A"), ("value", "192.0.2.7")];
        let (host, words) = ("ada.test".to_owned(), Words::new("domain.record.points-elsewhere", &args));
        let (label, value) = ("@".to_owned(), "192.0.2.7".to_owned());
        Record { kind: RecordKind::A, host, label, value, optional, state, found: Vec::new(), words }
    }

    #[test]
    fn the_first_reason_is_said_in_words() {
        let found = |records: Vec<Record>, notices: Vec<Words>| DomainRow {
            report: Some(Report { records, notices, ..Report::default() }),
            ..row()
        };
        let elsewhere = "A ada.test: It still says 203.0.113.9. Change the A entry to 192.0.2.7.";
        let said = [("at", "ada.test"), ("issuers", ""), ("ours", "ca.example")];
        let caa = || vec![Words::new("domain.notice.caa", &said)];
        let wrong = found(vec![record(RecordState::Ok, false), record(RecordState::Wrong, false)], caa());
        let broken = DomainRow { last_error: Some("the database is away".into()), ..wrong.clone() };
        let verified = DomainRow { observed: Observed::Verified, ..found(vec![], vec![]) };
        for (row, why) in [
            (row(), Some("not looked at yet")),
            (wrong, Some(elsewhere)),
            (found(vec![record(RecordState::Missing, true)], vec![]), None),
            (
                found(vec![], caa()),
                Some(
                    "An entry of the type CAA at ada.test lets nobody make certificates for your name. Add one beside it at ada.test: \
                     type CAA, value 0 issue \"ca.example\" (where there are three fields: 0, issue, ca.example). Then we go on.",
                ),
            ),
            (broken.clone(), Some("the database is away")),
            (DomainRow { paused: true, ..broken }, Some("paused: it is not looked at, and nothing is ordered for it")),
            (verified.clone(), Some("the certificate for ada.test is awaited")),
            (DomainRow { suspended: true, ..verified }, Some("its percloud is suspended: nothing is ordered for it")),
        ] {
            assert_eq!(row.why().as_deref(), why, "{row:?}");
        }
    }
}
