//! `percloud admin abuse`: who met limits, the worst first.

use chrono::TimeDelta;

use super::{Desk, called};
use crate::{
    terminal,
    usage::abuse::{self, Case},
};

/// How far to look back.
#[derive(Clone, Debug, clap::Args)]
pub struct Abuse {
    /// In the last so many hours
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u16).range(1..=960), value_name = "N")]
    hours: u16,
    /// Print it as CSV, for a spreadsheet
    #[arg(long)]
    csv: bool,
}

pub(super) async fn run(desk: &Desk, asked: &Abuse) -> anyhow::Result<()> {
    let now = desk.clock.now();
    let since = now - TimeDelta::hours(i64::from(asked.hours));
    let cases = abuse::list(&desk.client().await?, since, now).await?;
    if asked.csv {
        return Ok(terminal::print(&csv(&cases))?);
    }
    if desk.json {
        return terminal::print_json(&cases);
    }
    Ok(terminal::print(&words(&cases, asked.hours))?)
}

fn csv(cases: &[Case]) -> String {
    let head = terminal::csv(["percloud", "id", "points", "did", "do"]);
    let record = |case: &Case| {
        let percloud = case.domain.as_deref().unwrap_or_default();
        terminal::csv([percloud, &case.tenant_id, &case.points.to_string(), &case.did, &case.to_do])
    };
    head + &cases.iter().map(record).collect::<String>()
}

fn words(cases: &[Case], hours: u16) -> String {
    let past = if hours == 1 { "hour".to_owned() } else { format!("{hours} hours") };
    if cases.is_empty() {
        return format!("All is quiet: no percloud met a limit worth telling in the last {past}.\n");
    }
    let number = terminal::count(i64::try_from(cases.len()).unwrap_or(i64::MAX));
    let mut text = match cases {
        [_] => format!("1 percloud met limits in the last {past}. Limits hold by themselves: nobody else is harmed.\n"),
        _ => format!(
            "{number} perclouds met limits in the last {past}, the worst first. Limits hold by themselves: nobody else is harmed.\n"
        ),
    };
    for case in cases {
        let name = called(case.domain.as_deref(), &case.tenant_id);
        text.push_str(&format!("\n{}\n  {}\n  → {}\n", terminal::plain(&name), case.did, case.to_do));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_reads_what_it_did_and_what_to_do() {
        let case = Case {
            tenant_id: "t-aaaaaaaaaaaaaaaa".into(),
            domain: Some("ada.example".into()),
            points: 7,
            met: Vec::new(),
            did: "It did this.".into(),
            to_do: "Do that.".into(),
        };
        let said = words(&[case], 24);
        assert_eq!(
            said,
            "1 percloud met limits in the last 24 hours. Limits hold by themselves: nobody else is harmed.\n\
            \nada.example\n  It did this.\n  → Do that.\n"
        );
        assert!(words(&[], 1).contains("in the last hour"));
    }
}
