//! What may be ordered, counted by all reconcilers together in `acme_attempts`.
//!
//! CAs count, and shut out whoever exceeds: then no certificate is renewed. So we count first, and stay below. Six windows:
//!
//! | budget | default | what it keeps |
//! |---|---|---|
//! | failed validations of a name | 5 in an hour | the CA from pausing the name |
//! | certificates for the same names | 5 in 7 days | us from a loop of our own |
//! | certificates below a registered domain | 50 in 7 days | the neighbours below one domain |
//! | orders of an account | 300 in 3 hours | everybody else |
//! | orders of all accounts | 1000 in 3 hours, or two accounts' | every CA from us, should we go mad |
//! | first certificates of a percloud | 12 in 3 hours | the others from one that collects domains |
//!
//! Of an account's orders, and of all, the last tenth is for renewals, and the one before for names that are tried again: neither waits behind many
//! new ones. When half of its orders have failed, nothing is tried again for a while: new names have room, whoever fails. A renewal that the CA
//! takes for one, inside the window that it suggests (ARI), is not counted; outside of it CAs count it like any other. An order that was cut
//! off is an order, but no certificate. A budget that is used up is no failure: it says until when. So does a CA that has said when it wants
//! to be asked again (`Retry-After`): that one waits, and no other CA.

use chrono::{DateTime, TimeDelta, Utc};
use deadpool_postgres::{GenericClient, Pool};

use super::sql;
use crate::{certificates::issuer::Order, db};

/// How much of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budgets {
    /// Orders of an account in three hours.
    pub orders: u32,
    /// Orders of all accounts together in three hours.
    pub in_all: u32,
    /// Certificates below a registered domain in seven days.
    pub per_domain: u32,
    /// Certificates for exactly the same names in seven days.
    pub same: u32,
    /// Failed validations of a name in an hour.
    pub failures: u32,
    /// Orders of a percloud in three hours, but for renewals of what serves: an apex and its `www`, tried again as often as the
    /// timetable has it, are eight.
    pub per_percloud: u32,
}

impl Default for Budgets {
    fn default() -> Self {
        Self { orders: 300, in_all: 1000, per_domain: 50, same: 5, failures: 5, per_percloud: 12 }
    }
}

/// Attempts that were noted by a clock that was far ahead count from now on, and not until it is that late.
///
/// # Errors
/// When the database does not answer.
pub async fn set_right(db: &impl GenericClient, now: DateTime<Utc>) -> Result<(), db::Error> {
    db.execute(sql::SET_RIGHT, &[&now]).await?;
    Ok(())
}

impl Budgets {
    /// With what an operator says of the orders of an account and of all; without a word on these, two accounts are not held up by them.
    #[must_use]
    pub fn of(orders: Option<u32>, in_all: Option<u32>) -> Self {
        let usual = Self::default();
        let orders = orders.unwrap_or(usual.orders);
        Self { orders, in_all: in_all.unwrap_or_else(|| usual.in_all.max(orders.saturating_mul(2))), ..usual }
    }
}

/// The window of an account's orders.
pub const ORDERS_IN: TimeDelta = TimeDelta::hours(3);
/// The window of certificates by domain and by names.
pub const CERTIFICATES_IN: TimeDelta = TimeDelta::days(7);
/// The window of failures.
pub const FAILURES_IN: TimeDelta = TimeDelta::hours(1);

/// A budget that is used up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedUp {
    /// When there is room again.
    pub until: DateTime<Utc>,
    /// Which one, in words.
    pub words: String,
}

/// An order that was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt(i64);

/// How one ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// There is a certificate.
    Issued,
    /// The name's own failure.
    NotValidated,
    /// Refused before any validation.
    Refused,
    /// The CA's failure.
    Away,
}

impl Outcome {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::NotValidated => "not-validated",
            Self::Refused => "refused",
            Self::Away => "away",
        }
    }
}

impl Budgets {
    /// How many of so many orders this one may find before it.
    fn share(most: u32, order: &Order<'_>) -> u32 {
        let tenths = match (order.serving, order.tries) {
            (Some(_), _) => 10,
            (None, 1..) => 9,
            (None, _) => 8,
        };
        u32::try_from(u64::from(most) * tenths / 10).unwrap_or(most).max(1)
    }

    /// Counts an order before it is made, or says which budget stands against it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn reserve(
        &self,
        db: &Pool,
        account: &str,
        order: &Order<'_>,
    ) -> Result<Result<Attempt, UsedUp>, db::Error> {
        let mut client = db.get().await?;
        let tx = client.transaction().await?;
        tx.execute(&tx.prepare_cached(sql::LOCK).await?, &[]).await?;
        if let Some(used_up) = self.used_up(&tx, account, order).await? {
            return Ok(Err(used_up));
        }
        let statement = tx.prepare_cached(sql::ATTEMPT).await?;
        let (exempt, registered, serving) = (order.in_window, registered(order.names), order.serving.is_some());
        let row = tx
            .query_one(
                &statement,
                &[&order.now, &account, &order.id, &order.names, &registered, &exempt, &order.tenant, &serving],
            )
            .await?;
        let attempt = Attempt(row.try_get(0)?);
        tx.commit().await?;
        Ok(Ok(attempt))
    }

    async fn used_up(
        &self,
        db: &impl GenericClient,
        account: &str,
        order: &Order<'_>,
    ) -> Result<Option<UsedUp>, db::Error> {
        let (names, registered, now) = (order.names, registered(order.names), order.now);
        let before = |limit: u32| i64::from(limit.max(1)) - 1;
        let said = |until, words| Ok(Some(UsedUp { until, words }));
        let (hour, week, hours) = (now - FAILURES_IN, now - CERTIFICATES_IN, now - ORDERS_IN);
        if let Some(until) = full(db, sql::AGAIN, &[&account, &names, &now], TimeDelta::zero()).await? {
            return said(until, format!("{account} wants to be left alone with it for a while"));
        }
        if let Some(until) = full(db, sql::FAILURES, &[&names, &hour, &before(self.failures)], FAILURES_IN).await? {
            return said(until, format!("it failed {} times within an hour", self.failures));
        }
        if let Some(until) =
            full(db, sql::SAME, &[&account, &names, &week, &before(self.same)], CERTIFICATES_IN).await?
        {
            return said(until, format!("{account} has issued {} for it within seven days", self.same));
        }
        if order.in_window {
            return Ok(None);
        }
        if order.serving.is_none() && order.tries > 0 {
            let half = self.orders.div_ceil(2);
            let until = full(db, sql::FAILED_OF_ACCOUNT, &[&account, &hours, &before(half)], ORDERS_IN).await?;
            if let Some(until) = until {
                return said(until, format!("{half} orders at {account} have failed within three hours"));
            }
        }
        if let (Some(tenant), None) = (order.tenant, order.serving) {
            let most = self.per_percloud;
            if let Some(until) = full(db, sql::OF_PERCLOUD, &[&tenant, &hours, &before(most)], ORDERS_IN).await? {
                return said(until, format!("its percloud has had {most} orders within three hours"));
            }
        }
        let (mine, all, most) = (Self::share(self.orders, order), Self::share(self.in_all, order), self.per_domain);
        if let Some(until) =
            full(db, sql::OF_REGISTERED, &[&account, &registered, &week, &before(most)], CERTIFICATES_IN).await?
        {
            return said(
                until,
                format!("{account} has issued {most} below {} within seven days", registered.join(" ")),
            );
        }
        if let Some(until) = full(db, sql::OF_ACCOUNT, &[&account, &hours, &before(mine)], ORDERS_IN).await? {
            return said(until, format!("{mine} orders at {account} within three hours are enough"));
        }
        if let Some(until) = full(db, sql::IN_ALL, &[&hours, &before(all)], ORDERS_IN).await? {
            return said(until, format!("{all} orders in all within three hours are enough"));
        }
        Ok(None)
    }
}

/// Until when a window is full: until the order that a statement finds leaves it.
async fn full(
    db: &impl GenericClient,
    statement: &str,
    params: &[&(dyn tokio_postgres::types::ToSql + Sync)],
    window: TimeDelta,
) -> Result<Option<DateTime<Utc>>, db::Error> {
    let statement = db.prepare_cached(statement).await?;
    let row = db.query_opt(&statement, params).await?;
    let at: Option<DateTime<Utc>> = row.map(|row| row.try_get(0)).transpose()?.flatten();
    Ok(at.map(|at| at + window))
}

/// Writes down how an order ended, whether it was a renewal after all (a CA that does not take it for one counts it, and so is one counted
/// that failed), and until when the CA wants to be left alone with these names.
///
/// # Errors
/// When the database does not answer; the order then counts as a certificate until it is taken for cut off.
pub async fn ended(
    db: &Pool,
    attempt: Attempt,
    outcome: Outcome,
    renewal: bool,
    again: Option<DateTime<Utc>>,
) -> Result<(), db::Error> {
    let db = db.get().await?;
    let statement = db.prepare_cached(sql::OUTCOME).await?;
    db.execute(&statement, &[&attempt.0, &outcome.as_str(), &renewal, &again]).await?;
    Ok(())
}

/// The registered domains of names: one below a public suffix; the name itself where there is none.
#[must_use]
pub fn registered(names: &[String]) -> Vec<String> {
    let of = |name: &String| {
        let name = name.strip_prefix("*.").unwrap_or(name);
        psl::domain_str(name).unwrap_or(name).to_owned()
    };
    let mut all: Vec<String> = names.iter().map(of).collect();
    all.sort();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificates::Validity;

    #[test]
    fn registered_domains_are_one_below_a_public_suffix() {
        for (names, expected) in [
            (&["www.ada.example.co.uk", "ada.example.co.uk"][..], &["example.co.uk"][..]),
            (&["*.percloud.example"], &["percloud.example"]),
            (&["ada.github.io", "bob.github.io"], &["ada.github.io", "bob.github.io"]),
            (&["site.test"], &["site.test"]),
            (&["com"], &["com"]),
        ] {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            assert_eq!(registered(&names), expected, "{names:?}");
        }
    }

    #[test]
    fn renewals_always_have_room_and_new_names_leave_some() {
        let budgets = Budgets::default();
        let now = DateTime::from_timestamp(0, 0).unwrap();
        let good = Validity { not_before: now, not_after: now + TimeDelta::days(90) };
        let order = |serving: bool, tries| Order {
            id: "c",
            tenant: None,
            names: &[],
            replaces: None,
            in_window: false,
            serving: serving.then_some(good),
            tries,
            now,
        };
        for (serving, tries, share) in
            [(true, 0, 300), (true, 7, 300), (false, 0, 240), (false, 1, 270), (false, 100, 270)]
        {
            assert_eq!(Budgets::share(budgets.orders, &order(serving, tries)), share, "{serving} {tries}");
        }
        let tiny = |tries| Budgets::share(1, &order(false, tries));
        assert_eq!((tiny(0), tiny(1)), (1, 1), "nobody is shut out for good");
        assert_eq!(Budgets::share(u32::MAX, &order(true, 0)), u32::MAX);
    }

    #[test]
    fn what_two_accounts_may_order_they_may_order_in_all_unless_somebody_says_otherwise() {
        for (orders, in_all, expected) in [
            (None, None, (300, 1000)),
            (Some(100), None, (100, 1000)),
            (Some(5000), None, (5000, 10_000)),
            (Some(5000), Some(700), (5000, 700)),
            (None, Some(5000), (300, 5000)),
        ] {
            let budgets = Budgets::of(orders, in_all);
            assert_eq!((budgets.orders, budgets.in_all), expected);
        }
    }
}
