//! How the edge ends: at once when it is asked to, slowly when another edge has taken its place.

use tokio_util::sync::CancellationToken;

/// Three moments, in this order; each connection watches for the first two.
#[derive(Clone, Debug)]
pub(super) struct Ending {
    /// Somebody else has the door, or we were asked to end: nothing new begins here.
    pub(super) leaving: CancellationToken,
    /// We were asked to end: what waits for a next request, or has no end by itself, ends now.
    pub(super) asked: CancellationToken,
    /// Whoever is still here has had its time.
    pub(super) over: CancellationToken,
}

impl Ending {
    /// None of them has come.
    pub(super) fn new() -> Self {
        let asked = CancellationToken::new();
        // Being asked is leaving too; leaving for another edge is not being asked.
        Self { leaving: asked.child_token(), asked, over: CancellationToken::new() }
    }
}
