//! Recordings that other tools write, arranged into our own layout.
//!
//! Each format is recognised by its marks and has one pure function that says which place in our layout a file has.
//! Files are shared, not copied; only where one holds several things is it cut up. What a format cannot hold stays
//! absent, and absent is unknown: [`Notes`] say of which kinds a format holds everything, and why something is not
//! there where the recording says so.

mod clock;
mod dump;
mod frames;
mod gather;
mod inspect;
mod root;
mod support_bundle;

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::archive::{BundleError, FILE_BYTES, FOLDERS, File, KEPT_BYTES, LOG_KEPT, ROOT_DEPTH, Tree, tail};
use super::{Kind, bundle};
pub(super) use dump::{is_stream, stream};
pub(super) use root::folders;
use root::{ancestors, recognise, starts};

/// What can be opened, for messages.
pub const KNOWN: &str = "`kubectl rookdoctor capture`, `oc adm inspect`, must-gather (of OpenShift or ODF), \
    `kubectl cluster-info dump`, a troubleshoot.sh support bundle, `kubectl gather`";

/// Who wrote a recording, if not `kubectl rookdoctor capture`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    MustGather,
    Dump,
    SupportBundle,
    Gather,
}

impl Format {
    pub const ALL: &'static [Self] = &[Self::MustGather, Self::Dump, Self::SupportBundle, Self::Gather];

    pub fn name(self) -> &'static str {
        match self {
            Self::MustGather => "must-gather",
            Self::Dump => "kubectl cluster-info dump",
            Self::SupportBundle => "troubleshoot.sh support bundle",
            Self::Gather => "kubectl gather",
        }
    }

    /// What it cannot hold, in one line.
    pub fn lacks(self) -> &'static str {
        match self {
            Self::MustGather => {
                "it holds only what was inspected: of other namespaces, and of Ceph unless ODF's image gathered it, \
                 nothing is known"
            }
            Self::Dump => {
                "it has no custom resources, so not even the CephCluster, no answers of Ceph, no claims, ConfigMaps or \
                 Leases, and no logs of earlier containers"
            }
            Self::SupportBundle => {
                "of Ceph it has only status, health, OSD tree, OSD usage and pools, no webhooks or CSI drivers, and \
                 logs of unhealthy pods only"
            }
            Self::Gather => "it has no answers of Ceph that a program can read, and of a kind without objects no trace",
        }
    }

    fn place(self) -> fn(&str) -> Option<Place> {
        match self {
            Self::MustGather => inspect::place,
            Self::Dump => dump::place,
            Self::SupportBundle => support_bundle::place,
            Self::Gather => gather::place,
        }
    }
}

/// The most frequent first, since each file is asked for its place.
const ALL: [Format; 4] = [Format::MustGather, Format::SupportBundle, Format::Dump, Format::Gather];

/// What the recording says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Notes {
    pub format: Format,
    /// As in a manifest: of `plural.group`, or of `plural.group/namespace`, `ok` if everything was read,
    /// [`PARTIAL`] if only some, or why not.
    pub coverage: BTreeMap<String, String>,
    pub server_version: Option<String>,
    /// When it was taken: the newest time stamp in it, which no wrong clock may push past its end.
    pub taken: Option<Timestamp>,
}

impl Notes {
    fn new(format: Format) -> Self {
        Self { format, coverage: BTreeMap::new(), server_version: None, taken: None }
    }
}

/// Objects of a kind are there, and there may be more of it.
pub(super) const PARTIAL: &str = "partial";
/// Everything of a kind is there.
const WHOLE: &str = "ok";
const CRDS: &str = "customresourcedefinitions.apiextensions.k8s.io";

/// Where a file lies in our layout.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// Here. The namespace `*` is that of the CephCluster.
    At(String),
    /// It holds several things, or is looked into by its format.
    Inside,
}

/// Files beside the recorded cluster that say something of it.
const BESIDE: [&str; 3] = ["timestamp", "gather.log", "aggregated-discovery-apis.yaml"];
const DAMAGED: &str = "damaged or cut off gzip, not read";
const TOO_LARGE: &str = "unpacks to more than 256 MiB, not read";
const NO_ROOM: &str = "the recording holds more than 1 GiB, not read";

/// Whether any format has a place for this path, below whatever folders it lies.
pub(super) fn is_wanted(path: &str) -> bool {
    let path = path.strip_suffix(".gz").unwrap_or(path);
    let name = path.rsplit('/').next().unwrap_or(path);
    BESIDE.contains(&name) || starts(path).any(|(_, rest)| ALL.iter().any(|format| (format.place())(rest).is_some()))
}

/// Whether this folder is of some format, so that not being able to read it is a loss.
pub(super) fn is_folder_of_one(path: &str) -> bool {
    let more = ["cluster-resources", "cluster", "addons"];
    path.split('/').any(|name| FOLDERS.contains(&name) || more.contains(&name))
}

/// The recording that this tree holds, in our layout.
pub(super) fn arrange(name: &str, source: &Tree) -> Result<Tree, BundleError> {
    let found = recognise(name, source)?;
    let mut tree = source.emptied();
    let Some(format) = found.format else {
        let root = &found.roots[0];
        for (path, _) in source.below(root) {
            let below = &path[root.len()..];
            if below.split('/').next().is_some_and(|first| FOLDERS.contains(&first)) {
                tree.share(source, path, below.to_owned());
            }
        }
        return Ok(tree);
    };
    let mut notes = Notes::new(format);
    let roots = by_wealth(source, format, found.roots);
    let mut room = KEPT_BYTES;
    for (nth, root) in roots.iter().enumerate() {
        place_all(source, format, root, &mut |path, to| {
            let is_nothing = format == Format::SupportBundle && support_bundle::is_nothing(source, path);
            if !to.contains('*') && !is_nothing {
                put(source, path, beside(to, nth), &mut tree, &mut room);
            }
        });
    }
    let ceph = ceph_namespace(&tree);
    for root in &roots {
        place_all(source, format, root, &mut |path, to| {
            if let Some(ns) = ceph.as_ref().filter(|_| to.contains('*')) {
                put(source, path, to.replacen('*', ns, 1), &mut tree, &mut room);
            }
        });
        let found = Found { source, root, ceph: ceph.as_deref() };
        match format {
            Format::MustGather => inspect::look_inside(&found, &mut tree, &mut notes),
            Format::Dump => dump::look_inside(&found, &mut tree, &mut notes),
            Format::SupportBundle => support_bundle::look_inside(&found, &mut tree, &mut notes),
            Format::Gather => gather::look_inside(&found, &mut tree, &mut notes),
        }
    }
    notes.taken = Some(clock::taken(source, &roots, bundle::newest(&tree)));
    tree.set_notes(notes);
    Ok(tree)
}

/// One root of a recording.
struct Found<'t> {
    source: &'t Tree,
    /// The path of the root, empty or with its final slash.
    root: &'t str,
    /// The namespace of the CephCluster, if there is one of which that can be said.
    ceph: Option<&'t str>,
}

impl<'t> Found<'t> {
    /// The files below the root, by their path there.
    fn below(&self, prefix: &str) -> impl Iterator<Item = (&'t str, &'t File)> {
        let of_root = self.source.below(self.root).map(|(path, file)| (&path[self.root.len()..], file));
        of_root.filter(move |(path, _)| path.starts_with(prefix))
    }

    /// The text of a file below the root.
    fn text(&self, path: &str) -> Option<String> {
        let bytes = self.source.file(&format!("{}{path}", self.root))?.bytes().ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

fn place_all(source: &Tree, format: Format, root: &str, put: &mut dyn FnMut(&str, String)) {
    for (path, _) in source.below(root) {
        let below = &path[root.len()..];
        if let Some(Place::At(to)) = (format.place())(below.strip_suffix(".gz").unwrap_or(below)) {
            put(path, to);
        }
    }
}

/// The roots, the one with the most files first: where they contradict each other, it is believed.
fn by_wealth(source: &Tree, format: Format, mut roots: Vec<String>) -> Vec<String> {
    roots.sort_by_cached_key(|root| {
        let mut files = 0usize;
        place_all(source, format, root, &mut |_, _| files += 1);
        (std::cmp::Reverse(files), root.clone())
    });
    roots
}

/// Where a further root puts a list: beside the one that is there, and read after it, so that an object of both
/// is the one of the first.
fn beside(to: String, nth: usize) -> String {
    let names: Vec<&str> = to.split('/').collect();
    let is_list = matches!(names[..], ["namespaces", _, _, _] | ["cluster-scoped-resources", _, _]);
    match to.rsplit_once('.').filter(|_| nth > 0 && is_list) {
        Some((stem, extension)) => format!("{stem}/~{nth}.{extension}"),
        None => to,
    }
}

/// Shares a file, or unpacks it.
fn put(source: &Tree, path: &str, to: String, tree: &mut Tree, room: &mut usize) {
    if !path.ends_with(".gz") {
        return tree.share(source, path, to);
    }
    let Some(bytes) = source.file(path).and_then(|file| file.bytes().ok()) else {
        return tree.share(source, path, to);
    };
    let kept = if to.ends_with(".log") { LOG_KEPT } else { FILE_BYTES as usize };
    let mut unpacked = std::io::Read::take(flate2::read::MultiGzDecoder::new(&bytes[..]), FILE_BYTES + 1);
    match tail(&mut unpacked, kept) {
        Err(_) => tree.refuse(to, DAMAGED),
        Ok((_, all)) if all > FILE_BYTES => tree.refuse(to, TOO_LARGE),
        Ok((content, _)) if content.len() > *room => tree.refuse(to, NO_ROOM),
        Ok((content, _)) if tree.file(&to).is_none() => {
            *room -= content.len();
            tree.write(&to, content);
        }
        Ok(_) => {}
    }
}

/// The namespace of the one CephCluster that runs here; of an external one only if there is no other.
fn ceph_namespace(tree: &Tree) -> Option<String> {
    let (mut own, mut external) = (Vec::new(), Vec::new());
    for (path, file) in tree.below("namespaces/") {
        let names: Vec<&str> = path.split('/').collect();
        let ["namespaces", ns, "ceph.rook.io", clusters, ..] = names[..] else { continue };
        if clusters.split('.').next() != Some("cephclusters") {
            continue;
        }
        for cluster in file.objects().unwrap_or_default() {
            let is_external = cluster.pointer("/spec/external/enable") == Some(&true.into());
            let namespaces = if is_external { &mut external } else { &mut own };
            if namespaces.last().is_none_or(|last| last != ns) {
                namespaces.push(ns.to_owned());
            }
        }
    }
    let mut namespaces = if own.is_empty() { external } else { own };
    namespaces.pop().filter(|_| namespaces.is_empty())
}

/// `namespaces/<ns>/<group>/<plural>` or `cluster-scoped-resources/<group>/<plural>`.
fn folder_of(kind: Kind, ns: &str) -> String {
    let group = if kind.group.is_empty() { "core" } else { kind.group };
    if kind.namespaced {
        format!("namespaces/{ns}/{group}/{}", kind.plural)
    } else {
        format!("cluster-scoped-resources/{group}/{}", kind.plural)
    }
}

/// Whether a name is that of a file of objects.
fn is_object_file(name: &str) -> bool {
    [".yaml", ".yml", ".json"].iter().any(|extension| name.ends_with(extension))
}

/// A list of objects as a file. Serialising what was parsed cannot fail.
fn list_of(items: &[serde_json::Value]) -> Vec<u8> {
    serde_json::json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_no_format_wants_is_not_held() {
        for (path, expected) in [
            ("mg/image/namespaces/a/core/pods.yaml", true),
            ("mg/image/namespaces/a/core/pods.yaml.gz", true),
            ("mg/timestamp", true),
            ("mg/image/ceph_logs/journal_w1/journal_w1.gz", false),
            ("mg/image/ceph_logs/ceph_daemon_log_w1/ceph-osd.1.log", false),
            ("mg/image/namespaces/a/pods/p/c/c/logs/rotated/1.log", false),
            ("mg/image/ceph/must_gather_commands/ceph_auth_list", false),
            ("mg/image/namespaces/a/oc_output/secrets", false),
            ("gather/c1/addons/rook/logs/w1/ceph-mon.a.log", false),
            ("sb/host-collectors/system/memory.json", false),
            ("sb/ceph/auth.json", false),
            ("a/b/c/d/e/namespaces/a/core/pods.yaml", false),
        ] {
            assert_eq!(is_wanted(path), expected, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_names_make_it_panic(
            paths in prop::collection::vec(prop::collection::vec("[a-z*~]{0,3}|namespaces|ceph|cluster|cluster-resources\
                |cluster-scoped-resources|core|pods|logs|oc_output|all|pods.json|nodes.json|x.yaml|logs.txt|current.log\
                |gather.log|events.k8s.io|events|custom-resources|a.b.yaml|status.json|x.log.gz", 1..9), 1..12),
            body in "[\\[\\]{}a-z:, \"\n]{0,40}",
        ) {
            let mut source = Tree::default();
            paths.iter().for_each(|path| source.write(&path.join("/"), body.clone().into_bytes()));
            if let Ok(tree) = arrange("x", &source) {
                let first = |path: &str| path.split('/').next().map(str::to_owned);
                prop_assert!(tree.below("").all(|(path, _)| FOLDERS.contains(&first(path).unwrap().as_str())));
            }
        }
    }
}
