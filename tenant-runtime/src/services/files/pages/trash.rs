//! The trash.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{LONG, Pager, sample_time};

/// One thing in the trash.
#[derive(Clone, Debug, Serialize)]
pub struct TrashRow {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its icon.
    pub icon: &'static str,
    /// Bytes, of all that is in it.
    pub size: u64,
    /// When it was thrown away.
    pub at: DateTime<Utc>,
    /// Days until it is gone.
    pub days: i64,
}

/// The trash's page.
#[derive(Clone, Debug, Serialize)]
pub struct Trash {
    /// What is in it.
    pub rows: Vec<TrashRow>,
    /// Things on all parts.
    pub total: u64,
    /// Which part this is.
    pub pager: Pager,
}

impl ui::Page for Trash {
    const TEMPLATE: &'static str = "files/trash.html";

    fn samples() -> Vec<Self> {
        let row = |name: &str, days| TrashRow {
            id: format!("t{days}"),
            name: name.into(),
            icon: "file",
            size: 12,
            at: sample_time(),
            days,
        };
        let pager = Pager { page: 1, pages: 2, before: None, after: Some("?page=2".into()) };
        vec![
            Self { rows: Vec::new(), total: 0, pager: Pager { page: 1, pages: 1, ..Pager::default() } },
            Self { rows: vec![row(LONG, 30), row("a", 1)], total: 2, pager },
        ]
    }
}
