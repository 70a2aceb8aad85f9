//! The plain port at home: it answers an authority's questions, and sends everybody else to https.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore};

use super::challenges::Challenges;

const AT_ONCE: usize = 64;
/// How long a connection may last: there is nothing to stay for.
const LONGEST: Duration = Duration::from_secs(20);
const HEAD: Duration = Duration::from_secs(10);

/// Accepts until dropped.
pub(super) async fn serve(listener: TcpListener, challenges: Arc<Challenges>, origin: String) {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let origin: Arc<str> = origin.into();
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await; // out of descriptors; better in a moment
            continue;
        };
        let (challenges, origin) = (challenges.clone(), origin.clone());
        tokio::spawn(async move {
            let service =
                service_fn(|request| std::future::ready(Ok::<_, Infallible>(answer(&request, &challenges, &origin))));
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(16 << 10).keep_alive(false);
            let serving = http.serve_connection(TokioIo::new(stream), service);
            let _ended = tokio::time::timeout(LONGEST, serving).await;
            drop(permit);
        });
    }
}

fn answer(request: &Request<Incoming>, challenges: &Challenges, origin: &str) -> Response<Full<Bytes>> {
    let uri = request.uri();
    let mut response = Response::new(Full::default());
    if let Some(token) = uri.path().strip_prefix("/.well-known/acme-challenge/") {
        match challenges.file(token) {
            Some(file) => {
                *response.body_mut() = Full::from(file);
                response
                    .headers_mut()
                    .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
            }
            None => *response.status_mut() = StatusCode::NOT_FOUND,
        }
        return response;
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    match HeaderValue::try_from(format!("{origin}{path}")) {
        Ok(there) if path.starts_with('/') => {
            *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
            response.headers_mut().insert(header::LOCATION, there);
        }
        _ => *response.status_mut() = StatusCode::BAD_REQUEST,
    }
    response
}
