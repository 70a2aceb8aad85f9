//! Security headers on every answer, strict unless a page asks for one thing more.

use axum::response::Response;
use http::{HeaderName, HeaderValue, header};
use tower::util::MapResponseLayer;

/// What a page may load and where its forms may go. The default suits every page of ours; a handler that needs one
/// thing more puts its own into the response's extensions: `response.extensions_mut().insert(Csp { .. })`.
#[derive(Clone, Debug, Default)]
pub struct Csp {
    /// Other origins that a form's answer may lead to, such as `https://ada.percloud.localhost:8443`: browsers check
    /// redirects after a form too.
    pub form_action: Vec<String>,
    /// The page shows other pages or documents of the same origin inside itself (`frame`, `object`).
    pub embeds: bool,
    /// The answer may be shown inside a page of the same origin (a PDF preview).
    pub embeddable: bool,
    /// The answer is somebody's file: it may show itself but run nothing and send nothing.
    pub sandbox: bool,
}

impl Csp {
    fn text(&self) -> String {
        let own = if self.embeds { "'self'" } else { "'none'" };
        let ancestors = if self.embeddable { "'self'" } else { "'none'" };
        if self.sandbox {
            return format!(
                "default-src 'none'; img-src 'self' data:; media-src 'self'; style-src 'unsafe-inline'; \
                 frame-ancestors {ancestors}; base-uri 'none'; form-action 'none'; sandbox"
            );
        }
        let mut forms = String::from("'self'");
        // What is not an origin must not end the directive.
        for origin in self.form_action.iter().filter(|o| o.bytes().all(|b| b.is_ascii_graphic() && b != b';')) {
            forms.push(' ');
            forms.push_str(origin);
        }
        format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; \
             font-src 'self'; connect-src 'self'; manifest-src 'self'; object-src {own}; frame-src {own}; \
             form-action {forms}; frame-ancestors {ancestors}; base-uri 'none'"
        )
    }
}

const FIXED: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), microphone=(), geolocation=(), payment=(), usb=(), interest-cohort=(), browsing-topics=()",
    ),
];

/// The layer that adds them. A header that a handler set itself is left alone.
pub fn security_headers(csp: Csp) -> MapResponseLayer<impl Fn(Response) -> Response + Clone + Send + Sync + 'static> {
    let usual = csp.text();
    MapResponseLayer::new(move |mut response: Response| {
        let own = response.extensions_mut().remove::<Csp>().map(|own| own.text());
        let headers = response.headers_mut();
        if let Ok(policy) = HeaderValue::from_str(own.as_deref().unwrap_or(&usual)) {
            headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(policy);
        }
        for (name, value) in FIXED {
            headers.entry(name).or_insert(HeaderValue::from_static(value));
        }
        response
    })
}

#[cfg(test)]
mod tests {
    use axum::{Extension, Router, body::Body, response::IntoResponse, routing::get};
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn every_answer_is_strict_unless_a_page_asks() {
        let more = Csp { form_action: vec!["https://a.example".into(), "x; script-src *".into()], ..Csp::default() };
        let app = Router::<()>::new()
            .route("/", get(|| async { "" }))
            .route("/form", get(move || async { (Extension(more), "").into_response() }))
            .layer(security_headers(Csp::default()));
        let policy = async |uri: &str| {
            let answer = app.clone().oneshot(http::Request::get(uri).body(Body::empty()).unwrap()).await.unwrap();
            assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
            answer.headers()["content-security-policy"].to_str().unwrap().to_owned()
        };
        let usual = policy("/").await;
        assert!(usual.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{usual}");
        assert!(usual.contains("form-action 'self'; frame-ancestors 'none'; base-uri 'none'"), "{usual}");
        assert!(policy("/form").await.contains("form-action 'self' https://a.example; frame-ancestors"));
        assert!(policy("/nowhere").await.contains("default-src 'none'"));
    }
}
