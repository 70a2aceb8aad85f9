//! The web role on its socket, as the edge talks to it, with the rights of the web's own database user.

use std::{path::PathBuf, sync::Arc};

use control_plane::{
    app::{App, Settings},
    db,
    web::{self, limits::Limits},
};
use reqwest::{Client, RequestBuilder, Response, redirect::Policy};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::cloud::TestCloud;

/// What browsers accept.
const BROWSER: &str = "text/html,application/xhtml+xml,*/*;q=0.8";

/// A served portal; ends when dropped.
pub(crate) struct Portal {
    client: Client,
    _stop: DropGuard,
}

impl Portal {
    /// The portal of a provider.
    pub(crate) async fn of(cloud: &TestCloud) -> Self {
        Self::with(cloud, &cloud.url.replace("percloud_owner", "percloud_web"), 1000).await
    }

    /// Over another way to the database, or with other limits.
    pub(crate) async fn with(cloud: &TestCloud, url: &str, sign_ups_per_hour: u32) -> Self {
        let app = App {
            db: db::pool(url).unwrap(),
            clock: cloud.clock.clone(),
            settings: Arc::new(Settings::new(&cloud.common, 1 << 30, false)),
            limits: Arc::new(Limits::new(sign_ups_per_hour)),
        };
        let socket = socket(cloud);
        let listener = web::listen(&socket).unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(web::serve(listener, app, stop.clone()));
        let client = Client::builder().unix_socket(socket).redirect(Policy::none()).build().unwrap();
        Self { client, _stop: stop.drop_guard() }
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = method.parse().unwrap();
        self.client
            .request(method, format!("http://percloud.localhost:8443{path}"))
            .header("x-forwarded-for", "192.0.2.1")
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request("GET", path).header("accept", BROWSER).send().await.unwrap()
    }

    /// What a browser does with a form of our own page.
    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Response {
        let body: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        self.request("POST", path)
            .header("accept", BROWSER)
            .header("sec-fetch-site", "same-origin")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
            .send()
            .await
            .unwrap()
    }
}

fn socket(cloud: &TestCloud) -> PathBuf {
    let name = hex::encode(rand::random::<[u8; 4]>());
    cloud.common.paths().root().join(format!("{name}.sock"))
}

/// An answer's status and text.
pub(crate) async fn read(response: Response) -> (u16, String) {
    (response.status().as_u16(), response.text().await.unwrap())
}

pub(crate) fn header(response: &Response, name: &str) -> String {
    response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}
