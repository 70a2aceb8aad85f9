//! The state of the running percloud: what every handler may use.

use std::sync::Arc;

use bundle::{Clock, TenantSpec};

use crate::{blobs::Blobs, store::Store};

/// The tables that belong to no service: owner, sessions, settings, activity, exports, imports.
pub const SCHEMA: &[&str] = &[];

/// A handle to everything; clones share it. axum's state.
#[derive(Clone)]
pub struct Runtime(Arc<Inner>);

struct Inner {
    spec: TenantSpec,
    store: Store,
    blobs: Blobs,
    clock: Clock,
    pages: ui::Pages,
}

impl Runtime {
    /// Puts the parts together.
    #[must_use]
    pub fn new(spec: TenantSpec, store: Store, blobs: Blobs, clock: Clock, pages: ui::Pages) -> Self {
        Self(Arc::new(Inner { spec, store, blobs, clock, pages }))
    }

    /// Who this percloud is and what it may use.
    #[must_use]
    pub fn spec(&self) -> &TenantSpec {
        &self.0.spec
    }

    /// The database.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The content.
    #[must_use]
    pub fn blobs(&self) -> &Blobs {
        &self.0.blobs
    }

    /// What time it is.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Templates, messages and assets.
    #[must_use]
    pub fn pages(&self) -> &ui::Pages {
        &self.0.pages
    }
}
