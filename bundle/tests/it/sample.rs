//! A small percloud, laid out, and a bag as a map of paths that tests may spoil.

use std::{collections::BTreeMap, io, sync::Arc};

use bundle::{
    Sum,
    manifest::{Exporter, Section, Subject},
    sign::Key,
    write::{Draft, Entry, Head, Layout},
    zip::layout::{Content, OpenBlob},
};

pub(crate) const ID: &str = "0b0c1d2e-3f40-4152-8364-758697a8b9ca";

/// A text of 100 kB that deflates, and its blob twin that does not.
pub(crate) fn photo() -> Vec<u8> {
    (0..100_000_u32).flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 8).to_le_bytes()).collect()
}

pub(crate) fn head() -> Head {
    Head {
        id: ID.to_owned(),
        created: "2026-03-01T10:20:30Z".parse().unwrap(),
        exporter: Exporter {
            name: "percloud".into(),
            version: "0.1.0".into(),
            url: "https://percloud.example".into(),
            ..Exporter::default()
        },
        subject: Subject { handle: "Ada <Lovelace>".into(), domains: vec!["ada.example".into()], ..Subject::default() },
        organization: "Hosting & Söhne".into(),
        other: serde_json::from_str(r#"{"newerMember":{"a":[1,2]}}"#).unwrap(),
    }
}

/// Opens every blob of these tests.
pub(crate) fn blobs() -> Arc<OpenBlob> {
    let photo = photo();
    let sum = Sum::of(&photo);
    Arc::new(move |hash| {
        assert_eq!(*hash, sum.sha256, "an unknown blob");
        Ok(Box::new(io::Cursor::new(photo.clone())) as Box<dyn Content>)
    })
}

fn fill(draft: &mut Draft) {
    draft.add(Entry::text("data/settings/profile.json", b"{\"name\":\"Ada\"}\n"));
    draft.add(Entry::blob("data/files/tree/Fotos/Ågren 日本.jpg", Sum::of(&photo())));
    draft.add(Entry::text("data/files/meta.jsonl", "{\"path\":\"Fotos\"}\n".repeat(500).as_bytes()));
    draft.add(Entry::text("data/archive.json", b"{}\n"));
    draft.add(Entry::text("data/files/tree/empty.txt", b""));
    draft.add(Entry::text("data/x/com.example.game/state.bin", &[0xff, 0xfe, 0, 7]));
    draft.add(Entry::text("data/blog/feed.atom", b"<?xml version=\"1.0\"?><feed/>"));
    let other = serde_json::from_str(r#"{"highWater":7,"strange":true}"#).unwrap();
    draft.keep(Section {
        id: "x/com.example.game".into(),
        spec: "https://game.example/1".into(),
        version: "9.9".into(),
        path: "data/x/com.example.game".into(),
        other,
        ..Section::default()
    });
}

/// The sample without a signature: the same bytes every time.
pub(crate) fn unsigned() -> Arc<Layout> {
    let mut draft = Draft::new(head());
    fill(&mut draft);
    Arc::new(draft.finish(blobs(), &mut |_| Ok(None)).unwrap())
}

/// The sample, signed with a key of its own.
pub(crate) fn layout() -> Arc<Layout> {
    let key = Key::random().unwrap();
    let mut head = head();
    head.exporter.key = Some(key.public().unwrap());
    let comment = head.comment();
    let mut draft = Draft::new(head);
    fill(&mut draft);
    Arc::new(draft.finish(blobs(), &mut |bytes| Ok(Some(key.sign(bytes, &comment)?))).unwrap())
}

/// Everything of a layout, in one piece.
pub(crate) fn bytes(layout: &Arc<Layout>) -> Vec<u8> {
    layout.read(0..u64::MAX).map(Result::unwrap).flat_map(|piece| piece.to_vec()).collect()
}

/// A bag that tests spoil: paths without base folder, and contents.
pub(crate) struct Bag(pub(crate) BTreeMap<String, Vec<u8>>);

impl Bag {
    /// The unsigned sample, read with a foreign reader.
    pub(crate) fn sample() -> Self {
        Self::unzip(&bytes(&unsigned()))
    }

    pub(crate) fn unzip(zip: &[u8]) -> Self {
        use io::Read;
        let mut archive = zip::ZipArchive::new(io::Cursor::new(zip)).unwrap();
        let mut files = BTreeMap::new();
        for index in 0..archive.len() {
            let mut file = archive.by_index(index).unwrap();
            let path = file.name().unwrap().split_once('/').unwrap().1.to_owned();
            let mut content = Vec::new();
            file.read_to_end(&mut content).unwrap();
            files.insert(path, content);
        }
        Self(files)
    }

    pub(crate) fn put(&mut self, path: &str, content: impl Into<Vec<u8>>) {
        self.0.insert(path.to_owned(), content.into());
    }

    pub(crate) fn text(&self, path: &str) -> String {
        String::from_utf8(self.0[path].clone()).unwrap()
    }

    pub(crate) fn replace(&mut self, path: &str, from: &str, to: &str) {
        let text = self.text(path);
        assert!(text.contains(from), "{path} has no {from}");
        self.put(path, text.replace(from, to));
    }

    /// Makes lists, Oxum and section sums true again, as somebody who crafts a bundle would.
    pub(crate) fn reseal(&mut self) {
        let payload: Vec<_> = self.0.iter().filter(|(p, _)| p.starts_with("data/")).collect();
        let oxum = format!("{}.{}", payload.iter().map(|(_, c)| c.len()).sum::<usize>(), payload.len());
        let list: String = payload.iter().map(|(p, c)| format!("{}  {p}\n", Sum::of(c).hex())).collect();
        self.put("manifest-sha256.txt", list);
        if let Some(info) = self.0.get("bag-info.txt") {
            let info = String::from_utf8(info.clone()).unwrap();
            let lines: Vec<_> = info.lines().filter(|l| !l.starts_with("Payload-Oxum")).collect();
            self.put("bag-info.txt", format!("{}\nPayload-Oxum: {oxum}\n", lines.join("\n")));
        }
        self.sections();
        let tags = self.0.iter().filter(|(p, _)| !p.starts_with("data/") && !p.starts_with("tagmanifest-sha256"));
        let list: String = tags.map(|(p, c)| format!("{}  {p}\n", Sum::of(c).hex())).collect();
        self.put("tagmanifest-sha256.txt", list);
    }

    fn sections(&mut self) {
        let Some(Ok(mut value)) = self.0.get("percloud.json").map(|p| serde_json::from_slice::<serde_json::Value>(p))
        else {
            return;
        };
        let Some(sections) = value["sections"].as_array_mut() else { return };
        for section in sections {
            let path = section["path"].as_str().unwrap_or_default().to_owned();
            let inside = self.0.iter().filter(|(p, _)| **p == path || p.starts_with(&format!("{path}/")));
            let (count, bytes) = inside.fold((0, 0), |(n, b), (_, c)| (n + 1, b + c.len()));
            section["count"] = count.into();
            section["bytes"] = bytes.into();
        }
        let text = serde_json::to_vec(&value).unwrap();
        self.put("percloud.json", text);
    }
}
