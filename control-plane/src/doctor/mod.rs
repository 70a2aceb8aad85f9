//! Says in words what is wrong, and what to do about it.
//!
//! Every check ends in findings, never in an error: a doctor who falls ill at the first bad organ is no help. A finding is well, a
//! warning (it works, but not as it should for good), or wrong (somebody is harmed now or will be soon). Wrong makes the exit code 1.

mod certificates;
mod checks;
mod domains;
mod machine;
mod names;
mod sandbox;
pub mod sql;
mod work;

use std::process::ExitCode;

use bundle::Clock;
use serde::Serialize;

use crate::{
    config::{Common, SealOptions},
    db, terminal,
    up::cluster,
};

pub use sandbox::Sandbox;

/// What `percloud doctor` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// What all commands are told.
    #[command(flatten)]
    pub common: Common,
    /// Where the sealing keys are.
    #[command(flatten)]
    pub seal: SealOptions,
    /// Say it as JSON.
    #[arg(long)]
    pub json: bool,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Well,
    /// It works, but not as it should for good.
    Warning,
    /// Somebody is harmed, now or soon.
    Wrong,
}

/// What was found about one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub about: String,
    /// How it is.
    pub state: State,
    /// In words.
    pub found: String,
    /// What to do, when there is something to do.
    #[serde(rename = "do")]
    pub to_do: Option<String>,
}

impl Finding {
    fn new(state: State, about: impl Into<String>, found: impl Into<String>, to_do: Option<String>) -> Self {
        Self { about: about.into(), state, found: found.into(), to_do }
    }

    pub(crate) fn well(about: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(State::Well, about, found, None)
    }

    pub(crate) fn warning(about: impl Into<String>, found: impl Into<String>, to_do: impl Into<String>) -> Self {
        Self::new(State::Warning, about, found, Some(to_do.into()))
    }

    pub(crate) fn wrong(about: impl Into<String>, found: impl Into<String>, to_do: impl Into<String>) -> Self {
        Self::new(State::Wrong, about, found, Some(to_do.into()))
    }
}

/// Everything that was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Nothing is wrong; there may be warnings.
    pub well: bool,
    /// What keeps perclouds apart on this machine; none when no host has ever started.
    pub sandbox: Option<Sandbox>,
    /// One by one.
    pub findings: Vec<Finding>,
}

/// Looks at everything.
pub async fn examine(common: &Common, seal: &SealOptions, clock: &Clock) -> Report {
    let mut findings = machine::data_folder(common);
    findings.extend(machine::disk(common));
    findings.extend(machine::numbers(common));
    findings.extend(machine::users(common));
    findings.extend(machine::keys(common, seal, clock.now()));
    findings.extend(names::all(common).await);
    findings.extend(checks::portal(common).await);
    findings.extend(checks::roles(common).await);
    let (sandbox, about_it) = sandbox::all(common, clock.now()).await;
    findings.extend(about_it);
    match cluster::owner_url(common).and_then(|url| Ok((db::pool(&url)?, url))) {
        Ok((pool, url)) => findings.extend(work::all(common, &pool, &url, clock.now()).await),
        Err(error) => {
            findings.push(Finding::wrong("database", format!("{error:#}"), "start the provider with `infra/up`"))
        }
    }
    Report { well: findings.iter().all(|one| one.state != State::Wrong), sandbox, findings }
}

/// Looks at everything and says what is wrong; exit code 1 when something is.
///
/// # Errors
/// When the words cannot be written.
pub async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let report = examine(&options.common, &options.seal, &Clock::system()).await;
    if options.json {
        terminal::print_json(&report)?;
    } else {
        terminal::print(&words(&report))?;
    }
    Ok(if report.well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A table with what to do about each thing that is not well, then that of the sandbox, then one line that says it all.
fn words(report: &Report) -> String {
    let mark = |state: State| match state {
        State::Well => "✓ well",
        State::Warning => "! warning",
        State::Wrong => "✗ wrong",
    };
    let mut rows = Vec::new();
    for finding in &report.findings {
        rows.push(vec![mark(finding.state).to_owned(), finding.about.clone(), finding.found.clone()]);
        rows.extend(finding.to_do.iter().map(|to_do| vec![String::new(), String::new(), format!("→ {to_do}")]));
    }
    let count = |state| report.findings.iter().filter(|one| one.state == state).count();
    let warnings = match count(State::Warning) {
        0 => String::new(),
        1 => " There is 1 warning.".to_owned(),
        more => format!(" There are {more} warnings."),
    };
    let last = match count(State::Wrong) {
        0 => format!("Nothing is wrong.{warnings}"),
        1 => format!("1 thing is wrong.{warnings}"),
        more => format!("{more} things are wrong.{warnings}"),
    };
    let sandbox = report.sandbox.as_ref().map(|one| format!("\n{}", sandbox::words(one))).unwrap_or_default();
    format!("{}{sandbox}\n{last}\n", terminal::table(&rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_says_what_is_wrong_and_what_to_do() {
        let findings = vec![
            Finding::well("disk", "80 GB free"),
            Finding::warning("sandbox: own user", "missing", "run as root"),
            Finding::wrong("portal", "no answer\u{7}", "start it"),
        ];
        let text = words(&Report { well: false, sandbox: None, findings });
        assert_eq!(
            text,
            "✓ well     disk               80 GB free\n\
             ! warning  sandbox: own user  missing\n\
             \u{20}                             → run as root\n\
             ✗ wrong    portal             no answer\n\
             \u{20}                             → start it\n\
             \n1 thing is wrong. There is 1 warning.\n"
        );
    }
}
