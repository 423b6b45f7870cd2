//! A folder, `.tar` or `.tar.gz` as a tree of files: `path -> bytes`. Hostile until proven otherwise.
//!
//! Nothing is ever unpacked to disk, no link is followed, no path leads out of the root, and every size is
//! bounded. What had to be refused stays in the tree under its path with the reason, so that its reader
//! learns why it is blind there. Secrets are dropped unread.

mod unpack;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use flate2::bufread::MultiGzDecoder;
use serde_json::Value;

use super::body::{Body, Disk};
use super::items::{Items, Reader};
use super::layout::{self, Notes};
pub(super) use unpack::tail;
use unpack::{Bounded, CHUNK};

/// The folders of the layout. Everything else in a bundle is left unread.
pub(super) const FOLDERS: [&str; 4] = ["namespaces", "cluster-scoped-resources", "ceph", "rookdoctor"];
/// A must-gather has its root one folder down; copies of copies have it a few more.
pub(super) const ROOT_DEPTH: usize = 4;

/// How the names of files end, other than those of the answers of Ceph.
const FILES: [&str; 7] = [".yaml", ".yml", ".json", ".log", ".stdout", ".stderr", ".rc"];

/// The pods of 300 nodes are 118 MB.
pub(super) const FILE_BYTES: u64 = 256 << 20;
/// The end of a log that is kept: what a diagnosis reads of one, and a byte to tell that there was more.
pub(super) const LOG_KEPT: usize = LOG_BYTES + 1;
/// What a diagnosis reads of a log, in bytes.
pub const LOG_BYTES: usize = 512 << 10;
/// Of an archive, in memory, where what is large is compressed.
pub(super) const KEPT_BYTES: usize = 1 << 30;
const ENTRIES: usize = 200_000;
const NAME_BYTES: u64 = 64 << 10;
/// No file system takes a longer path.
const PATH_BYTES: usize = 4096;
/// At most this many refusals without a place in the tree are told one by one.
const DAMAGES: usize = 100;
const GZIP: [u8; 2] = [0x1f, 0x8b];
const FOLDER_DEPTH: usize = 16;

/// Why a bundle could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("cannot read {path}: {source}. Name a folder, .tar or .tar.gz that holds a recorded cluster")]
    Open { path: String, source: io::Error },
    #[error("{path} is neither a folder nor a readable .tar or .tar.gz ({reason}). Unpack it and name the folder")]
    NotAnArchive { path: String, reason: String },
    #[error(
        "{path} holds no recorded cluster, nor do four levels of folders below. Name the folder or archive that one of \
         these wrote: {known}",
        known = layout::KNOWN
    )]
    NoCluster { path: String },
    #[error("{path} holds several clusters: {names}. Name the folder of one")]
    SeveralClusters { path: String, names: String },
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
    notes: Option<Arc<Notes>>,
}

/// One file, read when it is first asked for.
#[derive(Debug)]
pub struct File {
    body: Body,
    items: OnceLock<Result<Items, String>>,
}

const TOO_LARGE: &str = "larger than 256 MiB, not read";
const TOO_MUCH: &str = "the archive holds more than 1 GiB, compressed; not read";
const SPARSE: &str = "a sparse file, not read; pack it without --sparse";
const LINK: &str = "a link or a device, not followed";
const ENDS_WITHIN: &str = "the archive ends within this file";

impl File {
    fn new(body: Body) -> Arc<Self> {
        Arc::new(Self { body, items: OnceLock::new() })
    }

    /// The content; of a large log its end.
    pub fn bytes(&self) -> Result<Cow<'_, [u8]>, String> {
        self.body.bytes()
    }

    /// The Kubernetes objects in it, parsed anew at each call.
    pub fn objects(&self) -> Result<Vec<Value>, String> {
        let mut reader = self.reader()?;
        (0..self.items()?.entries.len()).map(|at| reader.read(at)).collect()
    }

    /// The objects in it, not parsed.
    pub(super) fn items(&self) -> Result<&Items, &str> {
        let found = self.items.get_or_init(|| self.bytes().and_then(|bytes| Items::find(&bytes)));
        found.as_ref().map_err(String::as_str)
    }

    /// Looks at the whole content, and finds the objects in it on the way where that costs little.
    pub(super) fn look_over<T>(&self, look: impl FnOnce(&[u8]) -> T) -> Result<T, String> {
        let bytes = self.bytes()?;
        if bytes.starts_with(b"{") {
            self.items.get_or_init(|| Items::find(&bytes));
        }
        Ok(look(&bytes))
    }

    /// Parses the objects in it one by one.
    pub(super) fn reader(&self) -> Result<Reader<'_>, String> {
        self.items()?.reader(&self.body)
    }

    /// The size in bytes, as far as it is read.
    pub fn size(&self) -> u64 {
        self.body.size() as u64
    }
}

impl Tree {
    /// Opens a folder or an archive and finds the root of the recorded cluster in it.
    pub fn open(path: &Path) -> Result<Self, BundleError> {
        let name = path.display().to_string();
        let failed = |source| BundleError::Open { path: name.clone(), source };
        if fs::metadata(path).map_err(failed)?.is_dir() {
            let mut tree = Self::default();
            let roots = layout::folders(path).ok_or(BundleError::NoCluster { path: name.clone() })?;
            for (folder, below) in roots.folders {
                tree.walk(&folder, below, 0);
            }
            for (file, below) in roots.beside {
                let size = fs::symlink_metadata(&file).map_or(0, |metadata| metadata.len());
                let body = on_disk(file, size, is_log(&below));
                tree.put(below, body);
            }
            return layout::arrange(&name, &tree);
        }
        let mut file = fs::File::open(path).map_err(failed)?;
        if !fs::metadata(path).map_err(failed)?.is_file() {
            // A pipe is read once only.
            return Self::unpack(&name, file);
        }
        let mut start = Vec::new();
        (&file).take(CHUNK as u64).read_to_end(&mut start).map_err(failed)?;
        file.rewind().map_err(failed)?;
        let is_plain_tar = !start.starts_with(&GZIP) && !layout::is_stream(&start);
        if is_plain_tar { Self::index(&name, file) } else { Self::unpack(&name, file) }
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
        let notes = self.notes.clone().or_else(|| over.notes.clone());
        Ok(Self { files, cut, damage: [self.damage.as_slice(), &over.damage].concat(), notes })
    }

    /// Puts a file in, in place of any at this path.
    pub fn write(&mut self, path: &str, content: Vec<u8>) {
        self.put(path.to_owned(), Body::hold(content));
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

    /// An empty tree, as damaged as this one, for its files in another layout.
    pub(super) fn emptied(&self) -> Self {
        Self { files: BTreeMap::new(), cut: self.cut.clone(), damage: self.damage.clone(), notes: None }
    }

    /// Puts a file of another tree in at this path, unless one is there.
    pub(super) fn share(&mut self, from: &Self, path: &str, to: String) {
        if let Some(file) = from.files.get(path) {
            self.files.entry(to).or_insert_with(|| Arc::clone(file));
        }
    }

    /// Says why the file at this path cannot be read, unless one is there.
    pub(super) fn refuse(&mut self, path: String, why: &'static str) {
        self.files.entry(path).or_insert_with(|| File::new(Body::Refused(why)));
    }

    /// Notes what is wrong with a file that has no place of its own in the tree.
    pub(super) fn blame(&mut self, why: String) {
        self.damage.push(why);
    }

    /// Says why the end is missing.
    pub(super) fn cut_off(&mut self, why: String) {
        self.stop(why);
    }

    /// What the layout in which this tree was found says of the whole; none of our own layout.
    pub fn notes(&self) -> Option<&Notes> {
        self.notes.as_deref()
    }

    pub(super) fn set_notes(&mut self, notes: Notes) {
        self.notes = Some(Arc::new(notes));
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
            Ok(_) => return self.put_link(below),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => Err(error),
        };
        let entries = match entries.and_then(Iterator::collect::<io::Result<Vec<_>>>) {
            Ok(entries) if depth < FOLDER_DEPTH && self.files.len() + entries.len() < ENTRIES => entries,
            // What no layout wants may be as it likes.
            _ if !layout::is_folder_of_one(&below) => return,
            Ok(_) => return self.stop(format!("{below}: more folders or files than are read")),
            Err(error) => return self.stop(format!("{below}: {error}")),
        };
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if below.is_empty() { name } else { format!("{below}/{name}") };
            if path.contains(char::is_control) {
                self.damaged(format!("{}: a name with control characters, not read", path.escape_debug()));
                continue;
            }
            if is_secret(&path) {
                continue;
            }
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => self.walk(&entry.path(), path, depth + 1),
                Ok(_) if !layout::is_wanted(&path) => {}
                Ok(metadata) if metadata.is_file() => {
                    let body = on_disk(entry.path(), metadata.len(), is_log(&path));
                    self.put(path, body);
                }
                Ok(_) => self.put_link(path),
                Err(error) => self.stop(format!("{path}: {error}")),
            }
        }
    }

    fn unpack(name: &str, reader: impl Read) -> Result<Self, BundleError> {
        let mut reader = BufReader::with_capacity(CHUNK, reader);
        let failed = |source| BundleError::Open { path: name.to_owned(), source };
        let packed = reader.fill_buf().map_err(failed)?.starts_with(&GZIP);
        let reader: Box<dyn Read + '_> = if packed { Box::new(MultiGzDecoder::new(reader)) } else { Box::new(reader) };
        let mut reader = BufReader::with_capacity(CHUNK, reader);
        let unreadable = |error: io::Error| BundleError::NotAnArchive { path: name.into(), reason: error.to_string() };
        if layout::is_stream(reader.fill_buf().map_err(unreadable)?) {
            return Self::of_stream(name, reader);
        }
        let mut reader = Bounded { reader, read: 0 };
        Self::of_tar(name, |tree| unpack::streamed(tree, &mut reader))
    }

    /// What a tool printed as one text.
    fn of_stream(name: &str, reader: impl Read) -> Result<Self, BundleError> {
        let mut stream = Vec::new();
        reader
            .take(FILE_BYTES)
            .read_to_end(&mut stream)
            .map_err(|source| BundleError::Open { path: name.to_owned(), source })?;
        let mut tree = layout::stream(&stream).ok_or(BundleError::NoCluster { path: name.to_owned() })?;
        if stream.len() as u64 == FILE_BYTES {
            tree.stop(format!("{name}: {TOO_LARGE}"));
        }
        Ok(tree)
    }

    /// Finds the files of a plain archive, and leaves them where they are.
    fn index(name: &str, archive: fs::File) -> Result<Self, BundleError> {
        Self::of_tar(name, |tree| unpack::in_place(tree, archive))
    }

    fn of_tar(name: &str, read: impl FnOnce(&mut Self) -> Result<(), String>) -> Result<Self, BundleError> {
        let mut tree = Self::default();
        read(&mut tree).map_err(|reason| BundleError::NotAnArchive { path: name.to_owned(), reason })?;
        layout::arrange(name, &tree)
    }

    fn put(&mut self, path: String, body: Body) {
        self.files.insert(path, File::new(body));
    }

    /// A link may stand for a folder, and then nothing is known of what would be in it.
    fn put_link(&mut self, path: String) {
        let name = path.rsplit('/').next().unwrap_or_default();
        let is_file = FILES.iter().any(|end| name.ends_with(end)) || path.contains("/must_gather_commands");
        if !is_file {
            self.damaged(format!("{}: {LINK}", path.escape_debug()));
        }
        self.put(path, Body::Refused(LINK));
    }

    fn stop(&mut self, why: String) {
        self.cut.get_or_insert(why);
    }

    fn damaged(&mut self, what: String) {
        match self.damage.len() {
            ..DAMAGES => self.damage.push(what),
            DAMAGES => self.damage.push("and more that was refused".into()),
            _ => {}
        }
    }
}

/// A file of a folder; of a large log its end.
fn on_disk(path: PathBuf, size: u64, is_log: bool) -> Body {
    if !is_log && size > FILE_BYTES {
        return Body::Refused(TOO_LARGE);
    }
    let kept = if is_log { size.min(LOG_KEPT as u64) } else { size };
    Body::OnDisk { disk: Disk::File(path), at: size - kept, size: kept as usize }
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

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;
    use tar::EntryType;

    const POD: &str = "must-gather/image/namespaces/a/core/pods.yaml";

    fn header(kind: EntryType, size: u64) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(0o644);
        header
    }

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, content) in files {
            let mut header = header(EntryType::Regular, content.len() as u64);
            archive.append_data(&mut header, path, *content).unwrap();
        }
        archive.into_inner().unwrap()
    }

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    }

    fn paths(tree: &Tree) -> Vec<&str> {
        tree.below("").map(|(path, _)| path).collect()
    }

    #[test]
    fn the_root_is_found_in_a_folder_and_in_an_archive() {
        let long = format!("must-gather/image/namespaces/a/pods/{}/c/c/logs/current.log", "p".repeat(120));
        let files: [(&str, &[u8]); 5] = [
            ("must-gather/version", b"x"),
            (POD, b"kind: List\nitems: []\n"),
            ("must-gather/image/ceph/namespaces/a/must_gather_commands/ceph_status", b"x"),
            ("must-gather/image/namespaces/a/core/secrets.yaml", b"x"),
            (&long, b"line\n"),
        ];
        let tar = archive(&files);
        let folder = tempfile::tempdir().unwrap();
        tar::Archive::new(tar.as_slice()).unpack(folder.path()).unwrap();
        let expected = [
            "ceph/namespaces/a/must_gather_commands/ceph_status",
            "namespaces/a/core/pods.yaml",
            long.trim_start_matches("must-gather/image/"),
        ];
        for tree in [
            Tree::from_archive("x.tar", &tar).unwrap(),
            Tree::from_archive("x.tgz", &packed(&tar)).unwrap(),
            Tree::open(folder.path()).unwrap(),
        ] {
            assert_eq!(paths(&tree), expected);
            assert_eq!((tree.cut(), tree.damage().len()), (None, 0));
            assert_eq!(*tree.file("namespaces/a/core/pods.yaml").unwrap().bytes().unwrap(), *files[1].1);
        }
    }

    #[test]
    fn what_leads_out_of_an_archive_is_refused() {
        let mut archive = tar::Builder::new(Vec::new());
        for name in ["../namespaces/a/core/pods.yaml", "/namespaces/a/core/pods.yaml", "namespaces/a\u{7}/x.yaml"] {
            let mut header = header(EntryType::Regular, 1);
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            archive.append(&header, &b"x"[..]).unwrap();
        }
        for kind in [EntryType::Symlink, EntryType::Link, EntryType::Fifo] {
            let path = format!("namespaces/a/core/{}.yaml", kind.as_byte());
            archive.append_link(&mut header(kind, 0), path, "/etc/passwd").unwrap();
        }
        let tree = Tree::from_archive("x", &archive.into_inner().unwrap()).unwrap();
        assert_eq!(tree.damage().len(), 3);
        assert_eq!(paths(&tree).len(), 3);
        assert!(tree.below("").all(|(_, file)| file.bytes() == Err(LINK.to_owned())));
    }

    #[cfg(unix)]
    #[test]
    fn links_in_a_folder_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let core = folder.path().join("namespaces/a/core");
        fs::create_dir_all(&core).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", core.join("pods.yaml")).unwrap();
        std::os::unix::fs::symlink("/etc", folder.path().join("namespaces/b")).unwrap();
        let tree = Tree::open(folder.path()).unwrap();
        assert_eq!(paths(&tree), ["namespaces/a/core/pods.yaml", "namespaces/b"]);
        assert!(tree.below("").all(|(_, file)| file.bytes().is_err()));
    }

    #[test]
    fn a_truncated_archive_keeps_what_was_read() {
        let noise: Vec<u8> = (0..300_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let tar = archive(&[("namespaces/a/core/pods.yaml", b"x"), ("namespaces/a/core/services.yaml", &noise)]);
        let packed = packed(&tar);
        for cut in [&tar[..tar.len() / 2], &packed[..packed.len() / 2]] {
            let tree = Tree::from_archive("x", cut).unwrap();
            assert_eq!(*tree.file("namespaces/a/core/pods.yaml").unwrap().bytes().unwrap(), *b"x");
            assert!(tree.file("namespaces/a/core/services.yaml").unwrap().bytes().is_err());
            assert!(tree.cut().unwrap().contains("cut off"));
        }
    }

    #[test]
    fn a_large_log_keeps_its_end() {
        let log = format!("{}the end\n", "line\n".repeat(LOG_BYTES));
        let path = "namespaces/a/pods/p/c/c/logs/current.log";
        let tar = archive(&[(path, log.as_bytes())]);
        let folder = tempfile::tempdir().unwrap();
        tar::Archive::new(tar.as_slice()).unpack(folder.path()).unwrap();
        for tree in [Tree::from_archive("x", &tar).unwrap(), Tree::open(folder.path()).unwrap()] {
            let file = tree.file(path).unwrap();
            let kept = file.bytes().unwrap();
            assert!(kept.len() == LOG_KEPT && kept.ends_with(b"the end\n"));
            assert_eq!(file.size(), LOG_KEPT as u64);
        }
    }

    #[test]
    fn what_is_no_bundle_says_what_to_do() {
        let open = |bytes: &[u8]| Tree::from_archive("notes.txt", bytes).unwrap_err().to_string();
        assert!(open(b"hello".repeat(300).as_slice()).contains("notes.txt is neither a folder nor a readable"));
        assert!(open(&archive(&[("readme", b"x")])).contains("Name the folder or archive"));
        let absent = Tree::open(Path::new("/does/not/exist")).unwrap_err();
        assert!(absent.to_string().starts_with("cannot read /does/not/exist"));
    }

    #[test]
    fn an_overlay_wins_and_takes_away() {
        let base = archive(&[
            ("namespaces/a/core/pods.yaml", b"kind: Pod"),
            ("namespaces/a/core/pods2.yaml", b"x"),
            ("namespaces/b/core/events.yaml", b"x"),
        ]);
        let base = Tree::from_archive("base", &base).unwrap();
        let over = Tree::from_archive("over", &archive(&[("namespaces/c/core/pods.yaml", b"y")])).unwrap();
        let removed = ["namespaces/a/core/pods.yaml", "namespaces/*/core/ev*.yaml"].map(String::from);
        let laid = base.overlay(&over, &removed).unwrap();
        assert_eq!(paths(&laid), ["namespaces/a/core/pods2.yaml", "namespaces/c/core/pods.yaml"]);
        assert!(base.overlay(&over, &["namespaces/a/cor".into()]).is_err());
        // A file that both share is parsed once.
        let shared = base.overlay(&over, &[]).unwrap();
        let pods = |tree: &Tree| std::ptr::from_ref(tree.file("namespaces/a/core/pods.yaml").unwrap().items().unwrap());
        assert_eq!(pods(&base), pods(&shared));
    }

    proptest::proptest! {
        #[test]
        fn no_damage_makes_it_panic(at in 0..3072usize, byte: u8, cut in 0..4096usize, gz: bool) {
            let mut tar = archive(&[(POD, b"kind: List"), ("namespaces/a/pods/p/c/c/logs/current.log", b"x")]);
            let mut bytes = if gz { packed(&tar) } else { tar.split_off(0) };
            let at = at % bytes.len();
            bytes[at] = byte;
            bytes.truncate(cut.max(at));
            if let Ok(tree) = Tree::from_archive("x", &bytes) {
                proptest::prop_assert!(tree.below("").all(|(path, _)| !path.contains("..")));
                proptest::prop_assert!(tree.below("").all(|(_, file)| file.bytes().is_ok() || file.objects().is_err()));
            }
        }
    }
}
