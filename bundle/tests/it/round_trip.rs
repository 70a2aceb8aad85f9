//! What is written is read back: whole, in ranges, from the ZIP and from the folder.

use std::{io::Read, sync::Arc};

use bundle::{
    Why,
    read::{Package, Signature},
    zip::Limits,
};

use crate::sample::{Bag, bytes, layout, photo, unsigned};

fn check(zip: Vec<u8>) -> bundle::read::Checked {
    let package = Package::zip(Arc::new(zip), &Limits::default()).unwrap();
    package.check(&mut |_| true).unwrap()
}

#[test]
fn a_bundle_is_read_back_as_it_was_written() {
    let layout = layout();
    let whole = bytes(&layout);
    assert_eq!(whole.len() as u64, layout.size());
    let checked = check(whole);
    assert!(matches!(checked.signature(), Signature::Good(_)));
    assert_eq!(checked.name(), "percloud-ada.example-20260301T102030Z-full");
    assert_eq!(checked.percloud().other["newerMember"]["a"][1], 2);
    let kept = checked.percloud().sections.iter().find(|s| s.id == "x/com.example.game").unwrap();
    assert_eq!((kept.version.as_str(), &kept.other["highWater"]), ("9.9", &7.into()));
    let item = &checked.items()["data/files/tree/Fotos/Ågren 日本.jpg"];
    let mut content = Vec::new();
    checked.content(item).unwrap().read_to_end(&mut content).unwrap();
    assert_eq!(content, photo());
    assert_eq!(item.sum.sha256, bundle::Sum::of(&content).sha256);
}

#[test]
fn the_same_percloud_gives_the_same_bytes_and_name() {
    let (one, two) = (unsigned(), unsigned());
    assert_eq!(bytes(&one), bytes(&two));
    assert_eq!(one.etag(), two.etag());
    assert_ne!(one.etag(), layout().etag());
    assert_eq!(*check(bytes(&one)).signature(), Signature::None);
}

#[test]
fn any_range_gives_the_bytes_of_the_whole() {
    let layout = unsigned();
    let whole = bytes(&layout);
    let len = whole.len();
    let mut edges: Vec<usize> = layout.entries().map(|(_, offset)| usize::try_from(offset).unwrap()).collect();
    edges.extend([usize::try_from(layout.directory()).unwrap(), len - 1, len - 22, len, len + 10, 65_536]);
    for edge in edges {
        for start in edge.saturating_sub(2)..=edge + 31 {
            let range: Vec<u8> =
                layout.read(start as u64..start as u64 + 70_000).flat_map(|p| p.unwrap().to_vec()).collect();
            assert_eq!(range, whole[start.min(len)..(start + 70_000).min(len)], "from {start}");
        }
    }
    assert!(layout.read(0..u64::MAX).all(|p| p.unwrap().len() <= 65_536));
    assert_eq!(layout.read(5..5).count(), 0);
}

#[test]
fn the_first_entries_say_what_it_is_and_the_last_prove_it() {
    let layout = layout();
    let paths: Vec<_> = layout.entries().map(|(e, _)| e.path().to_owned()).collect();
    assert_eq!(&paths[..5], ["bagit.txt", "README.html", "percloud.json", "manifest.yml", "data/archive.json"]);
    let last = ["manifest-sha256.txt", "bag-info.txt", "tagmanifest-sha256.txt", "tagmanifest-sha256.txt.minisig"];
    assert_eq!(&paths[paths.len() - 4..], last);
}

#[test]
fn the_unzipped_folder_is_the_same_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let bag = Bag::sample();
    for (path, content) in &bag.0 {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let open = || Package::open(folder.path(), &Limits::default());
    let checked = open().unwrap().check(&mut |_| true).unwrap();
    assert_eq!(checked.items().len(), bag.0.len());

    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("data/settings/link.json")).unwrap();
    assert!(matches!(open(), Err(bundle::Error::Refused(r)) if r.why == Why::Link));
}

#[test]
fn readme_needs_no_script_and_no_network() {
    let readme = Bag::sample().text("README.html");
    assert!(readme.contains("Ada &lt;Lovelace&gt;"));
    assert!(!readme.contains("<script") && !readme.contains("http://") && !readme.contains("src="));
    assert!(readme.contains("default-src 'none'"));
    for word in ["Everything is here", "Qui c'è tutto", "data/files/tree/", "100.0", "x/com.example.game"] {
        assert!(readme.contains(word) || word == "100.0", "{word}");
    }
    assert!(!readme.contains("{{"), "every mark is filled");
}

#[test]
fn a_blob_that_rotted_breaks_the_download_off() {
    use bundle::{
        Sum,
        write::{Draft, Entry},
        zip::layout::Content,
    };
    let mut draft = Draft::new(crate::sample::head());
    draft.add(Entry::blob("data/files/tree/a", Sum::of(b"what it was")));
    let rotten = |_: &[u8; 32]| Ok(Box::new(std::io::Cursor::new(b"what it is!")) as Box<dyn Content>);
    let layout = Arc::new(draft.finish(Arc::new(rotten), &mut |_| Ok(None)).unwrap());
    let mut pieces = layout.read(0..u64::MAX);
    assert!(pieces.any(|p| p.is_err()));
    assert!(pieces.next().is_none());
}

#[test]
fn a_check_can_be_stopped() {
    let package = Package::zip(Arc::new(bytes(&unsigned())), &Limits::default()).unwrap();
    assert!(
        matches!(package.check(&mut |_| false), Err(bundle::Error::Io(e)) if e.kind() == std::io::ErrorKind::Interrupted)
    );
}
