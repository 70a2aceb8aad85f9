//! Who comes as a person, and who only looks by: programs are answered like anybody, and do not keep a percloud awake longer than that
//! takes. There is no end of programs, and each calls itself what it likes; so it is not asked who is one, but who comes with a browser.
//! Browsers say of each request what it is for (`Sec-Fetch-…`, Fetch Metadata), which a page's script cannot leave out or make up. A
//! mistake (a browser from before 2023) costs next to nothing: it falls asleep sooner, and wakes for the next request.

use http::{Method, Request, header};

use crate::{auth::sessions, web};

/// Addresses that programs ask for.
const ADDRESSES: &[&str] = &["/healthz", "/robots.txt"];

/// What browsers say of a request over TLS, and next to nobody else.
const BROWSERS: [&str; 2] = ["sec-fetch-mode", "sec-fetch-site"];

/// Words in a program's name for itself (`User-Agent`), lower case, of those that have a browser do their work.
const WORDS: &[&str] = &["bot", "crawl", "spider", "headless", "lighthouse", "preview", "monitor", "uptime", "pingdom"];

/// Whether a request keeps the percloud awake for a while.
pub(super) fn keeps_awake<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    if request.method() == Method::HEAD || ADDRESSES.contains(&request.uri().path()) {
        return false;
    }
    // The owner's own programs may call themselves whatever they like.
    if web::cookie(headers, sessions::COOKIE).is_some() {
        return true;
    }
    let name = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let name = name.to_ascii_lowercase();
    BROWSERS.iter().any(|said| headers.contains_key(*said)) && !WORDS.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_keep_it_awake_and_programs_do_not() {
        let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
        let phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Safari/604.1";
        let google = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
        let chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/140.0";
        let cases = [
            ("GET", "/", firefox, "", true),
            ("GET", "/posts", phone, "", true),
            ("POST", "/sign-in", "", "", true),
            ("HEAD", "/", firefox, "", false),
            ("GET", "/robots.txt", firefox, "", false),
            ("GET", "/healthz", "", "", false),
            ("GET", "/", google, "", false),
            ("GET", "/", "Mozilla/5.0 (compatible; bingbot/2.0)", "", false),
            ("GET", "/", chrome, "", false),
            ("GET", "/", "Mozilla/5.0+(compatible; UptimeRobot/2.0)", "", false),
            ("GET", "/app", "my feed robot", "a=b; __Host-session=x", true),
        ];
        for (method, path, agent, cookie, keeps) in cases {
            let request = Request::builder().method(method).uri(path);
            let request = request.header("user-agent", agent).header("cookie", cookie);
            let request = request.header("sec-fetch-mode", "navigate").body(()).unwrap();
            assert_eq!(keeps_awake(&request), keeps, "{method} {path} {agent}");
        }
        for agent in [
            "curl/8.14.1",
            "",
            "python-requests/2.32",
            "Go-http-client/2.0",
            "GoToSocial/0.19",
            "Lemmy/1.0; +https://lemmy.example",
            "http.rb/5.1 (Mastodon/4.4; +https://social.example/)",
            "Miniflux/2.2 (https://miniflux.app)",
            "DAVx5/4.5",
            firefox,
        ] {
            let request = Request::builder().uri("/").header("user-agent", agent).body(()).unwrap();
            assert!(!keeps_awake(&request), "{agent} does not come with a browser, or says so");
        }
    }
}
