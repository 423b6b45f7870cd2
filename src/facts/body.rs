//! What a file of a bundle holds, and where it lies: on disk, or compact in memory. Nothing large is held as it is.

use std::borrow::Cow;
use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use lz4_flex::block::{compress, decompress_into};

/// A content of at most this many bytes is held as it is.
const SMALL: usize = 4 << 10;
/// A larger one is compressed in blocks of this many bytes, so that a part of it is read without the rest.
const BLOCK: usize = 128 << 10;

/// The content of a file.
#[derive(Debug)]
pub(super) enum Body {
    Held(Vec<u8>),
    Packed(Packed),
    OnDisk {
        disk: Disk,
        at: u64,
        size: usize,
    },
    /// Why it is not read.
    Refused(&'static str),
}

/// A file of a folder, opened when it is read; or the one archive that all lie in.
#[derive(Debug)]
pub(super) enum Disk {
    File(PathBuf),
    Archive(Arc<Mutex<fs::File>>),
}

impl Body {
    /// Holds a content in memory, compact if it is large.
    pub fn hold(content: Vec<u8>) -> Self {
        let mut packer = Packer::default();
        packer.add(&content);
        packer.into_body()
    }

    /// The size in bytes, as far as it is read.
    pub fn size(&self) -> usize {
        match self {
            Self::Held(bytes) => bytes.len(),
            Self::Packed(packed) => packed.size,
            Self::OnDisk { size, .. } => *size,
            Self::Refused(_) => 0,
        }
    }

    /// How much memory the content takes.
    pub fn held(&self) -> usize {
        match self {
            Self::Held(bytes) => bytes.len(),
            Self::Packed(packed) => packed.blocks.iter().map(|block| block.len()).sum(),
            Self::OnDisk { .. } | Self::Refused(_) => 0,
        }
    }

    /// The whole content.
    pub fn bytes(&self) -> Result<Cow<'_, [u8]>, String> {
        self.parts()?.get(0..self.size())
    }

    /// A reader of parts.
    pub fn parts(&self) -> Result<Parts<'_>, String> {
        Ok(match self {
            Self::Held(bytes) => Parts::Held(bytes),
            Self::Packed(packed) => Parts::Packed { packed, block: usize::MAX, text: Vec::new() },
            Self::OnDisk { disk, at, .. } => {
                let file = match disk {
                    Disk::File(path) => Handle::Own(fs::File::open(path).map_err(|error| error.to_string())?),
                    Disk::Archive(archive) => Handle::Shared(archive),
                };
                Parts::OnDisk { file, at: *at }
            }
            Self::Refused(reason) => return Err((*reason).to_owned()),
        })
    }
}

/// Reads parts of a content; cheapest in ascending order.
pub(super) enum Parts<'b> {
    Held(&'b [u8]),
    Packed {
        packed: &'b Packed,
        /// The block that `text` is of.
        block: usize,
        text: Vec<u8>,
    },
    OnDisk {
        file: Handle<'b>,
        at: u64,
    },
}

pub(super) enum Handle<'b> {
    Own(fs::File),
    Shared(&'b Mutex<fs::File>),
}

impl<'b> Parts<'b> {
    /// The bytes of this range, which must lie within the size.
    pub fn get(&mut self, range: Range<usize>) -> Result<Cow<'b, [u8]>, String> {
        match self {
            Self::Held(bytes) => bytes.get(range).map(Cow::Borrowed).ok_or_else(|| ENDED.to_owned()),
            Self::Packed { packed, block, text } => packed.part(range, block, text).map(Cow::Owned),
            Self::OnDisk { file, at } => file.read(*at, range).map(Cow::Owned).map_err(|error| error.to_string()),
        }
    }
}

const ENDED: &str = "it ended early; was it changed while it was read?";

impl Handle<'_> {
    fn read(&mut self, at: u64, range: Range<usize>) -> io::Result<Vec<u8>> {
        match self {
            Self::Own(file) => read_part(file, at, range),
            Self::Shared(file) => read_part(&mut file.lock().unwrap_or_else(PoisonError::into_inner), at, range),
        }
    }
}

fn read_part(file: &mut fs::File, at: u64, range: Range<usize>) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(at + range.start as u64))?;
    let mut bytes = Vec::with_capacity(range.len());
    file.take(range.len() as u64).read_to_end(&mut bytes)?;
    if bytes.len() < range.len() { Err(io::Error::other(ENDED)) } else { Ok(bytes) }
}

/// A content in memory, compressed block by block.
#[derive(Debug, Default)]
pub(super) struct Packed {
    blocks: Vec<Box<[u8]>>,
    size: usize,
}

impl Packed {
    fn part(&self, range: Range<usize>, block: &mut usize, text: &mut Vec<u8>) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::with_capacity(range.len());
        let mut at = range.start;
        while at < range.end {
            let wanted = at / BLOCK;
            if *block != wanted {
                let packed = self.blocks.get(wanted).ok_or(ENDED)?;
                text.resize(BLOCK.min(self.size - wanted * BLOCK), 0);
                *block = usize::MAX;
                decompress_into(packed, text).map_err(|error| error.to_string())?;
                *block = wanted;
            }
            let start = wanted * BLOCK;
            let end = range.end.min(start + text.len());
            bytes.extend_from_slice(text.get(at - start..end - start).ok_or(ENDED)?);
            at = end;
        }
        Ok(bytes)
    }
}

/// Takes a content in piece by piece.
#[derive(Debug, Default)]
pub(super) struct Packer {
    packed: Packed,
    pending: Vec<u8>,
}

impl Packer {
    /// How many bytes were taken in.
    pub fn size(&self) -> usize {
        self.packed.size
    }

    pub fn add(&mut self, mut bytes: &[u8]) {
        self.packed.size += bytes.len();
        while self.pending.len() + bytes.len() >= BLOCK {
            let (now, later) = bytes.split_at(BLOCK - self.pending.len());
            // A whole block is compressed where it lies.
            if self.pending.is_empty() {
                self.packed.blocks.push(compress(now).into_boxed_slice());
            } else {
                self.pending.extend_from_slice(now);
                self.packed.blocks.push(compress(&self.pending).into_boxed_slice());
                self.pending.clear();
            }
            bytes = later;
        }
        self.pending.extend_from_slice(bytes);
    }

    pub fn into_body(mut self) -> Body {
        if self.packed.size <= SMALL {
            Body::Held(std::mem::take(&mut self.pending))
        } else {
            Body::Packed(self.finish())
        }
    }

    fn finish(mut self) -> Packed {
        if !self.pending.is_empty() {
            self.packed.blocks.push(compress(&self.pending).into_boxed_slice());
        }
        self.packed
    }
}

impl Write for Packer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.add(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn every_part_is_what_was_taken_in(
            size in 0..BLOCK * 3,
            pieces in proptest::collection::vec(1..BLOCK * 2, 1..5),
            parts in proptest::collection::vec((0.0..1.0f64, 0.0..1.0f64), 1..8),
        ) {
            let content: Vec<u8> = (0..size).map(|at| (at / 7 % 251) as u8).collect();
            let mut packer = Packer::default();
            let mut left = content.as_slice();
            for piece in pieces.iter().cycle() {
                let (now, later) = left.split_at((*piece).min(left.len()));
                packer.add(now);
                left = later;
                if left.is_empty() {
                    break;
                }
            }
            let body = Body::Packed(packer.finish());
            proptest::prop_assert!(*body.bytes().unwrap() == *content);
            let mut reader = body.parts().unwrap();
            for (one, other) in parts {
                let of = |part: f64| (part * size as f64) as usize;
                let range = of(one.min(other))..of(one.max(other));
                proptest::prop_assert!(*reader.get(range.clone()).unwrap() == content[range]);
            }
        }
    }

    #[test]
    fn what_repeats_is_held_compact() {
        let content = b"name: rook-ceph-osd-12345\n".repeat(40_000);
        let body = Body::hold(content.clone());
        assert_eq!(body.bytes().unwrap().as_ref(), content);
        assert!(body.size() == content.len() && body.held() < content.len() / 20, "{}", body.held());
    }

    #[test]
    fn a_file_that_shrank_is_no_shorter_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, "0123456789").unwrap();
        let body = Body::OnDisk { disk: Disk::File(path.clone()), at: 2, size: 8 };
        assert_eq!(body.bytes().unwrap().as_ref(), b"23456789");
        fs::write(&path, "01234").unwrap();
        assert_eq!(body.bytes().unwrap_err(), ENDED);
    }
}
