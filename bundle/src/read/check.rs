//! The whole check: structure, lists, hashes, versions, signature, sections.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufReader, Read};

use super::{Found, Package, bag, content};
use crate::{
    manifest::{self, Kind, Percloud},
    refusal::{Error, Refusal, Why},
    secrets, sign,
    sum::{Sum, Summer},
    write,
};

mod semantics;

/// What a bundle says of itself is read whole before anything else is known of it, and takes many times its size while it is: larger
/// tag files are refused.
const MAX_TAG: u64 = 1 << 20;
/// Sections that a bundle may have.
pub const MAX_SECTIONS: usize = 256;
/// JSON that is read whole.
pub(super) const MAX_JSON: u64 = 64 << 20;
const SIGNATURE: &str = "tagmanifest-sha256.txt.minisig";
const TAGMANIFEST: &str = "tagmanifest-sha256.txt";
const MANIFEST: &str = "manifest-sha256.txt";
/// Tag files that every bundle has.
const TAGS: &[&str] = &["bagit.txt", "bag-info.txt", "percloud.json", "manifest.yml", MANIFEST, TAGMANIFEST];

/// What is known of the signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signature {
    /// It fits; the key that signed, to compare with the one the owner knows.
    Good(String),
    /// There is none: the bundle can have been changed by whoever had it.
    None,
}

/// A file of a checked bundle.
#[derive(Clone, Debug)]
pub struct Item {
    /// What its content is proven to be.
    pub sum: Sum,
    index: usize,
}

/// A bundle of which every byte was held against the lists.
pub struct Checked {
    package: Package,
    percloud: Percloud,
    signature: Signature,
    tagmanifest: [u8; 32],
    items: BTreeMap<String, Item>,
}

impl Package {
    /// Reads every byte once and checks everything. `progress` is told how many bytes were read since it was told last;
    /// its answer `false` ends the check.
    ///
    /// # Errors
    /// With the first thing that is not as it must be.
    pub fn check(self, progress: &mut dyn FnMut(u64) -> bool) -> Result<Checked, Error> {
        let by_path: HashMap<&str, usize> = self.found.iter().enumerate().map(|(i, f)| (f.path.as_str(), i)).collect();
        let head = Head::read(&self, &by_path)?;
        drop(by_path);
        let mut items = BTreeMap::new();
        for (index, found) in self.found.iter().enumerate() {
            let sum = head.check_file(&self, found, progress)?;
            items.insert(found.path.clone(), Item { sum, index });
        }
        head.check_sections(&items)?;
        let Head { percloud, signature, tagmanifest, .. } = head;
        Ok(Checked { package: self, percloud, signature, tagmanifest, items })
    }

    /// Checks everything but the contents: structure, lists, versions, signature, sections. For a bundle that was checked
    /// before and lies where nobody else writes: whoever reads its contents holds them against [`Item::sum`]'s SHA-256.
    /// (The CRC is known from a ZIP only; 0 in a folder.)
    ///
    /// # Errors
    /// With the first thing that is not as it must be.
    pub fn listed(self) -> Result<Checked, Error> {
        let by_path: HashMap<&str, usize> = self.found.iter().enumerate().map(|(i, f)| (f.path.as_str(), i)).collect();
        let head = Head::read(&self, &by_path)?;
        drop(by_path);
        let mut items = BTreeMap::new();
        for (index, found) in self.found.iter().enumerate() {
            let listed = if found.path.starts_with("data/") { &head.payload } else { &head.tags };
            let Some(sha256) = listed.get(&found.path).copied() else { continue };
            let sum = Sum { size: found.size, crc32: found.crc32(), sha256 };
            items.insert(found.path.clone(), Item { sum, index });
        }
        head.check_sections(&items)?;
        let Head { percloud, signature, tagmanifest, .. } = head;
        Ok(Checked { package: self, percloud, signature, tagmanifest, items })
    }

    /// A small file, whole.
    fn text(&self, index: usize, limit: u64) -> Result<Vec<u8>, Error> {
        let found = &self.found[index];
        if found.size > limit {
            return Err(Why::JsonBig.at(&found.path).into());
        }
        let mut bytes = Vec::new();
        self.content(found)?.read_to_end(&mut bytes).map_err(content::refusal)?;
        Ok(bytes)
    }
}

/// What the tag files say, believed as far as they agree with each other.
struct Head {
    percloud: Percloud,
    signature: Signature,
    tagmanifest: [u8; 32],
    tags: bag::Sums,
    payload: bag::Sums,
}

impl Head {
    fn read(package: &Package, by_path: &HashMap<&str, usize>) -> Result<Self, Error> {
        let find = |path: &str| by_path.get(path).copied();
        let text = |path: &str, limit| -> Result<Vec<u8>, Error> {
            package.text(find(path).ok_or_else(|| Why::NoTag.at(path))?, limit)
        };
        if find("bagit.txt").is_none() || text("bagit.txt", 4096)? != write::BAGIT.as_bytes() {
            return Err(Why::NotBag.into());
        }
        if find("percloud.json").is_none() {
            return Err(Why::NotPercloud.into());
        }
        no_strange_tags(package)?;
        let percloud = percloud(&text("percloud.json", MAX_TAG)?)?;
        for tag in TAGS {
            find(tag).ok_or_else(|| Why::NoTag.at(tag))?;
        }
        let tagmanifest = text(TAGMANIFEST, MAX_TAG)?;
        let tags = bag::sums(TAGMANIFEST, tagmanifest.as_slice(), package.found.len())?;
        let manifest = &package.found[find(MANIFEST).ok_or_else(|| Why::NoTag.at(MANIFEST))?];
        let payload = bag::sums(MANIFEST, BufReader::new(package.content(manifest)?), package.found.len())?;
        listed_both_ways(package, &tags, &payload, by_path)?;
        check_info(package, &bag::Info::read(&text("bag-info.txt", MAX_TAG)?)?, &percloud)?;
        let signature = match find(SIGNATURE) {
            Some(index) => check_signature(&percloud, &tagmanifest, &package.text(index, 4096)?)?,
            None => Signature::None,
        };
        Ok(Self { percloud, signature, tagmanifest: Sum::of(&tagmanifest).sha256, tags, payload })
    }

    /// Reads one file through: length, CRC, SHA-256, and what its kind asks for.
    fn check_file(
        &self,
        package: &Package,
        found: &Found,
        progress: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Sum, Error> {
        let mut look = semantics::Look::for_path(&found.path, found.size, &self.percloud)?;
        let mut content = package.content(found)?;
        let mut summer = Summer::default();
        let mut buffer = vec![0; 128 * 1024];
        let mut done = 0_u64;
        loop {
            let n = content.read(&mut buffer).map_err(content::refusal)?;
            if n == 0 {
                break;
            }
            done += n as u64;
            summer.update(&buffer[..n]);
            look.take(&buffer[..n])?;
            if !progress(n as u64) {
                return Err(Error::Io(std::io::ErrorKind::Interrupted.into()));
            }
        }
        if done != found.size {
            return Err(Why::Size.at(&found.path).into());
        }
        look.end()?;
        let sum = summer.finish();
        let listed = if found.path.starts_with("data/") { &self.payload } else { &self.tags };
        match listed.get(&found.path) {
            Some(hash) if *hash == sum.sha256 => Ok(sum),
            Some(_) => Err(Why::Hash.at(&found.path).into()),
            None => Ok(sum), // the tag manifest and its signature; everything else was found listed
        }
    }

    /// Every payload file belongs to a section, and every section holds what it says.
    fn check_sections(&self, items: &BTreeMap<String, Item>) -> Result<(), Refusal> {
        let mut sums = vec![(0_u64, 0_u64); self.percloud.sections.len()];
        for (path, item) in items.iter().filter(|(p, _)| p.starts_with("data/")) {
            let index = self.percloud.sections.iter().position(|s| s.holds(path)).ok_or_else(|| Why::Stray.at(path))?;
            sums[index].0 += 1;
            sums[index].1 += item.sum.size;
        }
        for (section, (count, bytes)) in self.percloud.sections.iter().zip(sums) {
            if (section.count, section.bytes) != (count, bytes) {
                return Err(Why::SectionSum.at(&section.id));
            }
        }
        Ok(())
    }
}

/// `fetch.txt`, other checksums, and files at the top that no list would hold.
fn no_strange_tags(package: &Package) -> Result<(), Refusal> {
    for found in &package.found {
        let path = found.path.as_str();
        if path.eq_ignore_ascii_case("fetch.txt") {
            return Err(Why::Fetch.into());
        }
        let list = (path.starts_with("manifest-") || path.starts_with("tagmanifest-")) && path.ends_with(".txt");
        if list && path != MANIFEST && path != TAGMANIFEST {
            return Err(Why::Algorithm.at(path));
        }
    }
    Ok(())
}

fn percloud(bytes: &[u8]) -> Result<Percloud, Refusal> {
    semantics::json(bytes, "percloud.json")?;
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|_| Why::Json.at("percloud.json"))?;
    if value["format"] != manifest::FORMAT {
        return Err(Why::NotPercloud.into());
    }
    // The version first: a newer major may look different altogether.
    let version = value["version"].as_str().unwrap_or_default();
    let major =
        version.split_once('.').filter(|(_, minor)| minor.parse::<u64>().is_ok()).map(|(major, _)| major.parse());
    if major != Some(Ok(manifest::MAJOR)) {
        return Err(Why::Version.at(version));
    }
    let percloud: Percloud = serde_json::from_value(value).map_err(|_| Why::NotPercloud.at("percloud.json"))?;
    if percloud.kind != Kind::Full {
        return Err(Why::Delta.into());
    }
    if !manifest::is_uuid(&percloud.id) {
        return Err(Why::NotPercloud.at("id"));
    }
    check_section_list(&percloud)?;
    Ok(percloud)
}

fn check_section_list(percloud: &Percloud) -> Result<(), Refusal> {
    if percloud.sections.len() > MAX_SECTIONS {
        return Err(Why::TooMany.at("percloud.json"));
    }
    for (index, section) in percloud.sections.iter().enumerate() {
        let path = section.path.strip_prefix("data/").ok_or_else(|| Why::Section.at(&section.id))?;
        crate::paths::check(path)?;
        let known = manifest::KNOWN.iter().find(|(id, _)| *id == section.id);
        let at_its_place = known.is_none_or(|(_, place)| *place == path);
        let squats = known.is_none() && manifest::KNOWN.iter().any(|(_, place)| *place == path);
        // Sections do not nest: a file would belong to two.
        let nested = percloud.sections[..index]
            .iter()
            .any(|s| s.id == section.id || s.holds(&section.path) || section.holds(&s.path));
        if !at_its_place || squats || nested {
            return Err(Why::Section.at(&section.id));
        }
        let major = section.version.split('.').next().and_then(|m| m.parse::<u64>().ok());
        if section.required && known.is_none() {
            return Err(Why::Section.at(&section.id));
        }
        if known.is_some() && major != Some(manifest::MAJOR) {
            return Err(Why::Version.at(&section.id));
        }
    }
    Ok(())
}

/// Everything listed is there, everything there is listed.
fn listed_both_ways(
    package: &Package,
    tags: &bag::Sums,
    payload: &bag::Sums,
    by_path: &HashMap<&str, usize>,
) -> Result<(), Refusal> {
    for (list, in_data) in [(tags, false), (payload, true)] {
        for path in list.keys() {
            if path.starts_with("data/") != in_data {
                return Err(Why::List.at(path));
            }
            if !by_path.contains_key(path.as_str()) {
                return Err(Why::Missing.at(path));
            }
        }
    }
    for found in &package.found {
        let path = found.path.as_str();
        let listed = match path {
            TAGMANIFEST | SIGNATURE => !tags.contains_key(path),
            _ if path.starts_with("data/") => payload.contains_key(path),
            _ => tags.contains_key(path),
        };
        if !listed {
            return Err(Why::Unlisted.at(path));
        }
    }
    Ok(())
}

fn check_info(package: &Package, info: &bag::Info, percloud: &Percloud) -> Result<(), Refusal> {
    if info.get("Bag-Group-Identifier")?.is_some() || info.get("Bag-Count")?.is_some() {
        return Err(Why::Part.into());
    }
    if info.get("External-Identifier")? != Some(format!("urn:uuid:{}", percloud.id).as_str()) {
        return Err(Why::Info.at("External-Identifier"));
    }
    let payload = || package.found.iter().filter(|f| f.path.starts_with("data/"));
    if info.oxum()? != (payload().map(|f| f.size).sum(), payload().count() as u64) {
        return Err(Why::Oxum.into());
    }
    Ok(())
}

fn check_signature(percloud: &Percloud, tagmanifest: &[u8], minisig: &[u8]) -> Result<Signature, Refusal> {
    let key = percloud.exporter.key.as_deref().ok_or(Why::Signature)?;
    let text = std::str::from_utf8(minisig).map_err(|_| Why::Signature)?;
    let comment = sign::verify(key, tagmanifest, text).ok_or(Why::Signature)?;
    if comment != write::comment(&percloud.id, percloud.kind) {
        return Err(Why::Signature.into());
    }
    Ok(Signature::Good(key.to_owned()))
}

impl Checked {
    /// What the bundle says about itself.
    #[must_use]
    pub fn percloud(&self) -> &Percloud {
        &self.percloud
    }

    /// What is known of its signature.
    #[must_use]
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// SHA-256 of the tag manifest: one hash for all contents.
    #[must_use]
    pub fn tagmanifest_sha256(&self) -> String {
        hex::encode(self.tagmanifest)
    }

    /// The base folder's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.package.name
    }

    /// Every file, by path.
    #[must_use]
    pub fn items(&self) -> &BTreeMap<String, Item> {
        &self.items
    }

    /// Whether there are secrets that a passphrase opens.
    #[must_use]
    pub fn has_secrets(&self) -> bool {
        self.items.contains_key(secrets::IDENTITY)
    }

    /// A file's content. It is held against its length and CRC once more while it is read.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn content(&self, item: &Item) -> Result<Box<dyn Read + Send>, Error> {
        self.package.content(&self.package.found[item.index])
    }

    /// A small file's content, whole.
    ///
    /// # Errors
    /// When it is larger than 64 MiB or cannot be read.
    pub fn text(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        self.items.get(path).map(|item| self.package.text(item.index, MAX_JSON)).transpose()
    }
}
