//! What a percloud costs. Pure: prices and a month's use in, costs out, in millionths of the currency, and not one of them lost.
//!
//! Machines and their power cost what they cost, whoever uses them. They are cut into three parts by the operator's weights: *base*, which
//! every percloud bears for each day that it was there, and the parts that are borne by processor time and by memory-time. Bytes on
//! the disk and bytes that go out have prices of their own. What is to be shared is shared by largest remainder, so that the shares add
//! up to the price exactly. A month that still runs is worked out as far as it has come.
//!
//! What *one* percloud costs is said of a percloud that is there all the time: one that came yesterday has cost next to nothing, and says
//! nothing of what the next will cost. The mean is over days, and those who were there for only a part of them are not in the spread.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{list::Month, roll::begin};

/// A gigabyte is what disks are sold by.
const BYTES_PER_GB: i128 = 1_000_000_000;

/// What the operator pays, in millionths of the currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Prices {
    /// ISO 4217, such as EUR.
    pub currency: String,
    /// What one machine costs a month.
    pub machine_micros: i64,
    /// How many machines there are.
    pub machines: i32,
    /// How much of them, in per cent, is there for perclouds.
    pub share_percent: i32,
    /// What one machine draws on average.
    pub watts: i32,
    /// What a kilowatt-hour costs.
    pub kwh_micros: i64,
    /// What a gigabyte (10^9 bytes) on the disk costs a month, beyond the machine.
    pub storage_gb_micros: i64,
    /// What a gigabyte (10^9 bytes) that goes out costs.
    pub egress_gb_micros: i64,
    /// How many per cent of machines and power all perclouds share alike …
    pub weight_base: i32,
    /// … how many by processor time …
    pub weight_cpu: i32,
    /// … and how many by memory-time; the three are 100.
    pub weight_memory: i32,
}

/// What one percloud used in a month.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Whose.
    pub tenant_id: String,
    /// Its host name; none when it has gone.
    pub domain: Option<String>,
    /// On how many days it was there.
    pub days: i64,
    /// Microseconds of processor time.
    pub cpu_micros: i64,
    /// Memory in use times the time it was in use.
    pub memory_byte_seconds: i64,
    /// Bytes on the disk, day by day, added up.
    pub storage_byte_days: i64,
    /// Bytes that went out.
    pub egress_bytes: i64,
}

/// What something costs, part by part, in millionths of the currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Parts {
    /// Its part of the machines for being there.
    pub base: i64,
    /// Its part of the machines for processor time.
    pub cpu: i64,
    /// Its part of the machines for memory.
    pub memory: i64,
    /// Its part of the power.
    pub power: i64,
    /// Its bytes on the disk.
    pub storage: i64,
    /// Its bytes that went out.
    pub egress: i64,
}

impl Parts {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> i64 {
        self.base + self.cpu + self.memory + self.power + self.storage + self.egress
    }
}

/// What one percloud costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Cost {
    /// Whose.
    pub tenant_id: String,
    /// The percloud's host name; none when it has gone.
    pub domain: Option<String>,
    /// On how many days of the month it was there.
    pub days: i64,
    /// Part by part.
    pub parts: Parts,
    /// All of it.
    pub total: i64,
}

/// How costs are spread over perclouds that were there all the time, or nearly (nearest rank), in millionths of the currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Spread {
    /// The cheapest one.
    pub min: i64,
    /// A tenth cost this or less.
    pub p10: i64,
    /// Half of them cost this or less.
    pub median: i64,
    /// What one that is there all the time costs on average: the fleet's total by the days of all perclouds, those for a part of the time, too.
    pub mean: i64,
    /// Nine in ten cost this or less.
    pub p90: i64,
    /// All but one in a hundred cost this or less.
    pub p99: i64,
    /// The dearest one.
    pub max: i64,
}

/// How much of a month has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed {
    /// Seconds of the month that have passed …
    pub seconds: i64,
    /// … of so many.
    pub of: i64,
    /// Days of it that have begun.
    pub days: i64,
}

impl Elapsed {
    /// Of a month at a moment; none when it has not begun.
    #[must_use]
    pub fn of(month: Month, now: DateTime<Utc>) -> Option<Self> {
        let (first, end) = (begin(month.first()), begin(month.end()));
        let of = (end - first).num_seconds();
        let seconds = (now - first).num_seconds().min(of);
        (seconds > 0).then_some(Self { seconds, of, days: (seconds + 86_399) / 86_400 })
    }

    /// Whether the month still runs.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.seconds < self.of
    }
}

/// What a month costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Costs {
    /// The fleet, part by part.
    pub fleet: Parts,
    /// Each percloud, in the order in which they were given.
    pub each: Vec<Cost>,
    /// What those cost that were there all the time, or nearly; then reckoned up to all of it.
    pub steady: Vec<i64>,
    /// How that is spread; none without perclouds.
    pub spread: Option<Spread>,
}

/// Works it out.
#[must_use]
pub fn costs(prices: &Prices, elapsed: Elapsed, shares: &[Share]) -> Costs {
    let fleet = fleet(prices, elapsed, shares);
    let by = |of: fn(&Share) -> i64| -> Vec<i64> { shares.iter().map(of).collect() };
    let days = by(|share| share.days);
    // A part that nobody used is borne like the base: it costs all the same.
    let or_days = |used: Vec<i64>| if used.iter().all(|used| *used == 0) { days.clone() } else { used };
    let (cpu, memory) = (or_days(by(|share| share.cpu_micros)), or_days(by(|share| share.memory_byte_seconds)));
    let power = weighted(fleet.power, prices);
    let power = [share(power[0], &days), share(power[1], &cpu), share(power[2], &memory)];
    let (base, by_cpu, by_memory) = (share(fleet.base, &days), share(fleet.cpu, &cpu), share(fleet.memory, &memory));
    let storage = share(fleet.storage, &by(|share| share.storage_byte_days));
    let egress = share(fleet.egress, &by(|share| share.egress_bytes));
    let each: Vec<Cost> = shares
        .iter()
        .enumerate()
        .map(|(at, one)| {
            let parts = Parts {
                base: base[at],
                cpu: by_cpu[at],
                memory: by_memory[at],
                power: power.iter().map(|slice| slice[at]).sum(),
                storage: storage[at],
                egress: egress[at],
            };
            let (tenant_id, domain, days) = (one.tenant_id.clone(), one.domain.clone(), one.days);
            Cost { tenant_id, domain, days, total: parts.total(), parts }
        })
        .collect();
    let steady = steady(&each);
    let spread = spread(steady.clone(), mean(&each));
    Costs { fleet, each, steady, spread }
}

/// As many days as there are of any of them: all of the time, as far as it was counted.
fn all_days(each: &[Cost]) -> i64 {
    each.iter().map(|cost| cost.days).max().unwrap_or(0)
}

/// What those cost that were there for nine tenths of the days, reckoned up to all of them.
fn steady(each: &[Cost]) -> Vec<i64> {
    let all = all_days(each);
    let there = each.iter().filter(|cost| cost.days > 0 && cost.days * 10 >= all * 9);
    there.map(|cost| rounded(i128::from(cost.total) * i128::from(all), cost.days.into())).collect()
}

/// What a percloud costs that is there all the time.
fn mean(each: &[Cost]) -> i64 {
    let sum = |of: fn(&Cost) -> i64| each.iter().map(|cost| i128::from(of(cost))).sum::<i128>();
    rounded(sum(|cost| cost.total) * i128::from(all_days(each)), sum(|cost| cost.days).max(1))
}

/// What all of it costs, whoever bears it.
fn fleet(prices: &Prices, elapsed: Elapsed, shares: &[Share]) -> Parts {
    let (seconds, of) = (i128::from(elapsed.seconds), i128::from(elapsed.of));
    let sum = |of: fn(&Share) -> i64| shares.iter().map(|share| i128::from(of(share))).sum::<i128>();
    let ours = i128::from(prices.machines) * i128::from(prices.share_percent);
    let machines = rounded(i128::from(prices.machine_micros) * ours * seconds, 100 * of);
    // Watts for seconds are joules; a kilowatt-hour has 3.6 million.
    let power = rounded(i128::from(prices.watts) * ours * seconds * i128::from(prices.kwh_micros), 100 * 3_600_000);
    let [base, cpu, memory] = weighted(machines, prices);
    let byte_days = sum(|share| share.storage_byte_days);
    let days = i128::from(elapsed.days);
    let storage = rounded(byte_days * i128::from(prices.storage_gb_micros) * seconds, BYTES_PER_GB * days * of);
    let egress = rounded(sum(|share| share.egress_bytes) * i128::from(prices.egress_gb_micros), BYTES_PER_GB);
    Parts { base, cpu, memory, power, storage, egress }
}

/// Cuts an amount by the operator's weights: base, processor time, memory-time.
fn weighted(amount: i64, prices: &Prices) -> [i64; 3] {
    let weights = [prices.weight_base, prices.weight_cpu, prices.weight_memory].map(i64::from);
    let cut = share(amount, &weights);
    [cut[0], cut[1], cut[2]]
}

fn rounded(amount: i128, by: i128) -> i64 {
    i64::try_from((amount + by / 2) / by).unwrap_or(i64::MAX)
}

/// Shares an amount in proportion to weights, by largest remainder (the first one's where two are alike): the shares add up to
/// the amount. Where all weights are nought, alike.
#[must_use]
pub fn share(amount: i64, weights: &[i64]) -> Vec<i64> {
    let sum: i128 = weights.iter().map(|weight| i128::from(*weight)).sum();
    if sum == 0 {
        return if weights.is_empty() { Vec::new() } else { share(amount, &vec![1; weights.len()]) };
    }
    let exact = |weight: &i64| {
        let part = i128::from(amount) * i128::from(*weight);
        (part / sum, part % sum)
    };
    let mut shares: Vec<i64> =
        weights.iter().map(|weight| i64::try_from(exact(weight).0).unwrap_or(i64::MAX)).collect();
    let left = usize::try_from(amount - shares.iter().sum::<i64>()).unwrap_or(0);
    let mut by_remainder: Vec<usize> = (0..weights.len()).collect();
    by_remainder.sort_by_cached_key(|at| (std::cmp::Reverse(exact(&weights[*at]).1), *at));
    for at in by_remainder.into_iter().take(left) {
        shares[at] += 1;
    }
    shares
}

/// How totals are spread.
#[must_use]
pub fn spread(mut totals: Vec<i64>, mean: i64) -> Option<Spread> {
    totals.sort_unstable();
    let count = totals.len();
    let rank = |percent: usize| totals[(count * percent).div_ceil(100).max(1) - 1];
    Some(Spread {
        min: *totals.first()?,
        p10: rank(10),
        median: rank(50),
        mean,
        p90: rank(90),
        p99: rank(99),
        max: *totals.last()?,
    })
}

/// How many cost more than the bound before and up to this one, in steps of 1, 2, 5, 10 …; from the first to the last that has any.
#[must_use]
pub fn histogram(totals: &[i64]) -> Vec<(i64, usize)> {
    let steps = (0..18).flat_map(|power| [1, 2, 5].map(|step: i64| step * 10_i64.pow(power)));
    let mut below = i64::MIN;
    let mut bars: Vec<(i64, usize)> = Vec::new();
    for bound in std::iter::once(0).chain(steps) {
        let count = totals.iter().filter(|total| **total > below && **total <= bound).count();
        below = bound;
        if count > 0 || !bars.is_empty() {
            bars.push((bound, count));
        }
    }
    while bars.last().is_some_and(|(_, count)| *count == 0) {
        bars.pop();
    }
    bars
}

#[cfg(test)]
mod tests;
