//! The bag's lists, read as strictly as they are written.

use std::{
    collections::HashMap,
    io::{BufRead, Read},
};

use super::content;
use crate::{
    paths,
    refusal::{Error, Refusal, Why},
};

/// A manifest: path to SHA-256.
pub(super) type Sums = HashMap<String, [u8; 32]>;

/// Bytes of a line: a hash, two characters, a path and the end.
const MAX_LINE: u64 = 64 + 2 + paths::MAX_PATH as u64 + 2;

/// Reads `manifest-sha256.txt` or `tagmanifest-sha256.txt`, line by line: of a bundle of so many `files` it has no more lines.
pub(super) fn sums(file: &str, mut list: impl BufRead, files: usize) -> Result<Sums, Error> {
    let mut sums = Sums::new();
    let mut line = Vec::new();
    for number in 1_usize.. {
        let bad = || Why::List.at(format!("{file}, line {number}"));
        line.clear();
        if list.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).map_err(content::refusal)? == 0 {
            break;
        }
        if sums.len() == files {
            return Err(bad().into());
        }
        let line = std::str::from_utf8(&line).map_err(|_| bad())?;
        let line = line.strip_suffix('\n').map_or(line, |line| line.strip_suffix('\r').unwrap_or(line));
        let (hash, path) = line.split_once(' ').ok_or_else(bad)?;
        let path = path.trim_start_matches([' ', '*']);
        let mut sum = [0; 32];
        hex::decode_to_slice(hash, &mut sum).map_err(|_| bad())?;
        paths::check(path)?;
        if sums.insert(path.to_owned(), sum).is_some() {
            return Err(bad().into());
        }
    }
    Ok(sums)
}

/// What `bag-info.txt` says.
#[derive(Debug, Default)]
pub(super) struct Info(Vec<(String, String)>);

impl Info {
    /// Reads it: `Key: value` lines, long values folded onto lines that begin with white space.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let text = std::str::from_utf8(bytes).map_err(|_| Why::Info)?;
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in text.lines() {
            if let (true, Some(last)) = (line.starts_with([' ', '\t']), fields.last_mut()) {
                last.1.push(' ');
                last.1.push_str(line.trim());
                continue;
            }
            let (key, value) = line.split_once(':').ok_or(Why::Info)?;
            fields.push((key.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
        Ok(Self(fields))
    }

    /// The value of a field that may stand once only.
    pub(super) fn get(&self, key: &str) -> Result<Option<&str>, Refusal> {
        let mut values = self.0.iter().filter(|(k, _)| k.eq_ignore_ascii_case(key)).map(|(_, v)| v.as_str());
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            _ => Err(Why::Info.at(key)),
        }
    }

    /// Bytes and files of the payload.
    pub(super) fn oxum(&self) -> Result<(u64, u64), Refusal> {
        let text = self.get("Payload-Oxum")?.ok_or_else(|| Why::Oxum.at("bag-info.txt"))?;
        text.split_once('.')
            .and_then(|(bytes, files)| Some((bytes.parse().ok()?, files.parse().ok()?)))
            .ok_or_else(|| Why::Oxum.at("bag-info.txt"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_holds_a_hash_and_a_good_path_on_each_line() {
        let hash = "ab".repeat(32);
        let two = format!("{hash}  data/a b\n{hash} *data/c\r\n");
        assert_eq!(sums("m", two.as_bytes(), 2).unwrap().len(), 2);
        assert!(sums("m", two.as_bytes(), 1).is_err(), "more lines than files");
        let bad = [
            format!("{hash}\n"),
            format!("{hash}  data/a\n{hash}  data/a\n"),
            format!("{}  data/a\n", "ab".repeat(31)),
            format!("{hash}  ../a\n"),
            format!("{hash}  data/a\n\n"),
            format!("{hash}  data/{}\n", "a".repeat(1 << 20)),
        ];
        for list in bad {
            assert!(sums("m", list.as_bytes(), 9).is_err(), "{list}");
        }
    }

    #[test]
    fn bag_info_folds_lines_and_says_things_once() {
        let info = Info::read(b"Payload-Oxum: 12.3\nExternal-Description: a\n  b\nX: 1\nX: 2\n").unwrap();
        assert_eq!(info.oxum(), Ok((12, 3)));
        assert_eq!(info.get("external-description"), Ok(Some("a b")));
        assert!(info.get("x").is_err());
    }
}
