//! `percloud admin costs`: what a percloud costs, and what that is worked out from.

use serde_json::json;

use super::{Desk, called};
use crate::{
    audit::{self, Actor},
    terminal,
    usage::{
        costs::{Cost, Parts, Prices, Spread, histogram},
        list::Month,
        prices::{self, Bill},
        roll,
    },
};

/// What a month cost, or what anything costs.
#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Costs {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    show: Show,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Command {
    /// Say what machines, power, disk and traffic cost you; what is not said costs nothing
    Set(Set),
}

#[derive(Clone, Debug, clap::Args)]
struct Show {
    /// Which month, like 2026-11; this one unless given
    #[arg(long, value_name = "MONTH")]
    month: Option<Month>,
    /// Print every percloud as CSV, for a spreadsheet
    #[arg(long)]
    csv: bool,
    /// How many of the dearest perclouds to name; CSV has all of them
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(0..=1000))]
    limit: u16,
}

#[derive(Clone, Debug, clap::Args)]
struct Set {
    /// The currency of all prices, such as EUR
    #[arg(long, value_parser = currency, value_name = "CODE")]
    currency: String,
    /// What one machine costs a month
    #[arg(long, value_parser = terminal::parse_decimal, value_name = "PRICE")]
    machine: i64,
    /// How many machines there are
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=10_000), value_name = "N")]
    machines: i32,
    /// How much of them is there for perclouds, in per cent
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i32).range(1..=100), value_name = "PERCENT")]
    share: i32,
    /// What one machine draws on average, in watts; 0 where the machine's price includes power
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i32).range(0..=1_000_000), value_name = "N")]
    watts: i32,
    /// What a kilowatt-hour costs
    #[arg(long, default_value = "0", value_parser = terminal::parse_decimal, value_name = "PRICE")]
    kwh: i64,
    /// What a gigabyte on the disk costs a month, beyond the machine
    #[arg(long, default_value = "0", value_parser = terminal::parse_decimal, value_name = "PRICE")]
    storage_gb: i64,
    /// What a gigabyte that goes out costs
    #[arg(long, default_value = "0", value_parser = terminal::parse_decimal, value_name = "PRICE")]
    egress_gb: i64,
    /// How machines and power are shared, in per cent: alike, by processor time, by memory
    #[arg(long, default_value = "20,40,40", value_parser = weights, value_name = "BASE,CPU,MEMORY")]
    weights: [i32; 3],
}

fn currency(text: &str) -> Result<String, String> {
    let code = text.trim().to_uppercase();
    let fine = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase());
    if fine { Ok(code) } else { Err("a currency is three letters, such as EUR".into()) }
}

fn weights(text: &str) -> Result<[i32; 3], String> {
    let parts: Vec<i32> =
        text.split(',').filter_map(|part| part.trim().parse().ok()).filter(|part| *part >= 0).collect();
    match parts.as_slice() {
        [base, cpu, memory]
            if text.split(',').count() == 3 && base.saturating_add(*cpu).saturating_add(*memory) == 100 =>
        {
            Ok([*base, *cpu, *memory])
        }
        _ => Err("three numbers that make 100, such as 20,40,40".into()),
    }
}

pub(super) async fn run(desk: &Desk, asked: Costs) -> anyhow::Result<()> {
    match asked.command {
        Some(Command::Set(said)) => set(desk, said).await,
        None => show(desk, &asked.show).await,
    }
}

async fn set(desk: &Desk, said: Set) -> anyhow::Result<()> {
    const MACHINE: i64 = 1_000_000_000_000;
    const OTHERS: i64 = 1_000_000_000;
    anyhow::ensure!(said.machine <= MACHINE, "--machine: at most 1000000 a month");
    for (option, price) in [("--kwh", said.kwh), ("--storage-gb", said.storage_gb), ("--egress-gb", said.egress_gb)] {
        anyhow::ensure!(price <= OTHERS, "{option}: at most 1000");
    }
    let [weight_base, weight_cpu, weight_memory] = said.weights;
    let prices = Prices {
        currency: said.currency,
        machine_micros: said.machine,
        machines: said.machines,
        share_percent: said.share,
        watts: said.watts,
        kwh_micros: said.kwh,
        storage_gb_micros: said.storage_gb,
        egress_gb_micros: said.egress_gb,
        weight_base,
        weight_cpu,
        weight_memory,
    };
    let mut db = desk.client().await?;
    let tx = db.transaction().await?;
    prices::set(&tx, &prices).await?;
    audit::note(&tx, desk.clock.now(), &Actor::Operator, "costs.set", None, &serde_json::to_value(&prices)?).await?;
    tx.commit().await?;
    if desk.json {
        return terminal::print_json(&prices);
    }
    Ok(terminal::print(
        "Noted. `percloud admin costs` says what a percloud costs by it; earlier months too are worked out with these prices.\n",
    )?)
}

async fn show(desk: &Desk, asked: &Show) -> anyhow::Result<()> {
    let now = desk.clock.now();
    let month = asked.month.unwrap_or_else(|| Month::of(now));
    let db = desk.client().await?;
    roll::today(&desk.db, now).await?;
    let bill = prices::bill(&db, month, now).await?;
    if asked.csv {
        return Ok(terminal::print(&csv(&bill))?);
    }
    if desk.json {
        return terminal::print_json(&json!({
            "month": month.to_string(), "so_far": bill.elapsed.runs(), "prices": bill.prices, "fleet": bill.costs.fleet,
            "total": bill.costs.fleet.total(), "spread": bill.costs.spread, "perclouds": bill.costs.each,
        }));
    }
    Ok(terminal::print(&words(&bill, usize::from(asked.limit)))?)
}

fn csv(bill: &Bill) -> String {
    let mut text = terminal::csv([
        "percloud", "id", "month", "so_far", "days", "currency", "base", "cpu", "memory", "power", "storage", "egress",
        "total",
    ]);
    for cost in &bill.costs.each {
        let Parts { base, cpu, memory, power, storage, egress } = cost.parts;
        let mut record = vec![
            cost.domain.clone().unwrap_or_default(),
            cost.tenant_id.clone(),
            bill.month.to_string(),
            if bill.elapsed.runs() { "yes" } else { "no" }.to_owned(),
            cost.days.to_string(),
            bill.prices.currency.clone(),
        ];
        record
            .extend([base, cpu, memory, power, storage, egress, cost.total].map(|micros| terminal::decimal(micros, 6)));
        text.push_str(&terminal::csv(record));
    }
    text
}

/// The whole page.
fn words(bill: &Bill, limit: usize) -> String {
    let so_far = if bill.elapsed.runs() {
        let (seconds, all) = (bill.elapsed.seconds as f64 / 86_400.0, bill.elapsed.of / 86_400);
        format!(" so far ({seconds:.1} of {all} days)")
    } else {
        String::new()
    };
    let currency = &bill.prices.currency;
    let mut text = format!("What perclouds cost in {}{so_far}, in {currency}\n\n", bill.month);
    text.push_str(&fleet(bill));
    let Some(spread) = &bill.costs.spread else {
        text.push_str(
            "\nThere were no perclouds then, as far as anybody counted. What is used is counted once a minute.\n",
        );
        return text;
    };
    text.push_str(&one(spread, &bill.costs.steady));
    text.push_str(&dearest(&bill.costs.each, limit));
    text
}

fn money(micros: i64) -> String {
    // The cheapest cost a fraction of a cent, and that is the point.
    terminal::decimal(micros, 4)
}

fn fleet(bill: &Bill) -> String {
    let Parts { base, cpu, memory, power, storage, egress } = bill.costs.fleet;
    let Prices { weight_base, weight_cpu, weight_memory, .. } = bill.prices;
    let total = bill.costs.fleet.total();
    let row = |what: String, micros: i64| {
        let permille = (i128::from(micros) * 1000 + i128::from(total) / 2) / i128::from(total.max(1));
        vec![what, format!("{:>12}", money(micros)), format!("{:>3}.{} %", permille / 10, permille % 10)]
    };
    let number = terminal::count(i64::try_from(bill.costs.each.len()).unwrap_or(i64::MAX));
    terminal::table(&[
        row(format!("All {number} together"), total),
        row(format!("  machines, borne alike ({weight_base} %)"), base),
        row(format!("  machines, by processor time ({weight_cpu} %)"), cpu),
        row(format!("  machines, by memory ({weight_memory} %)"), memory),
        row("  power".into(), power),
        row("  disk".into(), storage),
        row("  what goes out".into(), egress),
    ])
}

/// One percloud: the figures, and a picture of how many cost how much.
fn one(spread: &Spread, steady: &[i64]) -> String {
    let row = |what: &str, micros: i64| vec![what.to_owned(), format!("{:>12}", money(micros))];
    let mut text = String::from("\nOne percloud that is there all the time\n");
    text.push_str(&terminal::table(&[
        row("  on average", spread.mean),
        row("  the cheapest", spread.min),
        row("  one in ten costs at most (p10)", spread.p10),
        row("  half of them cost at most (median)", spread.median),
        row("  nine in ten cost at most (p90)", spread.p90),
        row("  99 in 100 cost at most (p99)", spread.p99),
        row("  the dearest", spread.max),
    ]));
    let bars = histogram(steady);
    let most = bars.iter().map(|(_, count)| *count).max().unwrap_or(1).max(1);
    text.push_str("\nHow many cost up to\n");
    for (bound, count) in bars {
        let length = if count == 0 { 0 } else { (count * 40 / most).max(1) };
        text.push_str(&format!("{:>14}  {:<40}  {count}\n", money(bound), "▇".repeat(length)));
    }
    text
}

fn dearest(each: &[Cost], limit: usize) -> String {
    if limit == 0 {
        return String::new();
    }
    let mut dearest: Vec<&Cost> = each.iter().collect();
    dearest.sort_by_key(|cost| (std::cmp::Reverse(cost.total), &cost.tenant_id));
    let head = ["PERCLOUD", "DAYS", "TOTAL", "ALIKE", "PROCESSOR", "MEMORY", "POWER", "DISK", "OUT"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(dearest.into_iter().take(limit).map(|cost| {
        let Parts { base, cpu, memory, power, storage, egress } = cost.parts;
        let mut row = vec![called(cost.domain.as_deref(), &cost.tenant_id), cost.days.to_string()];
        row.extend([cost.total, base, cpu, memory, power, storage, egress].map(money));
        row
    }));
    format!("\nThe dearest; `--csv` has all of them\n{}", terminal::table(&rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::costs::{Elapsed, Share, costs};

    /// A thousand perclouds: most sleep most of the time, a few work a lot.
    fn thousand() -> Vec<Share> {
        let share = |at: i64| {
            let busy = 1_000_000 / (at + 1);
            Share {
                tenant_id: format!("t-{at:016}"),
                domain: (at != 3).then(|| format!("p{at}.percloud.example")),
                days: 16,
                cpu_micros: busy * 600_000,
                memory_byte_seconds: busy * 3_000_000_000,
                storage_byte_days: 16 * busy * 40_000,
                egress_bytes: busy * 90_000,
            }
        };
        (0..1000).map(share).collect()
    }

    #[test]
    fn what_a_thousand_cost_is_said_on_a_page() {
        let prices = Prices {
            currency: "EUR".into(),
            machine_micros: 49_000_000,
            machines: 2,
            share_percent: 80,
            watts: 60,
            kwh_micros: 300_000,
            storage_gb_micros: 20_000,
            egress_gb_micros: 10_000,
            weight_base: 20,
            weight_cpu: 40,
            weight_memory: 40,
        };
        let month: Month = "2026-11".parse().unwrap();
        let elapsed = Elapsed::of(month, "2026-11-16T12:00:00Z".parse().unwrap()).unwrap();
        let costs = costs(&prices, elapsed, &thousand());
        let page = words(&Bill { month, elapsed, prices, costs }, 3);
        assert_eq!(page, include_str!("costs/page.txt"));
    }
}
