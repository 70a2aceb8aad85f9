//! Who comes as a person, and who only looks by: crawlers, feed readers, health checks are answered like anybody, and do not
//! keep a percloud awake. A mistake costs next to nothing: it falls asleep sooner, and wakes for the next request.

use http::{Method, Request, header};

use crate::{auth::sessions, web};

/// Addresses that programs ask for.
const ADDRESSES: &[&str] = &["/healthz", "/robots.txt"];

/// Words in a program's name for itself (`User-Agent`), lower case.
const WORDS: &[&str] = &[
    // Crawlers, and those who make previews of links.
    "bot",
    "crawl",
    "spider",
    "slurp",
    "facebookexternalhit",
    "ia_archiver",
    "mediapartners",
    "scrap",
    // Whoever watches whether a site is up.
    "uptime",
    "pingdom",
    "statuscake",
    "monitor",
    "kube-probe",
    "health",
    "blackbox",
    "check_http",
    // Feed readers that fetch for many, and servers of the fediverse.
    "feed",
    "rss",
    "inoreader",
    "newsblur",
    "miniflux",
    "mastodon",
    "pleroma",
    "akkoma",
    "misskey",
];

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
    !WORDS.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_keep_it_awake_and_programs_do_not() {
        let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
        let phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Safari/604.1";
        let google = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
        let cases = [
            ("GET", "/", firefox, "", true),
            ("GET", "/posts", phone, "", true),
            ("POST", "/sign-in", "", "", true),
            ("GET", "/", "curl/8.14.1", "", true),
            ("HEAD", "/", firefox, "", false),
            ("GET", "/robots.txt", firefox, "", false),
            ("GET", "/healthz", "", "", false),
            ("GET", "/", google, "", false),
            ("GET", "/", "Mozilla/5.0 (compatible; bingbot/2.0)", "", false),
            ("GET", "/", "meta-externalagent/1.1 facebookexternalhit/1.1", "", false),
            ("GET", "/feed.xml", "Miniflux/2.2 (https://miniflux.app)", "", false),
            ("GET", "/", "Mozilla/5.0+(compatible; UptimeRobot/2.0)", "", false),
            ("GET", "/", "http.rb/5.1 (Mastodon/4.4; +https://social.example/)", "", false),
            ("GET", "/app", "my feed robot", "a=b; __Host-session=x", true),
        ];
        for (method, path, agent, cookie, keeps) in cases {
            let request = Request::builder().method(method).uri(path);
            let request = request.header("user-agent", agent).header("cookie", cookie).body(()).unwrap();
            assert_eq!(keeps_awake(&request), keeps, "{method} {path} {agent}");
        }
    }
}
