//! What a form or an address says: pairs, some of them several times.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
};

use crate::{
    services::files::node::Id,
    web::{self, Error},
};

/// The most things that one request may name.
const MOST: usize = 10_000;

/// The pairs of the query, then those of the form.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> web::Result<Self> {
        let mut this = Self::parse(request.uri().query().unwrap_or_default().as_bytes());
        let body = Bytes::from_request(request, state).await.map_err(|_| Error::TooLarge)?;
        this.0.extend(Self::parse(&body).0);
        Ok(this)
    }
}

impl Fields {
    pub(super) fn parse(text: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(text).into_owned().collect())
    }

    /// A pair that is there and not empty.
    pub(super) fn one(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// An id that must be there.
    pub(super) fn id(&self, name: &str) -> web::Result<Id> {
        self.one(name).and_then(|text| text.parse().ok()).ok_or(Error::NotFound)
    }

    /// The things to do something with: `only` when a row's own button was used, else all that are ticked.
    pub(super) fn ids(&self) -> web::Result<Vec<Id>> {
        if self.one("only").is_some() {
            return Ok(vec![self.id("only")?]);
        }
        let ids = self.0.iter().filter(|(key, _)| key == "id").take(MOST);
        let ids: Vec<Id> =
            ids.map(|(_, text)| text.parse().map_err(|_| Error::NotFound)).collect::<web::Result<_>>()?;
        if ids.is_empty() { Err(Error::Invalid("files.nothing-chosen")) } else { Ok(ids) }
    }

    /// Where to go back to: one of our own pages.
    pub(super) fn here(&self) -> &str {
        let own =
            |path: &&str| *path == "/app/files" || path.starts_with("/app/files/") || path.starts_with("/app/files?");
        self.one("here").filter(own).unwrap_or("/app/files")
    }
}

/// A value for a query.
pub(super) fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_goes_back_to_our_own_pages_only() {
        for (query, here) in [
            ("here=%2Fapp%2Ffiles%2Ftrash", "/app/files/trash"),
            ("here=https%3A%2F%2Felsewhere", "/app/files"),
            ("here=%2F%2Felsewhere", "/app/files"),
            ("here=%2Fapp%2Ffilesx", "/app/files"),
            ("", "/app/files"),
        ] {
            assert_eq!(Fields::parse(query.as_bytes()).here(), here, "{query}");
        }
    }
}
