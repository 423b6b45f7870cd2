//! A recorded cluster as a file or a folder: written beside its place, under another name, and moved there when it is
//! whole. Only its owner can read it.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use tempfile::{NamedTempFile, TempDir};

use crate::facts::archive::Tree;
use crate::facts::manifest::MANIFEST;

/// Why a recording could not be written.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    #[error("{0} exists. Name another place with -f, or replace it with --overwrite")]
    Exists(String),
    #[error("{0} is no recorded cluster, so it is not replaced. Name another place with -f")]
    NotOurs(String),
    #[error("cannot write {path}: {source}")]
    Write { path: String, source: io::Error },
    #[error("interrupted")]
    Stopped,
}

/// Where a recording will lie. What was begun and not finished goes when this is dropped.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    overwrite: bool,
    begun: Begun,
}

#[derive(Debug)]
enum Begun {
    File(NamedTempFile, Form),
    Folder(TempDir),
    Stdout,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Tar,
    Gz,
}

impl Place {
    /// Sees that the place is free and can be written, before anything is read. `-` is standard output.
    pub fn open(path: &Path, overwrite: bool) -> Result<Self, PackError> {
        let failed = |source| PackError::Write { path: path.display().to_string(), source };
        let begun = if path.as_os_str() == "-" {
            Begun::Stdout
        } else {
            let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let mut beside = tempfile::Builder::new();
            beside.prefix(".rookdoctor-").suffix(".partial");
            match form(path) {
                Some(form) => Begun::File(beside.tempfile_in(above).map_err(failed)?, form),
                None => {
                    // A recording is for whoever made it.
                    #[cfg(unix)]
                    beside.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
                    Begun::Folder(beside.tempdir_in(above).map_err(failed)?)
                }
            }
        };
        let place = Self { path: path.to_owned(), overwrite, begun };
        place.may_take()?;
        Ok(place)
    }

    /// The same place under the name that it gets now that the cluster is known.
    pub fn renamed(self, path: &Path) -> Result<Self, PackError> {
        let place = Self { path: path.to_owned(), ..self };
        place.may_take()?;
        Ok(place)
    }

    pub fn is_stdout(&self) -> bool {
        matches!(self.begun, Begun::Stdout)
    }

    /// Where the table of what was replaced lies: beside the recording, never in it.
    pub fn table(path: &Path) -> PathBuf {
        path.with_file_name(format!("{}.replaced.tsv", top(path)))
    }

    /// Whether something is there, and may be replaced.
    fn may_take(&self) -> Result<(), PackError> {
        let name = || self.path.display().to_string();
        let Ok(there) = fs::symlink_metadata(&self.path) else { return Ok(()) };
        if matches!(self.begun, Begun::Stdout) {
            return Ok(());
        }
        if !self.overwrite {
            return Err(PackError::Exists(name()));
        }
        let is_ours = match self.begun {
            Begun::Folder(_) => there.is_dir() && self.path.join(MANIFEST).is_file(),
            _ => there.is_file(),
        };
        if is_ours { Ok(()) } else { Err(PackError::NotOurs(name())) }
    }

    /// Writes everything and moves it into its place; returns its size in bytes. Looks at `stop` between files.
    pub fn fill(self, tree: &Tree, at: Timestamp, stop: &AtomicBool) -> Result<u64, PackError> {
        let Self { path, overwrite, begun } = self;
        let failed = |source| PackError::Write { path: path.display().to_string(), source };
        let top = top(&path);
        match begun {
            Begun::Stdout => {
                let mut out = Counted { inner: io::stdout().lock(), bytes: 0 };
                archive(&mut out, tree, &top, at, Form::Gz, stop, &failed)?;
                out.flush().map_err(failed)?;
                Ok(out.bytes)
            }
            Begun::File(mut file, form) => {
                archive(file.as_file_mut(), tree, &top, at, form, stop, &failed)?;
                let size = file.as_file().metadata().map_err(failed)?.len();
                let moved = if overwrite { file.persist(&path) } else { file.persist_noclobber(&path) };
                match moved {
                    Ok(_) => Ok(size),
                    Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                        Err(PackError::Exists(path.display().to_string()))
                    }
                    Err(error) => Err(failed(error.error)),
                }
            }
            Begun::Folder(folder) => {
                let size = unpacked(folder.path(), tree, stop, &failed)?;
                take_place(folder, &path, overwrite).map_err(failed)?;
                Ok(size)
            }
        }
    }
}

/// The archive that a name stands for; none for a folder.
fn form(path: &Path) -> Option<Form> {
    let name = path.file_name()?.to_str()?;
    if name.ends_with(".tar.gz") || name.ends_with(".tgz") {
        Some(Form::Gz)
    } else {
        name.ends_with(".tar").then_some(Form::Tar)
    }
}

/// The one folder in an archive, named after it.
fn top(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let ends = [".tar.gz", ".tgz", ".tar"];
    let stem = ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
    if stem.is_empty() || stem == "-" { "rookdoctor".to_owned() } else { stem.to_owned() }
}

fn archive(
    out: impl Write,
    tree: &Tree,
    top: &str,
    at: Timestamp,
    form: Form,
    stop: &AtomicBool,
    failed: &impl Fn(io::Error) -> PackError,
) -> Result<(), PackError> {
    let out = BufWriter::new(out);
    match form {
        Form::Tar => tar(out, tree, top, at, stop, failed)?.flush().map_err(failed),
        Form::Gz => {
            let packed = tar(GzEncoder::new(out, Compression::default()), tree, top, at, stop, failed)?;
            packed.finish().and_then(|mut out| out.flush()).map_err(failed)
        }
    }
}

/// The files in their order, so that the same cluster gives the same archive.
fn tar<W: Write>(
    out: W,
    tree: &Tree,
    top: &str,
    at: Timestamp,
    stop: &AtomicBool,
    failed: &impl Fn(io::Error) -> PackError,
) -> Result<W, PackError> {
    let mut archive = tar::Builder::new(out);
    for (path, file) in tree.below("") {
        let content = content(file, stop).map_err(failed)?.ok_or(PackError::Stopped)?;
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(at.as_second().try_into().unwrap_or_default());
        archive.append_data(&mut header, format!("{top}/{path}"), content.as_slice()).map_err(failed)?;
    }
    archive.into_inner().map_err(failed)
}

/// The bytes of a file; none if there is no need for them any more.
fn content(file: &crate::facts::archive::File, stop: &AtomicBool) -> io::Result<Option<Vec<u8>>> {
    if stop.load(Ordering::Relaxed) {
        return Ok(None);
    }
    file.bytes().map(|bytes| Some(bytes.into_owned())).map_err(io::Error::other)
}

fn unpacked(
    folder: &Path,
    tree: &Tree,
    stop: &AtomicBool,
    failed: &impl Fn(io::Error) -> PackError,
) -> Result<u64, PackError> {
    let mut size = 0;
    for (path, file) in tree.below("") {
        let content = content(file, stop).map_err(failed)?.ok_or(PackError::Stopped)?;
        write_private(&folder.join(path), &content).map_err(failed)?;
        size += content.len() as u64;
    }
    Ok(size)
}

/// Writes a file that only its owner can read.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(above) = path.parent() {
        fs::create_dir_all(above)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(content)
}

/// Moves a folder to its place. An older recording there steps aside first, and back if that fails.
fn take_place(folder: TempDir, path: &Path, overwrite: bool) -> io::Result<()> {
    if !overwrite || !path.exists() {
        fs::rename(folder.path(), path)?;
        // It is not temporary any more, and not at its old place.
        let _ = folder.keep();
        return Ok(());
    }
    let aside = folder.path().with_extension("old");
    fs::rename(path, &aside)?;
    if let Err(error) = fs::rename(folder.path(), path) {
        fs::rename(&aside, path)?;
        return Err(error);
    }
    let _ = folder.keep();
    fs::remove_dir_all(aside)
}

struct Counted<W> {
    inner: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        let mut tree = Tree::default();
        tree.write("namespaces/a/core/pods.yaml", b"kind: List\nitems: []\n".to_vec());
        let pod = "p".repeat(150);
        tree.write(&format!("namespaces/a/pods/{pod}/c/c/logs/current.log"), b"line\n".to_vec());
        tree.write(MANIFEST, b"schemaVersion: 1\n".to_vec());
        tree
    }

    fn fill(path: &Path, overwrite: bool, stop: bool) -> Result<u64, PackError> {
        Place::open(path, overwrite)?.fill(&tree(), Timestamp::UNIX_EPOCH, &AtomicBool::new(stop))
    }

    fn files(tree: &Tree) -> Vec<(String, Vec<u8>)> {
        tree.below("").map(|(path, file)| (path.to_owned(), file.bytes().unwrap().into_owned())).collect()
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_packed_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.tar.gz", "a.tgz", "a.tar", "folder"] {
            let path = folder.path().join(name);
            let size = fill(&path, false, false).unwrap();
            assert!(size > 0);
            assert_eq!(files(&Tree::open(&path).unwrap()), files(&tree()), "{name}");
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt;
                let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
                assert_eq!(mode, if name == "folder" { 0o700 } else { 0o600 }, "{name}");
            }
        }
        assert_eq!(names(folder.path()), ["a.tar", "a.tar.gz", "a.tgz", "folder"]);
    }

    #[test]
    fn the_same_cluster_gives_the_same_archive() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two] = ["1", "2"].map(|name| folder.path().join(name).join("a.tar.gz"));
        for path in [&one, &two] {
            fs::create_dir(path.parent().unwrap()).unwrap();
            fill(path, false, false).unwrap();
        }
        assert_eq!(fs::read(one).unwrap(), fs::read(two).unwrap());
    }

    #[test]
    fn what_is_there_stays_unless_told() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.tar.gz", "folder"] {
            let path = folder.path().join(name);
            fill(&path, false, false).unwrap();
            assert!(matches!(fill(&path, false, false), Err(PackError::Exists(_))), "{name}");
            fill(&path, true, false).unwrap();
            assert_eq!(files(&Tree::open(&path).unwrap()), files(&tree()), "{name}");
        }
        let home = folder.path().join("home");
        fs::create_dir(&home).unwrap();
        fs::write(home.join("letter"), "x").unwrap();
        assert!(matches!(fill(&home, true, false), Err(PackError::NotOurs(_))));
        assert_eq!(names(folder.path()), ["a.tar.gz", "folder", "home"]);
        assert_eq!(names(&home), ["letter"]);
    }

    #[test]
    fn nothing_half_is_left() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.tar.gz", "a.tar", "folder"] {
            assert!(matches!(fill(&folder.path().join(name), false, true), Err(PackError::Stopped)), "{name}");
        }
        drop(Place::open(&folder.path().join("b.tgz"), false).unwrap());
        assert!(names(folder.path()).is_empty());
        let nowhere = Place::open(&folder.path().join("no/such/a.tgz"), false).unwrap_err().to_string();
        assert!(nowhere.starts_with("cannot write "), "{nowhere}");
    }
}
