//! Who else can see something: everybody, or whoever has a link.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Crumb, LONG, sample_time};

/// A link.
#[derive(Clone, Debug, Serialize)]
pub struct Link {
    /// Its id.
    pub id: String,
    /// Its address.
    pub url: String,
    /// It asks for a password.
    pub password: bool,
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
    /// It has ended.
    pub over: bool,
    /// Since when it is there.
    pub created_at: DateTime<Utc>,
    /// How often it was opened.
    pub opened: u64,
    /// When last.
    pub opened_at: Option<DateTime<Utc>>,
    /// It was made just now.
    pub new: bool,
}

impl Link {
    fn sample(n: u64) -> Self {
        Self {
            id: format!("l{n}"),
            url: "https://ada.percloud.localhost:8443/s/k3fq81zak3fq81zak3fq81zak3fq81za".into(),
            password: n == 1,
            expires_at: (n > 0).then(sample_time),
            over: n == 2,
            created_at: sample_time(),
            opened: n,
            opened_at: (n > 0).then(sample_time),
            new: n == 0,
        }
    }
}

/// What a link opens.
#[derive(Clone, Debug, Serialize)]
pub struct LinkedNode {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its icon.
    pub icon: &'static str,
    /// True for folders.
    pub folder: bool,
    /// It is in the trash, so the link opens nothing.
    pub trashed: bool,
    /// Its links.
    pub links: Vec<Link>,
}

/// The sharing of one file or folder.
#[derive(Clone, Debug, Serialize)]
pub struct Share {
    /// What it is about.
    pub node: LinkedNode,
    /// The way here.
    pub crumbs: Vec<Crumb>,
    /// Anybody may see it because the owner said so of itself.
    pub public: bool,
    /// Anybody may see it because a folder that it is in is public.
    pub inherited: Option<Crumb>,
    /// Where anybody may see it.
    pub public_url: Option<String>,
    /// The message that says what is wrong with the new link.
    pub error: Option<&'static str>,
    /// Where to go back to.
    pub here: String,
}

impl ui::Page for Share {
    const TEMPLATE: &'static str = "files/share.html";

    fn samples() -> Vec<Self> {
        let node = |links| LinkedNode {
            id: "x".into(),
            name: LONG.into(),
            icon: "file",
            folder: links == 0,
            trashed: false,
            links: (0..links).map(Link::sample).collect(),
        };
        let closed = Self {
            node: node(0),
            crumbs: vec![Crumb::to("Files", "/app/files"), Crumb::here("x")],
            public: false,
            inherited: None,
            public_url: None,
            error: None,
            here: "/app/files".into(),
        };
        let url = Some("https://ada.percloud.localhost:8443/files/x".to_owned());
        vec![
            closed.clone(),
            Self {
                node: node(3),
                public: true,
                public_url: url.clone(),
                error: Some("files.share.password-long"),
                ..closed.clone()
            },
            Self { inherited: Some(Crumb::to("Photos", "/app/files/share/y")), public_url: url, ..closed },
        ]
    }
}

/// All links.
#[derive(Clone, Debug, Serialize)]
pub struct Links {
    /// What they open.
    pub nodes: Vec<LinkedNode>,
    /// What anybody may see.
    pub public: Vec<super::Row>,
}

impl ui::Page for Links {
    const TEMPLATE: &'static str = "files/links.html";

    fn samples() -> Vec<Self> {
        let node = |trashed| LinkedNode {
            id: "x".into(),
            name: LONG.into(),
            icon: "file",
            folder: false,
            trashed,
            links: (0..3).map(|n| Link { id: format!("{trashed}{n}"), ..Link::sample(n) }).collect(),
        };
        vec![
            Self { nodes: Vec::new(), public: Vec::new() },
            Self { nodes: vec![node(false), node(true)], public: vec![super::Row::sample("Photos", "folder")] },
        ]
    }
}
