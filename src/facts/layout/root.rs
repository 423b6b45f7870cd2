//! Where in a folder or an archive a recording begins, and who wrote it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{BESIDE, BundleError, Format, Place, ROOT_DEPTH, Tree};

/// A recording within a tree.
pub(super) struct Recording {
    /// None for our own layout.
    pub format: Option<Format>,
    /// The paths of the roots, empty or with a final slash; several where digests lie side by side.
    pub roots: Vec<String>,
}

/// The path cut at each folder that may be a root: `("", whole)`, `("a/", rest)`, ...
pub(super) fn starts(path: &str) -> impl Iterator<Item = (&str, &str)> {
    let cuts = path.match_indices('/').map(|(at, _)| at + 1);
    std::iter::once(0).chain(cuts).take(ROOT_DEPTH + 1).map(|at| path.split_at(at))
}

/// A folder and those above it, as paths with a final slash; the outermost is empty.
pub(super) fn ancestors(root: &str) -> impl Iterator<Item = &str> {
    let ends = root.match_indices('/').map(|(at, _)| &root[..=at]);
    std::iter::once("").chain(ends)
}

/// A support bundle may hold folders of any name; kubectl-gather is told from a must-gather afterwards.
const ORDER: [Format; 3] = [Format::SupportBundle, Format::Dump, Format::MustGather];

/// Finds the shallowest root, and those of the same kind beside it.
pub(super) fn recognise(name: &str, tree: &Tree) -> Result<Recording, BundleError> {
    // Depth and place in ORDER.
    let mut best = (ROOT_DEPTH + 1, ORDER.len());
    let mut roots: BTreeSet<String> = BTreeSet::new();
    for (path, _) in tree.below("") {
        let path = path.strip_suffix(".gz").unwrap_or(path);
        for (depth, (root, below)) in starts(path).enumerate().take(best.0 + 1) {
            let Some(order) = ORDER.iter().position(|format| marks(*format, tree, root, below)) else { continue };
            if (depth, order) < best {
                best = (depth, order);
                roots.clear();
            }
            if (depth, order) == best && !roots.contains(root) {
                roots.insert(root.to_owned());
            }
        }
    }
    let family = *ORDER.get(best.1).ok_or_else(|| BundleError::NoCluster { path: name.to_owned() })?;
    let is_own = |root: &String| tree.file(&format!("{root}rookdoctor/manifest.yaml")).is_some();
    let own: Vec<String> = roots.iter().filter(|root| is_own(root)).cloned().collect();
    let (format, mut roots) = if own.is_empty() {
        let format = if roots.iter().any(|root| is_gather(tree, root)) { Format::Gather } else { family };
        (Some(format), roots.into_iter().collect())
    } else {
        (None, own)
    };
    let parents: BTreeSet<&str> = roots.iter().map(|root: &String| parent(root)).collect();
    let is_one = roots.len() == 1 || (format == Some(Format::MustGather) && parents.len() == 1);
    if !is_one {
        let has_ceph = |root: &String| tree.below(root).any(|(path, _)| path.contains("/ceph.rook.io/cephclusters"));
        let with_ceph: Vec<String> = roots.iter().filter(|root| has_ceph(root)).cloned().collect();
        if with_ceph.len() != 1 {
            let names: Vec<&str> = roots.iter().take(8).map(|root| root.trim_end_matches('/')).collect();
            return Err(BundleError::SeveralClusters { path: name.to_owned(), names: names.join(", ") });
        }
        roots = with_ceph;
    }
    Ok(Recording { format, roots })
}

/// Whether a file says that here is the root of a recording of this format. What must-gather and kubectl-gather
/// have in common is told apart later.
fn marks(format: Format, tree: &Tree, root: &str, below: &str) -> bool {
    match format {
        Format::SupportBundle => below.starts_with("cluster-resources/") && is_placed(format, below),
        Format::Dump => {
            let has = |extension| tree.file(&format!("{root}nodes.{extension}")).is_some();
            let is_list = below.split_once('/').is_some_and(|(_, file)| matches!(file, "pods.json" | "pods.yaml"));
            is_list && (has("json") || has("yaml"))
        }
        // Below `ceph/` and `namespaces/all/` there is another `namespaces`, which is none.
        Format::MustGather => {
            let is_inner = root.ends_with("ceph/") || root.ends_with("namespaces/all/");
            let is_marked = below.starts_with("namespaces/") || below.starts_with("cluster-scoped-resources/");
            let is_within = || below.bytes().filter(|byte| *byte == b'/').count() > 1;
            !is_inner && is_marked && is_within() && (is_placed(format, below) || is_placed(Format::Gather, below))
        }
        Format::Gather => false,
    }
}

fn is_placed(format: Format, below: &str) -> bool {
    matches!((format.place())(below), Some(Place::At(_)))
}

/// kubectl-gather has no folder for the core group, and `cluster` where others have `cluster-scoped-resources`.
fn is_gather(tree: &Tree, root: &str) -> bool {
    let mut is_gather = false;
    for (path, _) in tree.below(root) {
        let names: Vec<&str> = path[root.len()..].split('/').collect();
        match names[..] {
            ["cluster-scoped-resources", ..] | ["namespaces", _, "core", ..] => return false,
            ["cluster" | "addons", _, _, ..] | ["namespaces", _, "pods", _] => is_gather = true,
            _ => {}
        }
    }
    is_gather
}

fn parent(root: &str) -> &str {
    let inner = root.trim_end_matches('/');
    inner.rfind('/').map_or("", |at| &inner[..at])
}

/// What is to be read of a folder: the roots in it, and what lies beside them.
#[derive(Default)]
pub(in super::super) struct Folders {
    /// Each with its path in the tree.
    pub folders: Vec<(PathBuf, String)>,
    pub beside: Vec<(PathBuf, String)>,
}

/// Entries of one level of folders that are looked at.
const ENTRIES: usize = 200_000;

/// Finds the shallowest folders that look like roots, without reading any file. Links are not followed.
pub(in super::super) fn folders(path: &Path) -> Option<Folders> {
    let mut level = vec![(path.to_owned(), String::new())];
    for _ in 0..=ROOT_DEPTH {
        let roots: Vec<(PathBuf, String)> = level.iter().filter(|(path, _)| looks_like_a_root(path)).cloned().collect();
        if !roots.is_empty() {
            return Some(Folders { beside: beside(&roots), folders: roots });
        }
        let inner = level.iter().flat_map(|(path, below)| {
            let join = move |name: &str| if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
            folders_in(path).map(move |(path, name)| (path, join(&name)))
        });
        let mut next: Vec<(PathBuf, String)> = inner.take(ENTRIES).collect();
        next.sort();
        level = next;
    }
    None
}

fn folders_in(path: &Path) -> impl Iterator<Item = (PathBuf, String)> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.map(|entry| (entry.path(), entry.file_name().to_string_lossy().into_owned()))
}

fn looks_like_a_root(path: &Path) -> bool {
    let is_folder = |name: &str| fs::symlink_metadata(path.join(name)).is_ok_and(|metadata| metadata.is_dir());
    let is_file = |path: PathBuf| fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file());
    let has =
        |folder: &Path, name: &str| ["json", "yaml"].iter().any(|end| is_file(folder.join(format!("{name}.{end}"))));
    let is_dump = || has(path, "nodes") && folders_in(path).any(|(folder, _)| has(&folder, "pods"));
    let is_marked = ["namespaces", "cluster-scoped-resources", "cluster-resources"].iter().any(|name| is_folder(name));
    !path.ends_with("ceph") && (is_marked || is_dump())
}

/// Notes of the whole, in the folder that the roots lie in.
fn beside(roots: &[(PathBuf, String)]) -> Vec<(PathBuf, String)> {
    let above: BTreeSet<(&Path, &str)> = roots
        .iter()
        .filter(|(_, below)| !below.is_empty())
        .filter_map(|(path, below)| Some((path.parent()?, below.rsplit_once('/').map_or("", |(above, _)| above))))
        .collect();
    let files = above.into_iter().flat_map(|(folder, below)| {
        BESIDE.iter().map(move |name| {
            (folder.join(name), if below.is_empty() { (*name).to_owned() } else { format!("{below}/{name}") })
        })
    });
    files.filter(|(path, _)| fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file())).collect()
}
