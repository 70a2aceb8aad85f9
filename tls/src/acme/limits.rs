//! Whose a limit is: an authority that says `rateLimited` may mean an order's names, our account, or everybody.
//!
//! RFC 8555 (section 6.6) has one error for all of them, so it is told by what the problem names: an identifier in a subproblem, a name of
//! the order or a domain above it, or one of the limits that authorities count by names. What names nothing is taken to be ours.

use instant_acme::Problem;

use super::error::kind;

/// What authorities say of limits that they count by names: Boulder's words and the anchors of Let's Encrypt's page.
const OF_NAMES: [&str; 8] = [
    "exact set",
    "exact-set",
    "per-registered-domain",
    "failed authorizations",
    "failed validations",
    "authorization-failures",
    "certificates already issued",
    "requesting certificates for",
];
/// The same of limits of our account, our address, or all.
const OURS: [&str; 6] =
    ["from this account", "new-orders-per-account", "new orders", "registrations", "from this ip", "service busy"];

/// Whether a problem limits these names, and nobody else's.
pub(super) fn is_about(problem: &Problem, names: &[String]) -> bool {
    let limits = kind(problem) == "rateLimited" || problem.status == Some(429);
    if !limits || problem.status.is_some_and(|status| status >= 500) {
        return false;
    }
    if problem.subproblems.iter().any(|one| one.identifier.is_some()) {
        return true;
    }
    let detail = problem.detail.as_deref().unwrap_or_default().to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| detail.contains(word));
    !says(&OURS) && (says(&OF_NAMES) || mentions(&detail, names))
}

/// Whether a text has one of the names, or a domain above one.
fn mentions(text: &str, names: &[String]) -> bool {
    // The address of a page that explains the limit is no name.
    let words = text.split_whitespace().filter(|word| !word.contains("://"));
    let bare = |word: &str| word.trim_matches(|c: char| !c.is_alphanumeric()).to_owned();
    let said: Vec<String> = words.map(bare).filter(|word| word.contains('.')).collect();
    let is_above = |word: &str, name: &str| {
        let name = name.strip_prefix("*.").unwrap_or(name);
        name == word || name.strip_suffix(word).is_some_and(|rest| rest.ends_with('.'))
    };
    said.iter().any(|word| names.iter().any(|name| is_above(word, name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_one_name_is_told_from_one_of_all() {
        let names = ["www.ada.example".to_owned(), "*.percloud.test".to_owned()];
        let limited = "urn:ietf:params:acme:error:rateLimited";
        let of = |kind: &str, status: u16, detail: &str| -> Problem {
            serde_json::from_value(serde_json::json!({ "type": kind, "status": status, "detail": detail })).unwrap()
        };
        for (status, detail, about) in [
            (
                429,
                "too many certificates (50) already issued for \"ada.example\" in the last 168h0m0s, retry after 2026-12-01 00:00:00 UTC: see https://letsencrypt.org/docs/rate-limits/#new-certificates-per-registered-domain",
                true,
            ),
            (
                429,
                "too many certificates (5) already issued for this exact set of identifiers in the last 168h0m0s",
                true,
            ),
            (429, "too many failed authorizations (5) for \"www.ada.example\" in the last 1h0m0s", true),
            (
                429,
                "Your account is temporarily prevented from requesting certificates for www.ada.example and possibly others.",
                true,
            ),
            (429, "quota for percloud.test is used up", true),
            (
                429,
                "too many new orders (300) from this account in the last 3h0m0s: see https://letsencrypt.org/docs/rate-limits/#new-orders-per-account",
                false,
            ),
            (429, "too many new registrations (10) from this IP address in the last 3h0m0s", false),
            (429, "too many", false),
            (429, "see https://ada.example/limits", false),
            (429, "another.example has had enough", false),
            (503, "too many certificates already issued for \"ada.example\"", false),
        ] {
            assert_eq!(is_about(&of(limited, status, detail), &names), about, "{detail}");
        }
        assert!(!is_about(&of("urn:ietf:params:acme:error:caa", 403, "ada.example"), &names), "no limit");
        let sub = serde_json::json!({ "type": limited, "status": 429, "detail": "limits were exceeded", "subproblems": [
            { "type": limited, "detail": "too many", "identifier": { "type": "dns", "value": "www.ada.example" } }] });
        assert!(is_about(&serde_json::from_value(sub).unwrap(), &names), "RFC 8555, section 6.7.1");
    }
}
