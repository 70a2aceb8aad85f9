//! Pages that ask one thing. With scripts most of them are dialogs; they are the way without.

use serde::Serialize;

use super::{Crumb, LONG, Row};

/// A new folder's name, or another name for something.
#[derive(Clone, Debug, Serialize)]
pub struct NameIt {
    /// Something gets another name; else a folder is made.
    pub rename: bool,
    /// Where the form goes.
    pub action: String,
    /// What was typed, or the present name.
    pub value: String,
    /// The message that says what is wrong.
    pub error: Option<&'static str>,
    /// Where to go back to.
    pub here: String,
}

impl ui::Page for NameIt {
    const TEMPLATE: &'static str = "files/name.html";

    fn samples() -> Vec<Self> {
        let new =
            Self { rename: false, action: "/x".into(), value: String::new(), error: None, here: "/app/files".into() };
        let errors = [
            "files.name.empty",
            "files.name.dots",
            "files.name.slash",
            "files.name.control",
            "files.name.long",
            "files.name.taken",
            "files.too-deep",
        ];
        let wrong = errors.map(|error| Self { rename: true, value: LONG.into(), error: Some(error), ..new.clone() });
        [vec![new.clone(), Self { rename: true, value: "a.txt".into(), ..new }], wrong.into()].concat()
    }
}

/// Where to move or copy something.
#[derive(Clone, Debug, Serialize)]
pub struct Choose {
    /// A copy is made; else things are moved.
    pub copy: bool,
    /// Where the form goes.
    pub action: String,
    /// The name of the only thing; none when there are several.
    pub name: Option<String>,
    /// The things.
    pub ids: Vec<String>,
    /// The folder that is open.
    pub folder: String,
    /// Its name; empty for the top.
    pub folder_name: String,
    /// The way to it.
    pub crumbs: Vec<Crumb>,
    /// The folders in it.
    pub folders: Vec<Row>,
    /// Why it cannot be here.
    pub error: Option<&'static str>,
    /// Where to go back to.
    pub here: String,
}

impl ui::Page for Choose {
    const TEMPLATE: &'static str = "files/choose.html";

    fn samples() -> Vec<Self> {
        let one = Self {
            copy: false,
            action: "/app/files/move".into(),
            name: Some(LONG.into()),
            ids: vec!["x".into()],
            folder: "top".into(),
            folder_name: String::new(),
            crumbs: vec![Crumb::to("Files", "/x"), Crumb::here("Photos")],
            folders: vec![Row::sample("Photos", "folder")],
            error: None,
            here: "/app/files".into(),
        };
        let many = Self {
            copy: true,
            name: None,
            ids: vec!["x".into(), "y".into()],
            folder_name: "Photos".into(),
            folders: Vec::new(),
            error: Some("files.into-itself"),
            ..one.clone()
        };
        vec![one.clone(), many.clone(), Self { copy: true, ..one }, Self { copy: false, error: None, ..many }]
    }
}

/// The upload form for browsers without scripts.
#[derive(Clone, Debug, Serialize)]
pub struct Put {
    /// The folder's id.
    pub folder: String,
    /// Its name; empty for the top.
    pub folder_name: String,
    /// Where to go back to.
    pub here: String,
}

impl ui::Page for Put {
    const TEMPLATE: &'static str = "files/upload.html";

    fn samples() -> Vec<Self> {
        let top = Self { folder: "top".into(), folder_name: String::new(), here: "/app/files".into() };
        vec![top.clone(), Self { folder_name: LONG.into(), ..top }]
    }
}

/// Asks once more before everything in the trash is gone.
#[derive(Clone, Debug, Serialize)]
pub struct EmptyTrash {
    /// Things in it.
    pub total: u64,
}

impl ui::Page for EmptyTrash {
    const TEMPLATE: &'static str = "files/empty-trash.html";

    fn samples() -> Vec<Self> {
        vec![Self { total: 1 }, Self { total: 12 }]
    }
}
