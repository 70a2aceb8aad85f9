//! Many claims: a page of them, and how many there are.

use tokio_postgres::Row;

use super::{DomainRow, Observed, sql};
use crate::db::{self, GenericClient};

/// Which claims to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only those after this name …
    pub after: Option<String>,
    /// … and this id; see [`Filter::after`].
    pub after_id: Option<String>,
    /// Only those last seen so.
    pub observed: Option<Observed>,
    /// Only paused ones.
    pub paused: bool,
    /// Only those in trouble: lost, missed, failing, waiting for a certificate that does not come, or leading to a former address.
    pub troubled: bool,
    /// How many at most; 0 means 100.
    pub limit: u16,
}

impl Filter {
    /// Those after one: its name, or its place as the page before ended with it.
    #[must_use]
    pub fn after(place: Option<&str>) -> Self {
        // A name alone stands for all of its claims.
        let split = place.map(|place| place.split_once(' ').unwrap_or((place, "e")));
        let (after, after_id) = split.map(|(name, id)| (name.to_owned(), id.to_owned())).unzip();
        Self { after, after_id, ..Self::default() }
    }
}

/// Claims by name, a page at a time.
///
/// # Errors
/// When the database does not answer.
pub async fn list(db: &impl GenericClient, filter: &Filter) -> Result<Vec<DomainRow>, db::Error> {
    let limit = i64::from(if filter.limit == 0 { 100 } else { filter.limit.min(1000) });
    let observed = filter.observed.map(Observed::as_str);
    let Filter { after, after_id, paused, troubled, .. } = filter;
    let rows = db.query(sql::LIST, &[after, after_id, &observed, troubled, &limit, paused]).await?;
    rows.iter().map(DomainRow::from_row).collect()
}

/// How many there are, for `doctor` and dashboards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// By state; without those that lead to another one.
    pub by_state: Vec<(Observed, i64)>,
    /// Paused by an operator, whatever else they are.
    pub paused: i64,
    /// Those of them that are to take another's place.
    pub next: i64,
    /// Those that gave way and lead to another one.
    pub former: i64,
}

/// Counts them.
///
/// # Errors
/// When the database does not answer.
pub async fn counts(db: &impl GenericClient) -> Result<Counts, db::Error> {
    let rows = db.query(sql::COUNTS, &[]).await?;
    let read = |row: &Row| -> Result<_, db::Error> { Ok((row.try_get::<_, &str>(0)?.parse()?, row.try_get(1)?)) };
    let by_state = rows.iter().map(read).collect::<Result<_, _>>()?;
    let aside = db.query_one(sql::ASIDE, &[]).await?;
    Ok(Counts { by_state, paused: aside.try_get(0)?, next: aside.try_get(1)?, former: aside.try_get(2)? })
}
