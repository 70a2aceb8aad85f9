//! In.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io::{BufRead, BufReader, Read},
};

use anyhow::Context;
use rusqlite::Transaction;

use super::{DEEP, Kind, Line, META, SECRET, Secret, TOKENS, TRASH, TREE};
use crate::{
    blobs::Blob,
    imports::{Counts, Section, plain},
    services::files::{
        names::Name,
        node::{Id, Node},
        shares,
        store::{read, write},
        types,
    },
    web,
};

/// The longest line that is read.
const LONGEST: u64 = 1 << 20;

/// Takes files and folders in. What is here already with the same or a later revision is left alone.
///
/// # Errors
/// When the section cannot be read or stored.
pub(crate) fn import(tx: &Transaction<'_>, from: &Section<'_>) -> anyhow::Result<Counts> {
    let mut counts = Counts::default();
    let mut named = HashSet::new();
    let secrets = secrets(from);
    if let Some(meta) = from.entries.get(META) {
        let mut lines = BufReader::new(from.blobs.read(&meta.sha256)?);
        while let Some(line) = next(&mut lines)? {
            counts.counted += 1;
            named.extend(line.path.clone());
            take(tx, from, &line, &mut counts)?;
            restore_links(tx, &line, &secrets)?;
        }
    }
    take_unlisted(tx, from, &named, &mut counts)?;
    settle(tx, from.now)?;
    Ok(counts)
}

fn next(lines: &mut impl BufRead) -> anyhow::Result<Option<Line>> {
    let mut text = Vec::new();
    lines.by_ref().take(LONGEST).read_until(b'\n', &mut text)?;
    if text.is_empty() {
        return Ok(None);
    }
    anyhow::ensure!(text.len() < 1 << 20, "a line of {META} is too long");
    Ok(Some(serde_json::from_slice(&text).with_context(|| format!("a line of {META} cannot be read"))?))
}

fn secrets(from: &Section<'_>) -> HashMap<Id, Secret> {
    let ours = from.secrets.iter().filter(|(file, value)| file == TOKENS && value["kind"] == SECRET);
    let read = ours.filter_map(|(_, value)| serde_json::from_value::<Secret>(value.clone()).ok());
    read.map(|secret| (secret.id.clone(), secret)).collect()
}

fn take(tx: &Transaction<'_>, from: &Section<'_>, line: &Line, counts: &mut Counts) -> anyhow::Result<()> {
    let here = read::find(tx, &line.id)?;
    if line.id.is_top() || here.as_ref().is_some_and(|node| node.revision >= line.revision) {
        counts.preserved += 1;
        return Ok(());
    }
    let mut node = match node(tx, from, line) {
        Ok(node) => node,
        Err(reason) => {
            counts.refused.push((line.name.clone(), reason.to_owned()));
            return Ok(());
        }
    };
    let wished = Name::parse(&node.name).map_err(anyhow::Error::from)?;
    let home = node.parent.clone().unwrap_or_else(Id::top);
    let taken = read::by_name(tx, &home, wished.as_str())?.is_some_and(|other| other.id != node.id);
    if node.trash.is_none() && taken {
        node.name = write::free_name(tx, &home, &wished)?.as_str().to_owned();
    }
    if node.name == line.name {
        counts.imported += 1
    } else {
        counts.transformed += 1
    }
    match here {
        Some(_) => write::overwrite(tx, &node),
        None => write::insert(tx, &node),
    }
}

/// The row that a line asks for, or why there is none.
fn node(tx: &Transaction<'_>, from: &Section<'_>, line: &Line) -> Result<Node, &'static str> {
    let name = match Name::parse(&line.name) {
        Ok(name) => name,
        Err(web::Error::Invalid(key)) => return Err(key),
        Err(_) => return Err("files.name.empty"),
    };
    let path = line.path.as_deref().filter(|p| [TREE, TRASH].iter().any(|root| p.starts_with(&format!("{root}/"))));
    let blob: Option<Blob> = match line.kind {
        Kind::Folder => None,
        Kind::File => Some(*path.and_then(|path| from.entries.get(path)).ok_or("files.import.no-content")?),
    };
    // A folder that was refused leaves its content at the top; one that would be inside itself too.
    let usable = |id: &Id| {
        let folder = read::find(tx, id).ok().flatten().is_some_and(|node| node.is_folder());
        folder && !read::is_inside(tx, id, &line.id).unwrap_or(true)
    };
    Ok(Node {
        id: line.id.clone(),
        parent: Some(line.parent.clone().filter(usable).unwrap_or_else(Id::top)),
        name: name.as_str().to_owned(),
        mime: if line.kind == Kind::File { mime(line) } else { String::new() },
        blob,
        modified_at: plain(line.modified),
        created_at: plain(line.created),
        public_at: line.public.map(plain),
        trash: line.trash.clone(),
        trashed_at: line.trashed_at.map(plain).filter(|_| line.trash.as_ref() == Some(&line.id)),
        revision: line.revision.max(1),
    })
}

/// A media type is a word of ours in a header later: what does not look like one is made anew from the name.
fn mime(line: &Line) -> String {
    let good = |c: char| c.is_ascii_alphanumeric() || "/.+-_".contains(c);
    let fits = line.mime.len() <= 127 && line.mime.matches('/').count() == 1 && line.mime.chars().all(good);
    if fits { line.mime.clone() } else { types::of_name(&line.name) }
}

fn restore_links(tx: &Transaction<'_>, line: &Line, secrets: &HashMap<Id, Secret>) -> anyhow::Result<()> {
    if read::find(tx, &line.id)?.is_none() {
        return Ok(());
    }
    for share in &line.shares {
        // Without its secret nobody has the link; with a lost password it would open to all.
        let Some(secret) = secrets.get(&share.id).filter(|s| s.password.is_some() == share.password) else { continue };
        let share = shares::Share {
            id: share.id.clone(),
            node: line.id.clone(),
            token: secret.token.clone(),
            password: secret.password.clone(),
            expires_at: share.expires.map(plain),
            created_at: plain(share.created),
            opened: share.opened,
            opened_at: share.opened_at.map(plain),
        };
        shares::insert(tx, &share)?;
    }
    Ok(())
}

/// Files that lie in the tree without a line: written by another program, or put there by hand.
fn take_unlisted(
    tx: &Transaction<'_>,
    from: &Section<'_>,
    named: &HashSet<String>,
    counts: &mut Counts,
) -> anyhow::Result<()> {
    let prefix = format!("{TREE}/");
    let unlisted: BTreeMap<&str, &Blob> = from
        .entries
        .range(prefix.clone()..)
        .take_while(|(path, _)| path.starts_with(&prefix))
        .filter(|(path, _)| !named.contains(*path) && !path[prefix.len()..].starts_with(&format!("{DEEP}/")))
        .map(|(path, blob)| (&path[prefix.len()..], blob))
        .collect();
    for (path, blob) in unlisted {
        counts.counted += 1;
        let names: Result<Vec<Name>, _> = path.split('/').map(Name::parse).collect();
        let Ok(Some((name, folders))) = names.as_ref().map(|names| names.split_last()) else {
            counts.refused.push((path.to_owned(), "files.name.control".to_owned()));
            continue;
        };
        let folder = write::ensure_folders(tx, &Id::top(), folders, from.now)?;
        let same = read::by_name(tx, &folder, name.as_str())?;
        if same.is_some_and(|node| node.blob.is_some_and(|b| b.sha256 == blob.sha256)) {
            counts.preserved += 1;
            continue;
        }
        let added = write::add_file(tx, &folder, name, &types::of_name(name.as_str()), *blob, from.now, from.now)?;
        if added.name == name.as_str() { counts.imported += 1 } else { counts.transformed += 1 }
    }
    Ok(())
}

/// Where two histories meet, a thing may lie in a folder that is in the trash, or in the trash of something that is not.
fn settle(tx: &Transaction<'_>, now: chrono::DateTime<chrono::Utc>) -> anyhow::Result<()> {
    let sink = "update files_nodes set trash = (select p.trash from files_nodes p where p.id = files_nodes.parent)
        where trash is null and parent in (select id from files_nodes where trash is not null)";
    while tx.execute(sink, [])? > 0 {}
    let surface = "update files_nodes set trash = id, trashed_at = ?1
        where trash is not null and trash not in (select id from files_nodes where trashed_at is not null)";
    tx.execute(surface, [now])?;
    Ok(())
}
