//! More than 65,535 entries, and more than 4 GiB: where ZIP64 begins.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::FileExt,
    sync::Arc,
};

use bundle::{
    Sum,
    write::{Draft, Entry, Layout},
    zip::{
        Limits, ReadAt, directory,
        layout::{Content, OpenBlob},
    },
};

use crate::{
    foreign::{python, run},
    sample::head,
};

/// As many zeros as one likes.
struct Zeros {
    at: u64,
    size: u64,
}

impl Read for Zeros {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = buf.len().min(usize::try_from(self.size - self.at).unwrap());
        buf[..n].fill(0);
        self.at += n as u64;
        Ok(n)
    }
}

impl Seek for Zeros {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let SeekFrom::Start(at) = to else { panic!("only from the start") };
        self.at = at;
        Ok(at)
    }
}

/// A layout as a file, without making one.
struct Unmade(Arc<Layout>);

impl ReadAt for Unmade {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.size())
    }
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let mut n = 0;
        for piece in self.0.read(at..at + buf.len() as u64) {
            let piece = piece?;
            buf[n..n + piece.len()].copy_from_slice(&piece);
            n += piece.len();
        }
        Ok(n)
    }
}

const GIB: u64 = 1 << 30;

fn layout_of_one(size: u64) -> Arc<Layout> {
    layout(Box::leak(Box::new([size])))
}

fn layout(sizes: &'static [u64]) -> Arc<Layout> {
    let opener: Arc<OpenBlob> = Arc::new(move |hash| {
        let size = sizes[usize::from(hash[0])];
        Ok(Box::new(Zeros { at: 0, size }) as Box<dyn Content>)
    });
    let mut draft = Draft::new(head());
    for (index, size) in sizes.iter().enumerate() {
        let mut sha256 = [0; 32];
        sha256[0] = u8::try_from(index).unwrap();
        let crc32 = if *size < 100 { Sum::of(&vec![0; usize::try_from(*size).unwrap()]).crc32 } else { 0 };
        draft.add(Entry::blob(format!("data/files/tree/{index}.raw"), Sum { size: *size, crc32, sha256 }));
    }
    Arc::new(draft.finish(opener, &mut |_| Ok(None)).unwrap())
}

/// Writes only headers and directory; the contents are holes.
fn sparse(layout: &Arc<Layout>, path: &std::path::Path) {
    let file = File::create(path).unwrap();
    file.set_len(layout.size()).unwrap();
    let put = |from: u64, to: u64| {
        let mut at = from;
        for piece in layout.read(from..to) {
            let piece = piece.unwrap();
            file.write_all_at(&piece, at).unwrap();
            at += piece.len() as u64;
        }
    };
    for (entry, offset) in layout.entries() {
        let content = if entry.path().ends_with(".raw") { 0 } else { entry.sum().size };
        put(offset, offset + 200 + content);
    }
    put(layout.directory(), u64::MAX);
}

#[test]
fn files_and_offsets_beyond_4_gib_are_found_by_us_and_by_others() {
    let sizes: &[u64] = &[5 * GIB, 17, u32::MAX as u64 - 1, 3];
    let layout = layout(sizes);
    assert!(layout.size() > 8 * GIB);
    let records = directory::read(&Unmade(layout.clone()), &Limits::default()).unwrap();
    let found: Vec<_> = records.iter().filter(|r| r.name.ends_with(".raw")).map(|r| r.size).collect();
    assert_eq!(found, sizes);
    assert!(records.iter().any(|r| r.data > 8 * GIB));

    // The largest number of 32 bits is the mark of ZIP64. (Debian's unzip warns of it, and reads on.)
    let exact = layout_of_one(u64::from(u32::MAX));
    assert!(directory::read(&Unmade(exact), &Limits::default()).unwrap().iter().any(|r| r.size == u64::from(u32::MAX)));

    let folder = tempfile::tempdir().unwrap();
    sparse(&layout, &folder.path().join("a.zip"));
    let script = "import zipfile\nz = zipfile.ZipFile('a.zip')\n\
                  print([i.file_size for i in z.infolist() if i.filename.endswith('.raw')])\n\
                  b = z.namelist()[0].split('/')[0]\nprint(len(z.read(b + '/manifest-sha256.txt').splitlines()))\n\
                  print(z.open(b + '/data/files/tree/0.raw').read(3))";
    let said = run(&python(), &["-c", script], folder.path());
    assert_eq!(said.lines().next().unwrap(), format!("{sizes:?}"));
    assert_eq!(said.lines().nth(1), Some("4"));
    assert!(run("unzip", &["-Z1", "a.zip"], folder.path()).contains("data/files/tree/3.raw"));
}

#[test]
fn seventy_thousand_files_are_read_by_us_and_by_others() {
    let mut draft = Draft::new(head());
    for number in 0..70_000 {
        draft
            .add(Entry::text(format!("data/files/tree/{}/{number}.txt", number % 100), format!("{number}").as_bytes()));
    }
    let none: Arc<OpenBlob> = Arc::new(|_| Err(io::ErrorKind::NotFound.into()));
    let layout = Arc::new(draft.finish(none, &mut |_| Ok(None)).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.zip");
    let mut file = io::BufWriter::new(File::create(&path).unwrap());
    layout.read(0..u64::MAX).for_each(|p| io::Write::write_all(&mut file, &p.unwrap()).unwrap());
    drop(file);

    let package = bundle::read::Package::open(&path, &Limits::default()).unwrap();
    let checked = package.check(&mut |_| true).unwrap();
    assert_eq!(checked.percloud().sections[0].count, 70_000);
    let script = "import zipfile; z = zipfile.ZipFile('a.zip'); b = z.namelist()[0].split('/')[0]\n\
                  print(len(z.namelist()), z.read(b + '/data/files/tree/99/69999.txt').decode())";
    assert_eq!(run(&python(), &["-c", script], folder.path()).trim(), "70007 69999");
    assert!(run("unzip", &["-tq", "a.zip"], folder.path()).contains("No errors detected"));
}
