//! Which way a host name leads: to a percloud's socket, to the portal's, or to an answer of the edge's own.

use std::path::Path;
use std::sync::Arc;

use super::answers::Own;
use super::company::Who;
use super::meter::{Class, Entry};
use super::proxy::Connection;
use super::routes::{Busy, State};

/// Where a request goes: to a socket, as one of those that keep its percloud or the portal busy. Or the edge answers itself.
pub(super) type Way = Result<(Arc<Path>, Busy), Own>;

/// Which way a host name leads, for a path alone and with its query; noted as going there.
pub(super) fn find(
    connection: &Connection,
    host: &str,
    (path, whole): (&str, &str),
    said_length: u64,
    note: &mut Entry,
) -> Way {
    let edge = &connection.edge;
    let now = note.began.duration_since(edge.began);
    if !edge.same_certificate(connection.sni.as_deref(), host) {
        return Err(Own::Misdirected);
    }
    if host == edge.base_domain {
        edge.company.visited(Who::PORTAL, note.began);
        note.class = Class::Portal;
        let busy = Busy::of_portal(edge, connection.whence).ok_or(Own::Crowded)?;
        return Ok((edge.portal.clone(), busy));
    }
    let Some(route) = edge.routes.find(host) else { return Err(Own::NoSuchPercloud) };
    if let Some(to) = route.elsewhere(path, whole, edge.public_port) {
        return Err(Own::Moved(to));
    }
    let socket = match (route.row.state, &route.row.socket) {
        (State::Preparing, _) | (State::Running, None) => return Err(Own::Preparing),
        (State::Failing, _) => return Err(Own::CannotStart),
        (State::Suspended, Some(_)) if !open_while_suspended(path) => return Err(Own::Suspended),
        (State::Suspended, None) => return Err(Own::Suspended),
        (State::Running | State::Suspended, Some(socket)) => socket.clone(),
    };
    if said_length > route.body_max() {
        route.account(&edge.ledger).refuse();
        return Err(Own::TooLarge);
    }
    let busy = route.enter(edge, connection.whence, now).ok_or(Own::Crowded)?;
    edge.company.visited(route.who, note.began);
    note.class = Class::Percloud;
    note.tenant = Some(route);
    Ok((socket, busy))
}

/// What a suspended percloud still answers: its owner may sign in and leave with everything.
fn open_while_suspended(path: &str) -> bool {
    const OPEN: [&str; 6] = ["/sign-in", "/sign-out", "/recover", "/control", "/assets", "/exports"];
    OPEN.iter().any(|open| path.strip_prefix(open).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}
