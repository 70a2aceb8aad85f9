//! A ZIP made field by field, so that a test can lie in any of them.

use bundle::Sum;

use crate::sample::Bag;

/// One entry: both headers can be told apart.
#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) local: Header,
    pub(crate) central: Header,
    pub(crate) content: Vec<u8>,
    /// Bytes between this entry and the next.
    pub(crate) gap: Vec<u8>,
    /// Where the directory says that it begins, instead of where it does.
    pub(crate) offset: Option<u32>,
}

#[derive(Clone)]
pub(crate) struct Header {
    pub(crate) name: Vec<u8>,
    pub(crate) flags: u16,
    pub(crate) method: u16,
    pub(crate) crc: u32,
    pub(crate) packed: u32,
    pub(crate) size: u32,
    pub(crate) extra: Vec<u8>,
    pub(crate) made_by: u16,
    pub(crate) attributes: u32,
    pub(crate) comment: Vec<u8>,
}

pub(crate) fn part(name: &str, content: &[u8]) -> Part {
    let sum = Sum::of(content);
    let size = u32::try_from(content.len()).unwrap();
    let header = Header {
        name: name.as_bytes().to_vec(),
        flags: 1 << 11,
        method: 0,
        crc: sum.crc32,
        packed: size,
        size,
        extra: vec![],
        made_by: 3 << 8 | 45,
        attributes: 0o100_644 << 16,
        comment: vec![],
    };
    Part { local: header.clone(), central: header, content: content.to_vec(), gap: vec![], offset: None }
}

impl Part {
    /// Changes both headers alike.
    pub(crate) fn both(&mut self, change: impl Fn(&mut Header)) {
        change(&mut self.local);
        change(&mut self.central);
    }
}

/// The parts and what stands around them.
#[derive(Clone)]
pub(crate) struct Raw {
    pub(crate) parts: Vec<Part>,
    pub(crate) before: Vec<u8>,
    pub(crate) before_directory: Vec<u8>,
    pub(crate) after_directory: Vec<u8>,
    pub(crate) count: Option<u16>,
    pub(crate) comment: Vec<u8>,
    pub(crate) after: Vec<u8>,
}

impl Raw {
    /// The bag in a ZIP without any fault.
    pub(crate) fn of(bag: &Bag) -> Self {
        let parts = bag.0.iter().map(|(path, content)| part(&format!("base/{path}"), content)).collect();
        Self {
            parts,
            before: vec![],
            before_directory: vec![],
            after_directory: vec![],
            count: None,
            comment: vec![],
            after: vec![],
        }
    }

    pub(crate) fn part(&mut self, name: &str) -> &mut Part {
        self.parts.iter_mut().find(|p| p.central.name.ends_with(name.as_bytes())).unwrap()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = self.before.clone();
        let mut offsets = vec![];
        for part in &self.parts {
            offsets.push(u32::try_from(out.len()).unwrap());
            out.extend(0x0403_4b50_u32.to_le_bytes());
            out.extend(20_u16.to_le_bytes());
            common(&mut out, &part.local);
            out.extend(&part.local.name);
            out.extend(&part.local.extra);
            out.extend(&part.content);
            out.extend(&part.gap);
        }
        out.extend(&self.before_directory);
        let start = out.len();
        for (part, offset) in self.parts.iter().zip(offsets) {
            let header = &part.central;
            out.extend(0x0201_4b50_u32.to_le_bytes());
            out.extend(header.made_by.to_le_bytes());
            out.extend(20_u16.to_le_bytes());
            common(&mut out, header);
            out.extend(u16::try_from(header.comment.len()).unwrap().to_le_bytes());
            out.extend([0; 4]);
            out.extend(header.attributes.to_le_bytes());
            out.extend(part.offset.unwrap_or(offset).to_le_bytes());
            out.extend(&header.name);
            out.extend(&header.extra);
            out.extend(&header.comment);
        }
        let len = out.len() - start;
        out.extend(&self.after_directory);
        let count = self.count.unwrap_or(u16::try_from(self.parts.len()).unwrap());
        out.extend(0x0605_4b50_u32.to_le_bytes());
        out.extend([0; 4]);
        out.extend(count.to_le_bytes());
        out.extend(count.to_le_bytes());
        out.extend(u32::try_from(len).unwrap().to_le_bytes());
        out.extend(u32::try_from(start).unwrap().to_le_bytes());
        out.extend(u16::try_from(self.comment.len()).unwrap().to_le_bytes());
        out.extend(&self.comment);
        out.extend(&self.after);
        out
    }
}

fn common(out: &mut Vec<u8>, header: &Header) {
    for value in [header.flags, header.method, 0, 0x0021] {
        out.extend(value.to_le_bytes());
    }
    for value in [header.crc, header.packed, header.size] {
        out.extend(value.to_le_bytes());
    }
    out.extend(u16::try_from(header.name.len()).unwrap().to_le_bytes());
    out.extend(u16::try_from(header.extra.len()).unwrap().to_le_bytes());
}
