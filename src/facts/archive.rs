//! A folder, `.tar` or `.tar.gz` as a tree of files: `path -> bytes`. Hostile until proven otherwise.
//!
//! Nothing is ever unpacked to disk, no link is followed, no path leads out of the root, and every size is
//! bounded. What had to be refused stays in the tree under its path with the reason, so that its reader
//! learns why it is blind there. Secrets are dropped unread.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use flate2::bufread::MultiGzDecoder;
use serde_json::Value;
use tar::EntryType;

use super::yaml;

/// The folders of the layout. Everything else in a bundle is left unread.
const FOLDERS: [&str; 4] = ["namespaces", "cluster-scoped-resources", "ceph", "rookdoctor"];
/// The folders that mark a root.
const MARKS: [&str; 2] = ["namespaces", "cluster-scoped-resources"];
/// A must-gather has its root one folder down; copies of copies have it a few more.
const ROOT_DEPTH: usize = 4;

/// The pods of 300 nodes are 118 MB.
const FILE_BYTES: u64 = 256 << 20;
/// The end of a log that is kept: what a diagnosis reads of one, and a byte to tell that there was more.
const LOG_KEPT: usize = LOG_BYTES + 1;
/// What a diagnosis reads of a log, in bytes.
pub const LOG_BYTES: usize = 512 << 10;
/// Of an archive, in memory.
const KEPT_BYTES: u64 = 1 << 30;
/// Of an archive, unpacked; an honest must-gather is well below, a gzip bomb is not.
const UNPACKED_BYTES: u64 = 8 << 30;
const ENTRIES: usize = 200_000;
const NAME_BYTES: u64 = 4096;
const FOLDER_DEPTH: usize = 16;

/// Why a bundle could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("cannot read {path}: {source}. Name a folder, .tar or .tar.gz that holds a recorded cluster")]
    Open { path: String, source: io::Error },
    #[error("{path} is neither a folder nor a readable .tar or .tar.gz ({reason}). Unpack it and name the folder")]
    NotAnArchive { path: String, reason: String },
    #[error(
        "{path} holds no recorded cluster: there is no folder `namespaces` or `cluster-scoped-resources` in it, \
         nor within four folders below. Name the folder or archive that must-gather, `oc adm inspect` or \
         `kubectl rookdoctor capture` wrote"
    )]
    NoCluster { path: String },
    #[error("the manifest is of schema version {found}, newer than this program knows. Update kubectl-rookdoctor")]
    Newer { found: u64 },
    #[error("nothing in the base matches {pattern:?}, so it cannot be removed. Correct the path")]
    NothingToRemove { pattern: String },
}

/// The files of a recorded cluster, by their path below its root. Cheap to clone and to lay over another:
/// files are shared, and each is parsed at most once.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    files: BTreeMap<String, Arc<File>>,
    cut: Option<String>,
    damage: Vec<String>,
}

/// One file, read and parsed when it is first asked for.
#[derive(Debug)]
pub struct File {
    body: Body,
    objects: OnceLock<Result<Vec<Value>, String>>,
}

#[derive(Debug)]
enum Body {
    Held(Vec<u8>),
    OnDisk { path: PathBuf, size: u64, log: bool },
    Refused(&'static str),
}

const TOO_LARGE: &str = "larger than 256 MiB, not read";
const TOO_MUCH: &str = "the archive holds more than 1 GiB, not read";
const LINK: &str = "a link or a device, not followed";
const ENDS_WITHIN: &str = "the archive ends within this file";

impl File {
    fn new(body: Body) -> Arc<Self> {
        Arc::new(Self { body, objects: OnceLock::new() })
    }

    /// The content; of a large log its end.
    pub fn bytes(&self) -> Result<Cow<'_, [u8]>, String> {
        match &self.body {
            Body::Held(bytes) => Ok(Cow::Borrowed(bytes)),
            Body::OnDisk { path, size, log } => {
                read_disk(path, *size, *log).map(Cow::Owned).map_err(|error| error.to_string())
            }
            Body::Refused(reason) => Err((*reason).to_owned()),
        }
    }

    /// The Kubernetes objects in it.
    pub fn objects(&self) -> Result<&[Value], &str> {
        let parsed = self.objects.get_or_init(|| self.bytes().and_then(|bytes| yaml::objects(&bytes)));
        parsed.as_deref().map_err(String::as_str)
    }

    /// The size in bytes, as far as it is read.
    pub fn size(&self) -> u64 {
        match &self.body {
            Body::Held(bytes) => bytes.len() as u64,
            Body::OnDisk { size, log, .. } => {
                if *log {
                    (*size).min(LOG_KEPT as u64)
                } else {
                    *size
                }
            }
            Body::Refused(_) => 0,
        }
    }
}

impl Tree {
    /// Opens a folder or an archive and finds the root of the recorded cluster in it.
    pub fn open(path: &Path) -> Result<Self, BundleError> {
        let name = path.display().to_string();
        let failed = |source| BundleError::Open { path: name.clone(), source };
        if fs::metadata(path).map_err(failed)?.is_dir() {
            let root = root_folder(path).ok_or(BundleError::NoCluster { path: name.clone() })?;
            return Self::folder(&root);
        }
        Self::unpack(&name, fs::File::open(path).map_err(failed)?)
    }

    /// Opens an archive that is already in memory; `name` is for messages.
    pub fn from_archive(name: &str, bytes: &[u8]) -> Result<Self, BundleError> {
        Self::unpack(name, bytes)
    }

    /// Reads a folder that is itself the root, such as the few files a scenario differs in from its base.
    pub fn folder(root: &Path) -> Result<Self, BundleError> {
        let failed = |source| BundleError::Open { path: root.display().to_string(), source };
        fs::read_dir(root).map_err(failed)?;
        let mut tree = Self::default();
        for folder in FOLDERS {
            tree.walk(&root.join(folder), folder.to_owned(), 0);
        }
        Ok(tree)
    }

    /// This tree without what matches `removed`, and with the files of `over` in front. A pattern is a path
    /// or the beginning of one, in whole names; `*` within a name stands for any part of it.
    pub fn overlay(&self, over: &Tree, removed: &[String]) -> Result<Self, BundleError> {
        let mut files = self.files.clone();
        for pattern in removed {
            let before = files.len();
            files.retain(|path, _| !is_below(pattern, path));
            if files.len() == before {
                return Err(BundleError::NothingToRemove { pattern: pattern.clone() });
            }
        }
        files.extend(over.files.iter().map(|(path, file)| (path.clone(), Arc::clone(file))));
        let cut = self.cut.clone().or_else(|| over.cut.clone());
        Ok(Self { files, cut, damage: [self.damage.as_slice(), &over.damage].concat() })
    }

    /// Puts a file in, in place of any at this path.
    pub fn write(&mut self, path: &str, content: Vec<u8>) {
        self.put(path.to_owned(), Body::Held(content));
    }

    /// The file at this path.
    pub fn file(&self, path: &str) -> Option<&File> {
        self.files.get(path).map(Arc::as_ref)
    }

    /// The file at this path, with the path.
    pub fn entry(&self, path: &str) -> Option<(&str, &File)> {
        self.files.get_key_value(path).map(|(path, file)| (path.as_str(), file.as_ref()))
    }

    /// The files whose path begins so, in order.
    pub fn below<'t>(&'t self, prefix: &str) -> impl Iterator<Item = (&'t str, &'t File)> {
        let from = self.files.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        from.take_while(move |(path, _)| path.starts_with(prefix)).map(|(path, file)| (path.as_str(), file.as_ref()))
    }

    /// Why the end of this tree is missing, if it is: then no absent file means anything.
    pub fn cut(&self) -> Option<&str> {
        self.cut.as_deref()
    }

    /// What was refused without a place in the tree.
    pub fn damage(&self) -> &[String] {
        &self.damage
    }

    fn walk(&mut self, folder: &Path, below: String, depth: usize) {
        let entries = match fs::symlink_metadata(folder) {
            Ok(metadata) if metadata.is_dir() => fs::read_dir(folder),
            // Links are not followed, not even to a folder of the layout.
            Ok(_) => return self.put(below, Body::Refused(LINK)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => Err(error),
        };
        let entries = match entries.and_then(Iterator::collect::<io::Result<Vec<_>>>) {
            Ok(entries) if depth < FOLDER_DEPTH && self.files.len() + entries.len() < ENTRIES => entries,
            Ok(_) => return self.stop(format!("{below}: more folders or files than are read")),
            Err(error) => return self.stop(format!("{below}: {error}")),
        };
        for entry in entries {
            let path = format!("{below}/{}", entry.file_name().to_string_lossy());
            if is_secret(&path) {
                continue;
            }
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => self.walk(&entry.path(), path, depth + 1),
                Ok(metadata) if metadata.is_file() => self.put_disk(path, entry.path(), metadata.len()),
                Ok(_) => self.put(path, Body::Refused(LINK)),
                Err(error) => self.stop(format!("{path}: {error}")),
            }
        }
    }

    fn put_disk(&mut self, path: String, at: PathBuf, size: u64) {
        let log = is_log(&path);
        let body =
            if !log && size > FILE_BYTES { Body::Refused(TOO_LARGE) } else { Body::OnDisk { path: at, size, log } };
        self.put(path, body);
    }

    fn unpack(name: &str, reader: impl Read) -> Result<Self, BundleError> {
        let mut reader = BufReader::new(reader);
        let failed = |source| BundleError::Open { path: name.to_owned(), source };
        let packed = reader.fill_buf().map_err(failed)?.starts_with(&[0x1f, 0x8b]);
        let reader: Box<dyn Read + '_> = if packed { Box::new(MultiGzDecoder::new(reader)) } else { Box::new(reader) };
        let mut tree = Self::default();
        tree.unpack_tar(Bounded { reader, left: UNPACKED_BYTES })
            .map_err(|reason| BundleError::NotAnArchive { path: name.to_owned(), reason })?;
        tree.rooted().ok_or(BundleError::NoCluster { path: name.to_owned() })
    }

    /// Reads entry by entry. Only a failure at the very first is an error: a later one cuts the tree.
    fn unpack_tar(&mut self, reader: impl Read) -> Result<(), String> {
        let mut archive = tar::Archive::new(reader);
        let mut kept = 0;
        let mut long_name = None;
        // Raw entries, because the library would read a long name of any length into memory.
        let entries = archive.entries().map_err(|error| error.to_string())?.raw(true);
        for (count, entry) in entries.enumerate() {
            let step = match entry {
                Err(error) if count == 0 => return Err(error.to_string()),
                Err(error) => Err(error),
                Ok(_) if count >= ENTRIES => Err(io::Error::other("more files than are read")),
                Ok(mut entry) => match entry.header().entry_type() {
                    EntryType::GNULongName => small(&mut entry).map(|name| long_name = Some(name)),
                    EntryType::XHeader => small(&mut entry).map(|header| long_name = pax_path(&header)),
                    EntryType::GNULongLink | EntryType::XGlobalHeader | EntryType::Directory => Ok(()),
                    _ => self.unpack_entry(&mut entry, long_name.take(), &mut kept),
                },
            };
            if let Err(error) = step {
                self.stop(format!("the archive is damaged or cut off: {error}"));
                break;
            }
        }
        Ok(())
    }

    fn unpack_entry(
        &mut self,
        entry: &mut tar::Entry<'_, impl Read>,
        long_name: Option<Vec<u8>>,
        kept: &mut u64,
    ) -> io::Result<()> {
        let name = long_name.unwrap_or_else(|| entry.path_bytes().into_owned());
        let Some(path) = inside(&name) else {
            self.damage.push(format!(
                "{}: a path that leads out of the archive, not read",
                String::from_utf8_lossy(&name).escape_debug()
            ));
            return Ok(());
        };
        if is_secret(&path) || !path.split('/').take(ROOT_DEPTH + 1).any(|name| FOLDERS.contains(&name)) {
            return Ok(());
        }
        let size = entry.size();
        let body = if !matches!(entry.header().entry_type(), EntryType::Regular | EntryType::Continuous) {
            Body::Refused(LINK)
        } else if !is_log(&path) && size > FILE_BYTES {
            Body::Refused(TOO_LARGE)
        } else if *kept > KEPT_BYTES {
            Body::Refused(TOO_MUCH)
        } else {
            let held = if is_log(&path) { LOG_KEPT } else { FILE_BYTES as usize };
            match tail(entry, held) {
                Ok((bytes, read)) if read == size => Body::Held(bytes),
                read => {
                    self.put(path, Body::Refused(ENDS_WITHIN));
                    return Err(read.err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into()));
                }
            }
        };
        *kept += if let Body::Held(bytes) = &body { bytes.len() as u64 } else { 0 };
        self.put(path, body);
        Ok(())
    }

    /// The part below the first folder that holds one of the marks: the shallowest, then by name.
    fn rooted(self) -> Option<Self> {
        let root = self.files.keys().filter_map(|path| root_of(path)).min()?;
        let prefix = root.1;
        let below = |(path, file): (String, Arc<File>)| {
            let path = path.strip_prefix(&prefix)?;
            FOLDERS.contains(&path.split('/').next()?).then(|| (path.to_owned(), file))
        };
        Some(Self {
            files: self.files.into_iter().filter_map(below).collect(),
            ..Self { files: BTreeMap::new(), ..self }
        })
    }

    fn put(&mut self, path: String, body: Body) {
        self.files.insert(path, File::new(body));
    }

    fn stop(&mut self, why: String) {
        self.cut.get_or_insert(why);
    }
}

/// The depth and the path, with its final slash, of the root that this file speaks for. Below `ceph/` there
/// is another `namespaces`, which is none.
fn root_of(path: &str) -> Option<(usize, String)> {
    let names: Vec<&str> = path.split('/').collect();
    let depth = names.iter().take(ROOT_DEPTH + 1).position(|name| MARKS.contains(name))?;
    let is_root = depth + 1 < names.len() && (depth == 0 || names[depth - 1] != "ceph");
    is_root.then(|| (depth, names[..depth].iter().map(|name| format!("{name}/")).collect()))
}

fn root_folder(path: &Path) -> Option<PathBuf> {
    let is_folder = |path: &Path| fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
    let mut level = vec![path.to_owned()];
    for _ in 0..=ROOT_DEPTH {
        let is_root =
            |folder: &&PathBuf| !folder.ends_with("ceph") && MARKS.iter().any(|mark| is_folder(&folder.join(mark)));
        if let Some(root) = level.iter().find(is_root) {
            return Some(root.clone());
        }
        let entries = level.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
        let mut next: Vec<PathBuf> =
            entries.map(|entry| entry.path()).take(ENTRIES).filter(|path| is_folder(path)).collect();
        next.sort();
        level = next;
    }
    None
}

/// The path in whole names, if it stays inside.
fn inside(name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?.trim_end_matches('\0');
    let names: Vec<&str> = name.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
    let is_outside = name.starts_with('/') || name.contains(char::is_control) || names.contains(&"..");
    (!is_outside).then(|| names.join("/"))
}

/// Whether a pattern names this path or a folder above it.
fn is_below(pattern: &str, path: &str) -> bool {
    let mut names = path.split('/');
    let wanted = pattern.split('/').filter(|name| !name.is_empty());
    wanted.into_iter().all(|wanted| names.next().is_some_and(|name| is_like(wanted, name)))
}

/// Whether a name is like a pattern in which `*` stands for any part.
fn is_like(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            name.char_indices().map(|(at, _)| at).chain([name.len()]).any(|at| is_like(rest, &name[at..]))
        }),
    }
}

fn is_secret(path: &str) -> bool {
    let names: Vec<&str> = path.split('/').collect();
    names.windows(2).any(|pair| pair[0] == "core" && pair[1].starts_with("secrets"))
}

fn is_log(path: &str) -> bool {
    path.ends_with(".log")
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

fn read_disk(path: &Path, size: u64, log: bool) -> io::Result<Vec<u8>> {
    let mut file = fs::File::open(path)?;
    if log {
        file.seek(SeekFrom::Start(size.saturating_sub(LOG_KEPT as u64)))?;
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The last `kept` bytes of a reader, and how many it held in all.
fn tail(reader: &mut impl Read, kept: usize) -> io::Result<(Vec<u8>, u64)> {
    let (mut bytes, mut all) = (Vec::new(), 0);
    let mut chunk = [0; 64 << 10];
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
struct Bounded<R> {
    reader: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.left =
            self.left.checked_sub(read as u64).ok_or_else(|| io::Error::other("it unpacks to more than 8 GiB"))?;
        Ok(read)
    }
}
