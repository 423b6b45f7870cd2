//! Reads a tar entry by entry into a tree. What is compressed is held compact; what is not stays where it is.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex};

use tar::EntryType;

use super::{ENDS_WITHIN, ENTRIES, FILE_BYTES, KEPT_BYTES, LOG_KEPT, NAME_BYTES, PATH_BYTES, TOO_LARGE, TOO_MUCH};
use super::{SPARSE, Tree, is_log, is_secret};
use crate::facts::body::{Body, Disk, Packer};
use crate::facts::layout;

/// How much is read at once.
pub(super) const CHUNK: usize = 64 << 10;
/// A tar is made of blocks of this many bytes.
const BLOCK: u64 = 512;

/// Reads an archive that can be read once only, and holds what is in it. An error where nothing could be read.
pub(super) fn streamed(tree: &mut Tree, reader: &mut Bounded<impl Read>) -> Result<(), String> {
    let mut archive = tar::Archive::new(&mut *reader);
    let mut walk = Walk { tree, archive: None, held: 0, end: 0, long_name: None };
    let entries = archive.entries().map_err(|error| error.to_string())?;
    if walk.all(entries)? {
        let end = walk.end;
        // Its last checksum is behind the end of the tar.
        tree.ends(reader.read >= end + BLOCK, reader);
    }
    Ok(())
}

/// Reads where everything is in a plain archive.
pub(super) fn in_place(tree: &mut Tree, file: fs::File) -> Result<(), String> {
    let failed = |error: io::Error| error.to_string();
    let length = file.metadata().map_err(failed)?.len();
    let mut archive = tar::Archive::new(&file);
    let shared = Arc::new(Mutex::new(file.try_clone().map_err(failed)?));
    let mut walk = Walk { tree, archive: Some((shared, length)), held: 0, end: 0, long_name: None };
    let entries = archive.entries_with_seek().map_err(failed)?;
    if walk.all(entries)? {
        let end = walk.end;
        let mut rest = &file;
        rest.seek(SeekFrom::Start(end)).map_err(failed)?;
        tree.ends(length >= end + BLOCK, &mut Bounded { reader: rest, read: 0 });
    }
    Ok(())
}

struct Walk<'t> {
    tree: &'t mut Tree,
    /// The archive and its length, where its files need not be held.
    archive: Option<(Arc<Mutex<fs::File>>, u64)>,
    /// Bytes in memory.
    held: usize,
    /// Where the next entry begins.
    end: u64,
    /// What the next entry is called, if its header has no room for it.
    long_name: Option<Vec<u8>>,
}

impl Walk<'_> {
    /// Whether all was read. Only a failure at the very first is an error: a later one cuts the tree.
    fn all<R: Read>(&mut self, entries: tar::Entries<'_, R>) -> Result<bool, String> {
        // Raw entries, because the library would read a long name of any length into memory.
        for (count, entry) in entries.raw(true).enumerate() {
            let step = match entry {
                Err(error) if count == 0 => return Err(error.to_string()),
                Err(error) => Err(error),
                Ok(_) if count >= ENTRIES => Err(io::Error::other("more files than are read")),
                Ok(mut entry) => self.entry(&mut entry),
            };
            if let Err(error) = step {
                self.tree.stop(format!("the archive is damaged or cut off: {error}"));
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn entry<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>) -> io::Result<()> {
        let blocks = entry.size().div_ceil(BLOCK);
        let end = blocks.checked_mul(BLOCK).and_then(|size| entry.raw_file_position().checked_add(size));
        self.end = end.ok_or_else(|| io::Error::other("an entry without end"))?;
        match entry.header().entry_type() {
            EntryType::GNULongName => self.long_name = Some(small(entry)?),
            EntryType::XHeader => self.long_name = pax_path(&small(entry)?),
            EntryType::GNULongLink | EntryType::XGlobalHeader => {}
            EntryType::Directory => self.long_name = None,
            kind => self.file(entry, kind)?,
        }
        match &self.archive {
            Some((_, length)) if self.end > *length => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    fn file<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>, kind: EntryType) -> io::Result<()> {
        let name = self.long_name.take().unwrap_or_else(|| entry.path_bytes().into_owned());
        let Some(path) = inside(&name) else {
            let name: String = String::from_utf8_lossy(&name).chars().take(200).collect();
            self.tree
                .damaged(format!("{}: a path that leads out of the archive or is none, not read", name.escape_debug()));
            return Ok(());
        };
        if is_secret(&path) || !layout::is_wanted(&path) {
            return Ok(());
        }
        let size = entry.size();
        let is_log = is_log(&path);
        self.held += path.len();
        let is_regular = matches!(kind, EntryType::Regular | EntryType::Continuous);
        if !is_regular && kind != EntryType::GNUSparse {
            self.tree.put_link(path);
            return Ok(());
        }
        let read = if !is_regular {
            Ok(Body::Refused(SPARSE))
        } else if size > FILE_BYTES && !is_log {
            Ok(Body::Refused(TOO_LARGE))
        } else if self.held > KEPT_BYTES {
            Ok(Body::Refused(TOO_MUCH))
        } else {
            self.body(entry, is_log)
        };
        let (body, end) = match read {
            Ok(body) => (body, Ok(())),
            Err(error) => (Body::Refused(ENDS_WITHIN), Err(error)),
        };
        self.held += body.held();
        self.tree.put(path, body);
        end
    }

    fn body<R: Read>(&self, entry: &mut tar::Entry<'_, R>, is_log: bool) -> io::Result<Body> {
        let (at, size) = (entry.raw_file_position(), entry.size());
        let kept = if is_log { size.min(LOG_KEPT as u64) } else { size };
        if let Some((archive, length)) = &self.archive {
            if at + size > *length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let disk = Disk::Archive(Arc::clone(archive));
            return Ok(Body::OnDisk { disk, at: at + size - kept, size: kept as usize });
        }
        let (body, read) =
            if is_log { tail(entry, LOG_KEPT).map(|(end, read)| (Body::hold(end), read))? } else { packed(entry)? };
        if read == size { Ok(body) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

impl Tree {
    /// Looks at what follows the last entry: the mark of the end, and then nothing.
    fn ends(&mut self, is_marked: bool, rest: &mut impl Read) {
        if !is_marked {
            return self.stop("the archive is cut off: its end is missing".into());
        }
        let mut chunk = [0; CHUNK];
        loop {
            match rest.read(&mut chunk) {
                Ok(0) => return,
                Ok(read) if chunk[..read].iter().all(|byte| *byte == 0) => {}
                Ok(_) => return self.damaged("there is more behind the end of the archive, not read".into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.stop(format!("the archive is damaged or cut off: {error}")),
            }
        }
    }
}

/// The path in whole names, if it stays inside.
fn inside(name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?.trim_end_matches('\0');
    let names: Vec<&str> = name.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
    let is_outside = name.starts_with('/') || name.contains(char::is_control) || names.contains(&"..");
    (!is_outside && !names.is_empty() && name.len() <= PATH_BYTES).then(|| names.join("/"))
}

/// A name or header that precedes an entry.
fn small(entry: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    entry.take(NAME_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn pax_path(header: &[u8]) -> Option<Vec<u8>> {
    let mut fields = tar::PaxExtensions::new(header).flatten();
    fields.find(|field| field.key_bytes() == b"path").map(|field| field.value_bytes().to_vec())
}

/// All of a reader, and how many bytes that was.
fn packed(reader: &mut impl Read) -> io::Result<(Body, u64)> {
    let mut packer = Packer::default();
    let read = io::copy(reader, &mut packer)?;
    Ok((packer.into_body(), read))
}

/// The last `kept` bytes of a reader, and how many it held in all.
pub(in crate::facts) fn tail(reader: &mut impl Read, kept: usize) -> io::Result<(Vec<u8>, u64)> {
    let (mut bytes, mut all) = (Vec::new(), 0);
    let mut chunk = [0; CHUNK];
    loop {
        let read = reader.read(&mut chunk)?;
        if read == 0 {
            break;
        }
        all += read as u64;
        bytes.extend_from_slice(&chunk[..read]);
        if bytes.len() > kept.saturating_mul(2) {
            bytes.drain(..bytes.len() - kept);
        }
    }
    bytes.drain(..bytes.len().saturating_sub(kept));
    Ok((bytes, all))
}

/// Ends with an error, not with a short read, where too much was unpacked.
pub(super) struct Bounded<R> {
    pub reader: R,
    pub read: u64,
}

/// Of an archive, unpacked; an honest must-gather is well below, a gzip bomb is not.
const UNPACKED_BYTES: u64 = 8 << 30;

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.read += read as u64;
        if self.read > UNPACKED_BYTES { Err(io::Error::other("it unpacks to more than 8 GiB")) } else { Ok(read) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_unpacks_without_end_is_an_error() {
        let mut bounded = Bounded { reader: io::repeat(0), read: UNPACKED_BYTES - (1 << 20) };
        assert!(io::copy(&mut bounded, &mut io::sink()).unwrap_err().to_string().contains("8 GiB"));
    }
}
