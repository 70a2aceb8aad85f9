use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, Transaction};

use super::{read, trash, undo, write};
use crate::{
    blobs::{Blob, Hash},
    services::{
        Service,
        files::{
            Files,
            names::Name,
            node::{Id, Node},
        },
    },
    web,
};

fn now() -> DateTime<Utc> {
    "2026-11-22T10:00:00Z".parse().unwrap()
}

fn db() -> Connection {
    let db = Connection::open_in_memory().unwrap();
    db.execute_batch("pragma foreign_keys = on").unwrap();
    for step in Files.schema() {
        db.execute_batch(step).unwrap();
    }
    db
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn folder(tx: &Transaction<'_>, parent: &Id, text: &str) -> Id {
    write::make_folder(tx, parent, &name(text), now()).unwrap().id
}

fn file(tx: &Transaction<'_>, parent: &Id, text: &str) -> Node {
    let blob = Blob { sha256: Hash([7; 32]), crc32: 1, size: 10 };
    write::add_file(tx, parent, &name(text), "text/plain", blob, now(), now()).unwrap()
}

fn paths(tx: &Transaction<'_>) -> Vec<String> {
    let top = read::find(tx, &Id::top()).unwrap().unwrap();
    let tree = read::tree(tx, &top).unwrap();
    tree.into_iter().skip(1).map(|(path, _)| path.trim_start_matches('/').to_owned()).collect()
}

#[test]
fn the_same_name_in_any_case_gets_a_number() {
    let mut db = db();
    let tx = db.transaction().unwrap();
    assert_eq!(file(&tx, &Id::top(), "Photo.JPG").name, "Photo.JPG");
    assert_eq!(file(&tx, &Id::top(), "photo.jpg").name, "photo (2).jpg");
    assert_eq!(file(&tx, &Id::top(), "photo.jpg").name, "photo (3).jpg");
    let taken = write::make_folder(&tx, &Id::top(), &name("PHOTO.jpg"), now());
    assert!(matches!(taken, Err(web::Error::Conflict("files.name.taken"))));
}

#[test]
fn a_folder_goes_to_the_trash_and_comes_back_whole() {
    let mut db = db();
    let tx = db.transaction().unwrap();
    let a = folder(&tx, &Id::top(), "a");
    let b = folder(&tx, &a, "b");
    let early = file(&tx, &b, "early");
    file(&tx, &b, "x");
    trash::throw(&tx, std::slice::from_ref(&early.id), now()).unwrap();
    let steps = trash::throw(&tx, &[b.clone(), a.clone()], now()).unwrap();
    assert_eq!(paths(&tx), Vec::<String>::new());
    let undo = undo::keep(&tx, &steps, now()).unwrap().unwrap();
    folder(&tx, &Id::top(), "A"); // the name is free meanwhile
    assert_eq!(undo::run(&tx, &undo, now()).unwrap(), 1);
    assert_eq!(undo::run(&tx, &undo, now()).unwrap(), 0);
    assert_eq!(paths(&tx), ["A", "a (2)", "a (2)/b", "a (2)/b/x"]);
    trash::restore(&tx, &[early.id]).unwrap();
    assert!(paths(&tx).contains(&"a (2)/b/early".to_owned()));
}

#[test]
fn what_was_thrown_away_earlier_outlives_its_folder() {
    let mut db = db();
    let tx = db.transaction().unwrap();
    let a = folder(&tx, &Id::top(), "a");
    let early = file(&tx, &a, "early");
    trash::throw(&tx, std::slice::from_ref(&early.id), now()).unwrap();
    trash::throw(&tx, std::slice::from_ref(&a), now() - TimeDelta::days(31)).unwrap();
    trash::tidy(&tx, now()).unwrap();
    assert!(read::find(&tx, &a).unwrap().is_none());
    trash::restore(&tx, std::slice::from_ref(&early.id)).unwrap();
    assert_eq!(paths(&tx), ["early"]);
    trash::throw(&tx, &[early.id], now()).unwrap();
    assert_eq!(trash::empty(&tx).unwrap(), 1);
    assert_eq!(read::trashed(&tx, slice()).unwrap().1, 0);
}

fn slice() -> read::Slice {
    read::Slice { sort: read::Sort::Name, reversed: false, skip: 0, limit: 100 }
}

#[test]
fn a_folder_never_goes_into_itself_and_moves_can_be_taken_back() {
    let mut db = db();
    let tx = db.transaction().unwrap();
    let a = folder(&tx, &Id::top(), "a");
    let b = folder(&tx, &a, "b");
    let x = file(&tx, &a, "x");
    let refused = write::relocate(&tx, std::slice::from_ref(&a), &b);
    assert!(matches!(refused, Err(web::Error::Conflict("files.into-itself"))));
    assert!(write::copy(&tx, std::slice::from_ref(&a), &b, now()).is_err());
    file(&tx, &Id::top(), "x");
    let steps = write::relocate(&tx, &[x.id.clone(), b.clone()], &Id::top()).unwrap();
    assert_eq!(paths(&tx), ["a", "b", "x", "x (2)"]);
    let undo = undo::keep(&tx, &steps, now()).unwrap().unwrap();
    undo::run(&tx, &undo, now()).unwrap();
    assert_eq!(paths(&tx), ["a", "a/b", "a/x", "x"]);
}

#[test]
fn a_copy_holds_everything_and_is_not_public() {
    let mut db = db();
    let tx = db.transaction().unwrap();
    let a = folder(&tx, &Id::top(), "a");
    let b = folder(&tx, &a, "b");
    let x = file(&tx, &b, "x");
    write::set_public(&tx, &a, Some(now())).unwrap();
    assert!(read::is_public(&tx, &x).unwrap());
    let steps = write::copy(&tx, &[a], &Id::top(), now()).unwrap();
    assert_eq!(paths(&tx), ["a", "a (2)", "a (2)/b", "a (2)/b/x", "a/b", "a/b/x"]);
    let copy = read::by_name(&tx, &Id::top(), "A (2)").unwrap().unwrap();
    assert!(!read::is_public(&tx, &copy).unwrap());
    assert_eq!(read::total(&tx, &copy).unwrap(), (1, 10));
    let undo = undo::keep(&tx, &steps, now()).unwrap().unwrap();
    undo::run(&tx, &undo, now()).unwrap();
    assert_eq!(paths(&tx), ["a", "a/b", "a/b/x"]);
}

#[test]
fn search_finds_whatever_case_and_accents_and_not_in_the_trash() {
    let mut db = db();
    let tx = db.transaction().unwrap();
    let a = folder(&tx, &Id::top(), "Café 100%");
    file(&tx, &a, "Menù della SERA.txt");
    let gone = file(&tx, &a, "menu 2024.txt");
    let found = |text: &str| -> Vec<String> {
        read::search(&tx, text, slice()).unwrap().0.into_iter().map(|n| n.name).collect()
    };
    assert_eq!(found("menu"), ["menu 2024.txt", "Menù della SERA.txt"]);
    assert_eq!(found("sera MENÙ"), ["Menù della SERA.txt"]);
    assert_eq!(found("100%"), ["Café 100%"]);
    assert_eq!(found("202"), ["menu 2024.txt"]);
    trash::throw(&tx, &[gone.id], now()).unwrap();
    assert_eq!(found("menu"), ["Menù della SERA.txt"]);
}

#[test]
fn an_uploaded_folder_joins_the_one_that_is_there() {
    let mut db = db();
    let tx = db.transaction().unwrap();
    let path = [name("Holiday"), name("2024")];
    let first = write::ensure_folders(&tx, &Id::top(), &path, now()).unwrap();
    let again = write::ensure_folders(&tx, &Id::top(), &[name("holiday"), name("2024")], now()).unwrap();
    assert_eq!(first, again);
    let deep = vec![name("d"); 65];
    assert!(write::ensure_folders(&tx, &Id::top(), &deep, now()).is_err());
}

#[test]
fn ten_thousand_entries_come_in_pages() {
    let mut db = db();
    let tx = db.transaction().unwrap();
    for n in 0..10_000 {
        file(&tx, &Id::top(), &format!("img {n}.jpg"));
    }
    let page = read::list(&tx, &Id::top(), read::Slice { skip: 9_990, limit: 200, ..slice() }).unwrap();
    assert_eq!(page.len(), 10);
    assert_eq!(page[9].name, "img 9999.jpg");
    assert_eq!(read::count(&tx, &Id::top()).unwrap(), 10_000);
}
