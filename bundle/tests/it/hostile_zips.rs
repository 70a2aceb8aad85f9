//! Every way to lie in a ZIP file that we know of, each refused for its own reason.

use std::sync::Arc;

use bundle::{Error, Why, read::Package, zip::Limits};

use crate::{
    raw::{Part, Raw, part},
    sample::Bag,
};

pub(crate) fn refused(zip: Vec<u8>) -> Option<Why> {
    let checked = Package::zip(Arc::new(zip), &Limits::default()).and_then(|p| p.check(&mut |_| true));
    match checked {
        Ok(_) => None,
        Err(Error::Refused(refusal)) => Some(refusal.why),
        Err(Error::Io(error)) => panic!("not refused but failed: {error}"),
    }
}

fn spoilt(spoil: impl FnOnce(&mut Raw)) -> Option<Why> {
    let mut raw = Raw::of(&Bag::sample());
    spoil(&mut raw);
    refused(raw.bytes())
}

fn one(spoil: impl FnOnce(&mut Part)) -> Option<Why> {
    spoilt(|raw| spoil(raw.part("data/settings/profile.json")))
}

#[test]
fn a_zip_of_another_hand_without_fault_is_read() {
    assert_eq!(spoilt(|_| {}), None);
    // Info-ZIP's times, and entries for the folders.
    assert_eq!(one(|p| p.both(|h| h.extra = vec![0x55, 0x54, 5, 0, 1, 0, 0, 0, 0])), None);
    assert_eq!(
        spoilt(|raw| {
            let mut folder = part("base/data/", b"");
            folder.both(|h| h.attributes = 0o040_755 << 16 | 0x10);
            raw.parts.insert(0, folder);
        }),
        None
    );
}

#[test]
fn what_is_not_a_zip_is_refused() {
    assert_eq!(refused(vec![]), Some(Why::NotZip));
    assert_eq!(refused(b"<html>Not found</html>".to_vec()), Some(Why::NotZip));
    assert_eq!(refused(b"PK\x03\x04 and then the download broke off".to_vec()), Some(Why::Truncated));
    let whole = Raw::of(&Bag::sample()).bytes();
    for end in [30, whole.len() / 2, whole.len() - 1] {
        assert_eq!(refused(whole[..end].to_vec()), Some(Why::Truncated), "{end}");
    }
    assert_eq!(refused([whole.clone(), whole].concat()), Some(Why::Prepended));
    let empty = [&b"PK\x05\x06"[..], &[0; 18]].concat();
    assert_eq!(refused(empty), Some(Why::Base));
}

#[test]
fn bytes_before_between_and_after_are_refused() {
    assert_eq!(spoilt(|r| r.before = b"#!/bin/sh\n".to_vec()), Some(Why::Prepended));
    assert_eq!(spoilt(|r| r.before = part_bytes()), Some(Why::Prepended));
    assert_eq!(spoilt(|r| r.after = b"x".to_vec()), Some(Why::Trailing));
    assert_eq!(spoilt(|r| r.comment = b"a comment".to_vec()), Some(Why::Comment));
    assert_eq!(spoilt(|r| r.comment = Raw::of(&Bag::sample()).bytes()[..60000].to_vec()), Some(Why::Comment));
    assert_eq!(spoilt(|r| r.parts[1].gap = b"hidden".to_vec()), Some(Why::Gap));
    assert_eq!(spoilt(|r| r.before_directory = b"hidden".to_vec()), Some(Why::Gap));
    assert_eq!(spoilt(|r| r.after_directory = b"hidden".to_vec()), Some(Why::Prepended));
}

/// A whole local entry that the directory does not list.
fn part_bytes() -> Vec<u8> {
    let mut raw = Raw::of(&Bag(std::iter::once(("evil".to_owned(), b"evil".to_vec())).collect())).bytes();
    let end = raw.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    raw.truncate(end);
    raw
}

#[test]
fn headers_that_disagree_are_refused() {
    assert_eq!(one(|p| p.local.name[20] = b'X'), Some(Why::Headers));
    assert_eq!(one(|p| p.local.crc ^= 1), Some(Why::Headers));
    assert_eq!(one(|p| p.local.size += 1), Some(Why::Headers));
    assert_eq!(one(|p| p.local.packed += 1), Some(Why::Headers));
    assert_eq!(one(|p| p.local.method = 8), Some(Why::Headers));
    assert_eq!(one(|p| p.local.flags = 0), Some(Why::Headers));
    assert_eq!(one(|p| p.offset = Some(7)), Some(Why::Overlap));
    assert_eq!(spoilt(|r| r.count = Some(3)), Some(Why::Count));
    assert_eq!(spoilt(|r| r.count = Some(60000)), Some(Why::Count));
}

#[test]
fn entries_that_share_bytes_are_refused() {
    // The quine of David Fifield's bomb: two directory entries, one content.
    assert_eq!(
        spoilt(|r| {
            let twin = r.parts[0].clone();
            r.parts[1] = Part { content: vec![], gap: vec![], offset: Some(0), ..twin };
            r.parts[1].both(|h| h.name = b"base/twin".to_vec());
        }),
        Some(Why::Overlap)
    );
    let mut raw = Raw::of(&Bag::sample());
    let second = raw.parts[0].bytes_before_content() + raw.parts[0].content.len();
    raw.parts[0].central.packed += 10;
    raw.parts[0].central.size += 10;
    raw.parts[0].local = raw.parts[0].central.clone();
    raw.parts[1].offset = Some(u32::try_from(second).unwrap());
    assert_eq!(refused(raw.bytes()), Some(Why::Overlap));
}

impl Part {
    fn bytes_before_content(&self) -> usize {
        30 + self.local.name.len() + self.local.extra.len()
    }
}

#[test]
fn encryption_methods_and_flags_that_we_do_not_use_are_refused() {
    assert_eq!(one(|p| p.both(|h| h.flags |= 1)), Some(Why::Encrypted));
    assert_eq!(one(|p| p.both(|h| h.flags |= 1 << 6)), Some(Why::Encrypted));
    assert_eq!(one(|p| p.both(|h| h.method = 99)), Some(Why::Encrypted));
    assert_eq!(one(|p| p.both(|h| h.flags |= 1 << 3)), Some(Why::Descriptor));
    assert_eq!(one(|p| p.both(|h| h.flags |= 1 << 5)), Some(Why::Flags));
    for method in [1, 9, 12, 14, 93, 95] {
        assert_eq!(one(|p| p.both(|h| h.method = method)), Some(Why::Method), "{method}");
    }
}

#[test]
fn extra_fields_that_change_the_meaning_are_refused() {
    // Unicode path, AES, ZIP64 without need, one that is cut off.
    for extra in
        [&b"\x75\x70\x05\0\x01\0\0\0\0"[..], b"\x01\x99\x07\0\x02\0AE\x03\x08\0", b"\x55\x54\x50\0\x01", b"\x55"]
    {
        assert_eq!(one(|p| p.central.extra = extra.to_vec()), Some(Why::Extra), "{extra:?}");
    }
    assert_eq!(one(|p| p.central.extra = b"\x01\0\x08\0\0\0\0\0\0\0\0\0".to_vec()), Some(Why::Zip64));
    assert_eq!(one(|p| p.both(|h| h.size = u32::MAX)), Some(Why::Zip64));
    assert_eq!(one(|p| p.central.comment = b"x".to_vec()), Some(Why::Comment));
}

#[test]
fn links_and_devices_are_refused() {
    for kind in [0o120_777, 0o060_644, 0o020_644, 0o010_644, 0o140_644, 0o040_755] {
        assert_eq!(one(|p| p.central.attributes = kind << 16), Some(Why::Link), "{kind:o}");
    }
    assert_eq!(
        one(|p| {
            p.central.made_by = 20;
            p.central.attributes = 0x400;
        }),
        Some(Why::Link)
    );
    assert_eq!(one(|p| p.central.attributes |= 0x08), Some(Why::Link));
}

#[test]
fn names_that_lead_outside_or_clash_are_refused() {
    let bad = [
        "base/../evil",
        "base//evil",
        "/base/evil",
        "base/data/C:evil",
        "base/data/a\\..\\evil",
        "base/data/nul",
        "base/./evil",
        "base/data/~root",
        "base/data/a\u{202e}b",
        "base/data/100%41",
    ];
    for name in bad {
        assert_eq!(spoilt(|r| r.parts.push(part(name, b"x"))), Some(Why::BadPath), "{name}");
    }
    assert_eq!(spoilt(|r| r.parts.push(part("base/data/files/A\u{30a}", b"x"))), Some(Why::NotNfc));
    assert_eq!(spoilt(|r| r.parts.push(part(&format!("base/{}", "d/".repeat(30) + "x"), b"x"))), Some(Why::LongPath));
    assert_eq!(spoilt(|r| r.parts.push(part("base/percloud.json", b"x"))), Some(Why::Duplicate));
    assert_eq!(spoilt(|r| r.parts.push(part("base/PERCLOUD.json", b"x"))), Some(Why::Duplicate));
    assert_eq!(spoilt(|r| r.parts.push(part("base/data/archive.json/x", b"x"))), Some(Why::FileAndFolder));
    assert_eq!(spoilt(|r| r.parts.push(part("other/x", b"x"))), Some(Why::Base));
    assert_eq!(spoilt(|r| r.parts.push(part("x", b"x"))), Some(Why::Base));
    assert_eq!(one(|p| p.both(|h| *h.name.last_mut().unwrap() = 0xff)), Some(Why::NotUtf8));
    assert_eq!(one(|p| p.both(|h| h.name.push(0))), Some(Why::BadPath));
    let latin = |p: &mut Part| {
        p.both(|h| {
            h.flags = 0;
            h.name.extend("é".as_bytes());
        })
    };
    assert_eq!(one(latin), Some(Why::NotUtf8));
}

#[test]
fn bombs_and_false_sizes_are_refused() {
    let bomb = |claimed: u32| {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut encoder, &vec![b' '; 2_000_000]).unwrap();
        let packed = encoder.finish().unwrap();
        move |p: &mut Part| {
            p.both(|h| {
                h.method = 8;
                h.packed = u32::try_from(packed.len()).unwrap();
                h.size = claimed;
            });
            p.content.clone_from(&packed);
        }
    };
    assert_eq!(one(bomb(2_000_000)), Some(Why::Ratio));
    assert_eq!(
        one(|p| p.both(|h| {
            h.method = 8;
            h.packed = 0;
        })),
        Some(Why::Ratio)
    );
    // It says less than it holds. The size is one that the bag's own lists agree with.
    let small = Bag::sample().0["data/settings/profile.json"].len();
    assert_eq!(one(bomb(u32::try_from(small).unwrap())), Some(Why::Size));
    let nonsense = |p: &mut Part| {
        p.both(|h| h.method = 8);
        p.content.fill(0xff);
    };
    assert_eq!(one(nonsense), Some(Why::Damaged));
    assert_eq!(one(|p| p.content[1] ^= 1), Some(Why::Crc));
    let limits = Limits { bytes: 100, ..Limits::default() };
    let zip = Arc::new(Raw::of(&Bag::sample()).bytes());
    assert!(matches!(Package::zip(zip.clone(), &limits), Err(Error::Refused(r)) if r.why == Why::TooBig));
    let limits = Limits { entries: 3, ..Limits::default() };
    assert!(matches!(Package::zip(zip, &limits), Err(Error::Refused(r)) if r.why == Why::TooMany));
}

#[test]
fn bytes_behind_a_deflate_stream_are_refused() {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    let content = Bag::sample().0["data/settings/profile.json"].clone();
    std::io::Write::write_all(&mut encoder, &content).unwrap();
    let packed = encoder.finish().unwrap();
    let with = |tail: &[u8]| {
        let bytes = [packed.as_slice(), tail].concat();
        one(|p| {
            p.both(|h| {
                h.method = 8;
                h.packed = u32::try_from(bytes.len()).unwrap();
            });
            p.content.clone_from(&bytes);
        })
    };
    assert_eq!(with(b""), None);
    assert_eq!(with(b"hidden"), Some(Why::Damaged));
}
