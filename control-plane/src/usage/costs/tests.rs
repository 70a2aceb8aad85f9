//! Costs as tables: what they are, and that not a millionth is lost.

use super::*;

fn prices() -> Prices {
    Prices {
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
    }
}

fn one(days: i64, cpu: i64, memory: i64, storage: i64, egress: i64) -> Share {
    Share {
        days,
        cpu_micros: cpu,
        memory_byte_seconds: memory,
        storage_byte_days: storage,
        egress_bytes: egress,
        ..Share::default()
    }
}

fn month(text: &str, now: &str) -> Elapsed {
    Elapsed::of(text.parse().unwrap(), now.parse().unwrap()).unwrap()
}

#[test]
fn a_whole_month_of_two() {
    // 49 € × 2 × 80 % = 78.40 €; 60 W × 2 × 80 % × 720 h × 0.30 € = 20.736 €; 10 GB for 30 days at 0.02 €; 7 GB out at 0.01 €.
    let month = month("2026-11", "2027-01-01T00:00:00Z");
    assert_eq!(month, Elapsed { seconds: 2_592_000, of: 2_592_000, days: 30 });
    let shares = [one(30, 300, 100, 300_000_000_000, 5_000_000_000), one(10, 100, 300, 0, 2_000_000_000)];
    let all = costs(&prices(), month, &shares);
    let fleet = Parts {
        base: 15_680_000,
        cpu: 31_360_000,
        memory: 31_360_000,
        power: 20_736_000,
        storage: 200_000,
        egress: 70_000,
    };
    assert_eq!(all.fleet, fleet);
    let ada = Parts {
        base: 11_760_000,
        cpu: 23_520_000,
        memory: 7_840_000,
        power: 3_110_400 + 6_220_800 + 2_073_600,
        storage: 200_000,
        egress: 50_000,
    };
    assert_eq!(all.each[0].parts, ada);
    assert_eq!(all.each[0].total + all.each[1].total, fleet.total());
}

#[test]
fn a_month_that_runs_is_worked_out_as_far_as_it_has_come() {
    // Ten days and a half of thirty.
    let month = month("2026-11", "2026-11-11T12:00:00Z");
    assert_eq!((month.seconds * 30, month.of * 21 / 2, month.days, month.runs()), (27_216_000, 27_216_000, 11, true));
    let gb_all_the_time = one(11, 1, 1, 11_000_000_000, 0);
    let all = costs(&prices(), month, &[gb_all_the_time]);
    assert_eq!(all.fleet.base + all.fleet.cpu + all.fleet.memory, 27_440_000, "78.40 € × 10.5 ÷ 30");
    assert_eq!(all.fleet.storage, 7_000, "0.02 € × 10.5 ÷ 30");
    assert_eq!(Elapsed::of("2026-12".parse().unwrap(), "2026-11-30T23:59:59Z".parse().unwrap()), None);
}

#[test]
fn what_nobody_used_is_borne_by_all_who_were_there() {
    let month = month("2026-11", "2027-01-01T00:00:00Z");
    let all = costs(&prices(), month, &[one(30, 0, 0, 0, 0), one(30, 0, 0, 0, 0)]);
    assert_eq!(all.each[0].total, all.each[1].total);
    assert_eq!(all.each[0].total * 2, all.fleet.total());
    let nobody = costs(&prices(), month, &[]);
    assert_eq!(
        (nobody.each.len(), nobody.spread, nobody.fleet.total()),
        (0, None, 99_136_000),
        "the machines cost all the same"
    );
}

#[test]
fn shares_add_up_whatever_they_are() {
    for (amount, weights, shares) in [
        (10, &[1, 1, 1][..], &[4, 3, 3][..]),
        (10, &[0, 0, 0], &[4, 3, 3]),
        (10, &[0, 5, 0], &[0, 10, 0]),
        (1, &[3, 3, 4], &[0, 0, 1]),
        (0, &[1, 2], &[0, 0]),
        (7, &[], &[]),
        (100, &[1, i64::MAX], &[0, 100]),
    ] {
        assert_eq!(share(amount, weights), shares, "{amount} {weights:?}");
    }
    // Any prices and any use: what perclouds cost together is what there is to pay, part by part.
    for round in 0..500 {
        let pick = |most: i64| rand::random_range(0..=most);
        let weight_base = rand::random_range(0..=100);
        let weight_cpu = rand::random_range(0..=100 - weight_base);
        let prices = Prices {
            currency: "EUR".into(),
            machine_micros: pick(1_000_000_000_000),
            machines: rand::random_range(1..=10_000),
            share_percent: rand::random_range(1..=100),
            watts: rand::random_range(0..=1_000_000),
            kwh_micros: pick(1_000_000_000),
            storage_gb_micros: pick(1_000_000_000),
            egress_gb_micros: pick(1_000_000_000),
            weight_base,
            weight_cpu,
            weight_memory: 100 - weight_base - weight_cpu,
        };
        let of = 86_400 * rand::random_range(28..=31);
        let seconds = rand::random_range(1..=of);
        let elapsed = Elapsed { seconds, of, days: (seconds + 86_399) / 86_400 };
        let count = rand::random_range(1..=200);
        let shares: Vec<Share> = (0..count)
            .map(|_| {
                one(pick(31), pick(10_i64.pow(13)), pick(10_i64.pow(16)), pick(10_i64.pow(13)), pick(10_i64.pow(13)))
            })
            .collect();
        let all = costs(&prices, elapsed, &shares);
        let sum = |of: fn(&Parts) -> i64| all.each.iter().map(|cost| of(&cost.parts)).sum::<i64>();
        let got = Parts {
            base: sum(|parts| parts.base),
            cpu: sum(|parts| parts.cpu),
            memory: sum(|parts| parts.memory),
            power: sum(|parts| parts.power),
            storage: sum(|parts| parts.storage),
            egress: sum(|parts| parts.egress),
        };
        assert_eq!(got, all.fleet, "round {round}: {prices:?} {elapsed:?} {count}");
        assert!(all.each.iter().all(|cost| cost.total >= 0));
    }
}

#[test]
fn who_was_there_for_a_day_does_not_make_a_percloud_look_cheap() {
    let month = month("2026-11", "2027-01-01T00:00:00Z");
    let prices = Prices { watts: 0, weight_base: 100, weight_cpu: 0, weight_memory: 0, ..prices() };
    let steady = (0..100).map(|_| one(30, 1, 1, 0, 0));
    let passing = (0..300).map(|_| one(2, 1, 1, 0, 0));
    let all = costs(&prices, month, &steady.chain(passing).collect::<Vec<_>>());
    // 78.40 € are borne for 3,600 days, and a month has thirty.
    let spread = all.spread.unwrap();
    assert_eq!((spread.mean, spread.min, spread.median, spread.max), (653_333, 653_333, 653_333, 653_333));
    assert_eq!((all.each.len(), all.steady.len()), (400, 100));
    assert_eq!(all.each.iter().map(|cost| cost.total).sum::<i64>(), 78_400_000, "they bear their days all the same");
    // One that came on the second day counts for a whole month.
    let late = costs(&prices, month, &[one(30, 1, 1, 0, 0), one(29, 1, 1, 0, 0)]);
    let spread = late.spread.unwrap();
    assert!(late.each[1].total < late.each[0].total && spread.max - spread.min <= 1, "{spread:?}");
}

#[test]
fn costs_are_spread_by_rank() {
    let spread = spread((1..=200).rev().collect(), 101).unwrap();
    assert_eq!(spread, Spread { min: 1, p10: 20, median: 100, mean: 101, p90: 180, p99: 198, max: 200 });
    let one = super::spread(vec![7], 7).unwrap();
    assert_eq!(one, Spread { min: 7, p10: 7, median: 7, mean: 7, p90: 7, p99: 7, max: 7 });
    assert_eq!(super::spread(Vec::new(), 0), None);
    let bars = histogram(&[0, 3, 4, 5, 6, 40]);
    assert_eq!(bars, [(0, 1), (1, 0), (2, 0), (5, 3), (10, 1), (20, 0), (50, 1)]);
    assert!(histogram(&[]).is_empty());
}
