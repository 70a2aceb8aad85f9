//! Bags and bundles that say what is not so.

use bundle::Why;

use crate::{hostile_zips::refused, raw::Raw, sample::Bag};

/// Spoils the bag, leaves its lists as they were.
fn changed(spoil: impl FnOnce(&mut Bag)) -> Option<Why> {
    let mut bag = Bag::sample();
    spoil(&mut bag);
    refused(Raw::of(&bag).bytes())
}

/// Spoils the bag, and makes its lists fit again.
fn crafted(spoil: impl FnOnce(&mut Bag)) -> Option<Why> {
    changed(|bag| {
        spoil(bag);
        bag.reseal();
    })
}

fn without(path: &str) -> impl FnOnce(&mut Bag) + '_ {
    move |bag| {
        bag.0.remove(path).unwrap();
    }
}

#[test]
fn the_sample_resealed_is_good() {
    assert_eq!(crafted(|_| {}), None);
}

#[test]
fn a_changed_missing_or_added_file_is_found() {
    assert_eq!(changed(|b| b.put("data/settings/profile.json", "{\"name\":\"Eve\"}\n")), Some(Why::Hash));
    assert_eq!(changed(|b| b.replace("README.html", "whole", "whale")), Some(Why::Hash));
    assert_eq!(changed(without("data/settings/profile.json")), Some(Why::Missing));
    assert_eq!(changed(|b| b.put("data/settings/more.json", "{}")), Some(Why::Unlisted));
    assert_eq!(changed(|b| b.put("autorun.inf", "x")), Some(Why::Unlisted));
    assert_eq!(crafted(|b| b.put("data/calendars/a.ics", "x")), Some(Why::Stray));
}

#[test]
fn what_is_no_percloud_bundle_is_told_apart() {
    assert_eq!(changed(without("bagit.txt")), Some(Why::NotBag));
    assert_eq!(changed(|b| b.replace("bagit.txt", "1.0", "0.97")), Some(Why::NotBag));
    assert_eq!(changed(without("percloud.json")), Some(Why::NotPercloud));
    assert_eq!(crafted(|b| b.put("percloud.json", "{\"format\":\"other\"}")), Some(Why::NotPercloud));
    assert_eq!(crafted(|b| b.put("percloud.json", "{")), Some(Why::Json));
    assert_eq!(crafted(|b| b.put("percloud.json", "[".repeat(100_000))), Some(Why::JsonDeep));
    for tag in ["bag-info.txt", "manifest.yml"] {
        assert_eq!(crafted(without(tag)), Some(Why::NoTag), "{tag}");
    }
    for tag in ["manifest-sha256.txt", "tagmanifest-sha256.txt"] {
        assert_eq!(changed(without(tag)), Some(Why::NoTag), "{tag}");
    }
}

#[test]
fn what_a_bundle_says_of_itself_is_short() {
    let long = " ".repeat(1 << 20);
    assert_eq!(crafted(|b| b.put("percloud.json", format!("{{}}{long}"))), Some(Why::JsonBig));
    assert_eq!(crafted(|b| b.put("bag-info.txt", format!("A: {long}"))), Some(Why::JsonBig));
    let section = |n: usize| serde_json::json!({"id": format!("x/{n}"), "spec": "", "version": "1", "path": format!("data/x/{n}"), "count": 0, "bytes": 0});
    let many = percloud(|p| p["sections"].as_array_mut().unwrap().extend((0..256).map(section)));
    assert_eq!(many, Some(Why::TooMany));
}

#[test]
fn nothing_is_fetched_and_no_other_checksum_believed() {
    assert_eq!(crafted(|b| b.put("fetch.txt", "http://192.0.2.1/ 1 data/x\n")), Some(Why::Fetch));
    assert_eq!(crafted(|b| b.put("Fetch.TXT", "x")), Some(Why::Fetch));
    assert_eq!(crafted(|b| b.put("manifest-md5.txt", "")), Some(Why::Algorithm));
    assert_eq!(changed(|b| b.put("manifest-sha256.txt", "abc  data/x\n")), Some(Why::List));
}

#[test]
fn what_bag_info_says_must_be_so() {
    let oxum = |b: &mut Bag| {
        let line = b.text("bag-info.txt").lines().find(|l| l.starts_with("Payload-Oxum")).unwrap().to_owned();
        b.replace("bag-info.txt", &line, "Payload-Oxum: 1.1");
    };
    assert_eq!(changed(oxum), Some(Why::Oxum));
    assert_eq!(crafted(|b| b.replace("bag-info.txt", "urn:uuid:0b", "urn:uuid:1b")), Some(Why::Info));
    assert_eq!(crafted(|b| b.put("bag-info.txt", b.text("bag-info.txt") + "Bag-Count: 1 of 2\n")), Some(Why::Part));
    assert_eq!(crafted(|b| b.put("bag-info.txt", b.text("bag-info.txt") + "no colon\n")), Some(Why::Info));
}

/// Changes `percloud.json` after everything else fits, and lists it anew.
fn percloud(change: impl FnOnce(&mut serde_json::Value)) -> Option<Why> {
    changed(|b| {
        b.reseal();
        let mut value = serde_json::from_slice(&b.0["percloud.json"]).unwrap();
        change(&mut value);
        b.put("percloud.json", value.to_string());
        let line =
            b.text("tagmanifest-sha256.txt").lines().find(|l| l.ends_with("  percloud.json")).unwrap().to_owned();
        let fresh = format!("{}  percloud.json", bundle::Sum::of(&b.0["percloud.json"]).hex());
        b.replace("tagmanifest-sha256.txt", &line, &fresh);
    })
}

#[test]
fn versions_and_sections_that_are_not_known_stop_the_import() {
    assert_eq!(percloud(|_| {}), None);
    assert_eq!(percloud(|p| p["version"] = "1.7".into()), None, "a newer minor version");
    for newer in ["2.0", "1", "1.x", ""] {
        assert_eq!(percloud(|p| p["version"] = newer.into()), Some(Why::Version), "{newer}");
    }
    assert_eq!(percloud(|p| p["kind"] = "delta".into()), Some(Why::Delta));
    assert_eq!(percloud(|p| p["id"] = "../x".into()), Some(Why::NotPercloud));
    assert_eq!(percloud(|p| p["sections"] = 1.into()), Some(Why::NotPercloud));
    assert_eq!(percloud(|p| p["sections"][0]["count"] = 77.into()), Some(Why::SectionSum));
    assert_eq!(percloud(|p| p["sections"][1]["version"] = "2.0".into()), Some(Why::Version), "of a known section");
    assert_eq!(percloud(|p| p["sections"][1]["path"] = "data/elsewhere".into()), Some(Why::Section));
    let strange = |key: &'static str, to: serde_json::Value| {
        percloud(move |p| {
            let all = p["sections"].as_array_mut().unwrap();
            all.iter_mut().find(|s| s["id"] == "x/com.example.game").unwrap()[key] = to;
        })
    };
    assert_eq!(strange("version", "of its own kind".into()), None);
    assert_eq!(strange("required", true.into()), Some(Why::Section));
    assert_eq!(strange("path", "data/files/tree".into()), Some(Why::Section));
    assert_eq!(strange("path", "data/calendars".into()), Some(Why::Stray));
    assert_eq!(strange("path", "data/../x".into()), Some(Why::BadPath));
    assert_eq!(strange("path", "README.html".into()), Some(Why::Section));
}

#[test]
fn json_xml_and_secrets_must_be_what_they_are_called() {
    assert_eq!(crafted(|b| b.put("data/settings/profile.json", "{")), Some(Why::Json));
    assert_eq!(crafted(|b| b.put("data/settings/profile.json", "[".repeat(65) + &"]".repeat(65))), Some(Why::JsonDeep));
    assert_eq!(crafted(|b| b.put("data/files/meta.jsonl", "{}\nnull\n{\n")), Some(Why::Json));
    assert_eq!(crafted(|b| b.put("data/blog/feed.atom", "<!DOCTYPE a [<!ENTITY b 'c'>]><feed/>")), Some(Why::Doctype));
    assert_eq!(crafted(|b| b.put("data/files/tree/bad.json", "{")), None, "the owner's files are the owner's");
    assert_eq!(crafted(|b| b.put("data/x/com.example.game/a.json", "{")), None, "so is what we do not know");
}

#[test]
fn a_signature_must_fit() {
    use bundle::sign::Key;
    let key = Key::random().unwrap();
    let public = key.public().unwrap();
    let signed = |key: &Key, public: &str, comment: &str| {
        crafted_with_signature(
            |b| b.replace("percloud.json", "\"key\": null", &format!("\"key\": \"{public}\"")),
            key,
            comment,
        )
    };
    let comment = format!("urn:uuid:{} full", crate::sample::ID);
    assert_eq!(signed(&key, &public, &comment), None);
    assert_eq!(signed(&Key::random().unwrap(), &public, &comment), Some(Why::Signature));
    assert_eq!(signed(&key, &public, "urn:uuid:0 full"), Some(Why::Signature));
    assert_eq!(crafted_with_signature(|_| {}, &key, &comment), Some(Why::Signature), "no key is named");
}

fn crafted_with_signature(spoil: impl FnOnce(&mut Bag), key: &bundle::sign::Key, comment: &str) -> Option<Why> {
    changed(|bag| {
        spoil(bag);
        bag.reseal();
        let signature = key.sign(&bag.0["tagmanifest-sha256.txt"], comment).unwrap();
        bag.put("tagmanifest-sha256.txt.minisig", signature);
    })
}
