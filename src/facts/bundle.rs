//! A recorded cluster as a source of facts: the layout that `oc adm inspect` and must-gather write, and what
//! `capture` adds below `rookdoctor/`.
//!
//! A file that is absent is unknown, unless the manifest says that its kind was read: then there was nothing. Where
//! it says so of some namespaces only, the kind is unknown in all others, whatever was read of it there: a list over
//! all namespaces has that flaw. What it says failed did fail, even where single objects lie in the bundle. What other
//! tools wrote comes in this layout too, with notes in place of a manifest (see [`super::layout`]).
//! A broken file is skipped; every answer that it belongs to says so.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::archive::{BundleError, File, LOG_BYTES, Tree};
use super::items::Entry;
use super::layout::{Format, PARTIAL};
use super::manifest::{EACCES, MANIFEST, Manifest, SCHEMA, entry, scoped};
use super::select::labels_match;
use super::{Answer, CephCommand, Cost, Fact, Kind, Reading, Select, Source, Table, Why};
use super::{kinds, printed, redact};

/// What a diagnosis reads of a log, in lines.
pub const LOG_LINES: usize = 2000;
const CRDS: &str = "cluster-scoped-resources/apiextensions.k8s.io/customresourcedefinitions";
const CRD: &str = "customresourcedefinitions.apiextensions.k8s.io";

/// A recorded cluster.
pub struct Bundle {
    tree: Tree,
    manifest: Manifest,
    /// What is wrong with the bundle as a whole; part of every answer.
    flaws: Vec<Why>,
    namespaces: BTreeSet<String>,
    now: Timestamp,
    requests: AtomicU64,
    /// Files that were read, by size, so that each counts once.
    read: Mutex<BTreeMap<String, u64>>,
}

/// Objects of one kind and what had to be skipped to find them.
#[derive(Default)]
struct Objects<'b> {
    /// By namespace and name, as a server lists them. The same object from two files counts once.
    found: BTreeMap<(&'b str, &'b str), Found<'b>>,
    flaws: Vec<Why>,
}

/// An object that is not parsed yet.
#[derive(Clone, Copy)]
struct Found<'b> {
    path: &'b str,
    file: &'b File,
    /// Its place in the file.
    at: usize,
    entry: &'b Entry,
}

impl Bundle {
    /// Opens a folder, `.tar` or `.tar.gz`.
    pub fn open(path: &Path) -> Result<Self, BundleError> {
        Self::from_tree(Tree::open(path)?)
    }

    /// Opens an archive in memory; `name` is for messages.
    pub fn from_archive(name: &str, bytes: &[u8]) -> Result<Self, BundleError> {
        Self::from_tree(Tree::from_archive(name, bytes)?)
    }

    /// A bundle of files that are already open, such as a base with a scenario laid over it.
    pub fn from_tree(tree: Tree) -> Result<Self, BundleError> {
        let damage = tree.damage().iter().map(String::as_str).chain(tree.cut());
        let mut flaws: Vec<Why> = damage.map(|why| Why::Malformed(why.to_owned())).collect();
        let manifest = match tree.file(MANIFEST).map(Manifest::read) {
            None => tree.notes().map(Manifest::of).unwrap_or_default(),
            Some(Ok(manifest)) => manifest,
            Some(Err(why)) => {
                flaws.push(Why::Malformed(format!("{MANIFEST}: {why}")));
                Manifest::default()
            }
        };
        if manifest.schema_version > SCHEMA {
            return Err(BundleError::Newer { found: manifest.schema_version });
        }
        let names = tree.below("namespaces/").filter_map(|(path, _)| path.split('/').nth(1));
        let namespaces = names.map(str::to_owned).collect();
        let now = manifest.capture_time.unwrap_or_else(|| newest(&tree));
        Ok(Self { tree, manifest, flaws, namespaces, now, requests: AtomicU64::default(), read: Mutex::default() })
    }

    /// Who wrote it, if not `kubectl rookdoctor capture`.
    pub fn format(&self) -> Option<Format> {
        self.tree.notes().map(|notes| notes.format)
    }

    /// The files that it reads.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    fn answer(&self, fact: &Fact) -> Result<Reading, Why> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        match fact {
            Fact::Discovery => self.discovery(),
            Fact::Rows { kind, ns, label } => self.rows(*kind, ns, label),
            Fact::List { kind, ns, select } => self.list(*kind, ns.as_deref(), select),
            Fact::Object { kind, ns, name } | Fact::Whole { kind, ns, name } => self.object(*kind, ns, name),
            // Nobody records an answer that is true for a moment only.
            Fact::OkToStop { .. } => Err(Why::NotCaptured),
            Fact::Log { ns, pod, container, previous } => self.log(fact, &log_path(ns, pod, container), *previous),
            Fact::Ceph { ns, command } => self.ceph(fact, ns, *command),
            Fact::Socket { ns, pod, container, daemon, command } => {
                self.exec(fact, &socket_path(ns, pod, container, daemon, command))
            }
        }
    }

    /// An answer, with the flaws of the bundle as a whole.
    fn reading(&self, answer: Answer, flaws: Vec<Why>) -> Reading {
        Reading { answer, flaws: [flaws, self.flaws.clone()].concat() }
    }

    fn discovery(&self) -> Result<Reading, Why> {
        if let Some(Err(why)) = self.manifest.said(&entry(&Fact::Discovery)) {
            return Err(why);
        }
        let (mut served, flaws) = self.crds();
        // Where the CRDs are not all there, a kind without one may be installed: its lists then say that it is
        // unknown. The same where the bundle was cut off.
        let is_own = self.tree.file(MANIFEST).is_some() && !served.is_empty();
        let is_whole = self.coverage(CRD).map_or(is_own, |coverage| coverage == "ok");
        let is_cut = self.tree.cut().is_some();
        for kind in kinds::ALL {
            let name = format!("{}/{}", kind.group, kind.plural);
            let coverage = self.coverage(&kind.resource());
            if !kind.is_custom() || is_cut || (!is_whole && coverage != Some("not-found")) {
                served.insert(name);
            } else if coverage == Some("not-found") {
                served.remove(&name);
            }
        }
        Ok(self.reading(Answer::Kinds(served), flaws))
    }

    /// The kinds of the CRD folder. A CRD is named `<plural>.<group>`.
    fn crds(&self) -> (BTreeSet<String>, Vec<Why>) {
        let (mut served, mut flaws) = (BTreeSet::new(), Vec::new());
        let folder = format!("{CRDS}/");
        for (path, _) in self.tree.below(&folder) {
            served.extend(stem(&path[folder.len()..]).and_then(served_name));
        }
        for (path, file) in self.spelled(CRDS) {
            match self.entries_of(path, file) {
                Ok(crds) => served.extend(crds.iter().filter_map(|crd| served_name(&crd.name))),
                Err(why) => flaws.push(why),
            }
        }
        (served, flaws)
    }

    fn rows(&self, kind: Kind, ns: &str, label: &str) -> Result<Reading, Why> {
        let mut objects = self.objects(kind, Some(ns).filter(|ns| !ns.is_empty()))?;
        let (columns, print) = printed::printer(kind).map_err(Why::Malformed)?;
        objects.found.retain(|_, found| labels_match(label, |key| found.entry.label(key)));
        let cells = objects.read(|_, object| Some(print(&object, self.now)));
        Ok(self.reading(Answer::Rows(Table { columns, cells }), objects.flaws))
    }

    fn list(&self, kind: Kind, ns: Option<&str>, select: &Select) -> Result<Reading, Why> {
        let mut objects = self.objects(kind, ns)?;
        objects.found.retain(|_, found| found.entry.may_match(select));
        let chosen = objects.read(|ns, object| select.matches(&object).then(|| whole(kind, ns, object)));
        Ok(self.reading(Answer::Objects(chosen), objects.flaws))
    }

    /// One object. Not finding it where something was skipped is not to know.
    fn object(&self, kind: Kind, ns: &str, name: &str) -> Result<Reading, Why> {
        let alone = self.manifest.said(&entry(&Fact::Object { kind, ns: ns.to_owned(), name: name.to_owned() }));
        let mut objects = match alone {
            Some(said) => said.and_then(|()| self.found(kind, Some(ns)).map(|(objects, _)| objects))?,
            None => self.objects(kind, Some(ns))?,
        };
        objects.found.retain(|key, _| *key == (ns, name));
        let found = objects.read(|_, object| Some(whole(kind, ns, object)));
        match objects.flaws.first() {
            Some(why) if found.is_empty() => Err(why.clone()),
            _ => Ok(self.reading(Answer::Objects(found), objects.flaws)),
        }
    }

    /// Every object of a kind, in one namespace or in all.
    fn objects(&self, kind: Kind, ns: Option<&str>) -> Result<Objects<'_>, Why> {
        let resource = kind.resource();
        if let Some(said) = self.manifest.said(&scoped(&resource, ns)).filter(|_| kind.namespaced) {
            return said.and_then(|()| self.found(kind, ns)).and_then(|(objects, _)| objects.or_flaw());
        }
        let (mut objects, is_captured) = self.found(kind, ns)?;
        let is_everywhere = ns.is_none() && kind.namespaced;
        match self.absent(&resource) {
            Err(why) if !is_captured && objects.found.is_empty() => return Err(why),
            Err(why) if !is_captured || self.coverage(&resource) == Some(PARTIAL) => objects.flaws.push(why),
            // Some namespaces were read, and others not.
            Err(why) if is_everywhere => objects.flaws.push(why),
            Ok(()) if is_everywhere => objects.flaws.extend(self.manifest.failed_within(&resource)),
            _ => {}
        }
        objects.or_flaw()
    }

    /// What the files hold of a kind, and whether there is one for it.
    fn found(&self, kind: Kind, ns: Option<&str>) -> Result<(Objects<'_>, bool), Why> {
        if let Some(cut) = self.tree.cut().filter(|_| self.files_of(kind, ns).is_empty()) {
            return Err(Why::Malformed(cut.to_owned()));
        }
        let mut objects = Objects::default();
        let mut is_captured = false;
        for (ns, path, file) in self.files_of(kind, ns) {
            // Beside what was read of a namespace lies its own object; that says nothing of other namespaces.
            is_captured |= kind != kinds::NAMESPACE || !path.starts_with("namespaces/");
            match self.entries_of(path, file) {
                Ok(entries) => {
                    let found = entries.iter().enumerate().map(|(at, entry)| Found { path, file, at, entry });
                    found.for_each(|found| objects.add(kind, ns, found));
                }
                Err(why) => objects.flaws.push(why),
            }
        }
        Ok((objects, is_captured))
    }

    /// The files that hold objects of a kind, each with its namespace.
    fn files_of(&self, kind: Kind, ns: Option<&str>) -> Vec<(&str, &str, &File)> {
        let group = if kind.group.is_empty() { "core" } else { kind.group };
        let mut files = Vec::new();
        let mut within = |ns, scope: String| {
            let base = format!("{scope}/{group}/{}", kind.plural);
            let folder = format!("{base}/");
            let single = self.tree.below(&folder).filter(|(path, _)| stem(&path[folder.len()..]).is_some());
            files.extend(self.spelled(&base).chain(single).map(|(path, file)| (ns, path, file)));
            if kind == kinds::POD {
                let folder = format!("{scope}/pods/");
                let older = self.tree.below(&folder).filter(|(path, _)| is_pod(&path[folder.len()..]));
                files.extend(older.map(|(path, file)| (ns, path, file)));
            }
        };
        if kind.namespaced {
            let asked = self.namespaces.iter().filter(|name| ns.is_none_or(|ns| ns == **name));
            asked.for_each(|ns| within(ns.as_str(), format!("namespaces/{ns}")));
        } else {
            within("", "cluster-scoped-resources".to_owned());
        }
        if kind == kinds::NAMESPACE {
            for ns in &self.namespaces {
                files.extend(self.spelled(&format!("namespaces/{ns}/{ns}")).map(|(path, file)| ("", path, file)));
            }
        }
        files
    }

    /// The file of this path in each way that its name may end.
    fn spelled(&self, base: &str) -> impl Iterator<Item = (&str, &File)> {
        EXTENSIONS.iter().filter_map(move |extension| self.tree.entry(&format!("{base}{extension}")))
    }

    fn entries_of<'b>(&self, path: &str, file: &'b File) -> Result<&'b [Entry], Why> {
        self.count(path, file);
        match file.items() {
            Ok(items) => Ok(&items.entries),
            Err(why) => Err(Why::Malformed(format!("{path}: {why}"))),
        }
    }

    fn count(&self, path: &str, file: &File) {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.insert(path.to_owned(), file.size());
    }

    fn coverage(&self, what: &str) -> Option<&str> {
        self.manifest.coverage.get(what).map(String::as_str)
    }

    /// What the absence of something means: nothing was there (`Ok`), or why it is unknown.
    pub fn absent(&self, what: &str) -> Result<(), Why> {
        if let Some(cut) = self.tree.cut() {
            return Err(Why::Malformed(cut.to_owned()));
        }
        self.manifest.said(what).unwrap_or(Err(Why::NotCaptured))
    }

    fn log(&self, fact: &Fact, folder: &str, previous: bool) -> Result<Reading, Why> {
        let names: &[&str] = if previous { &["previous.log", "previous.insecure.log"] } else { &["current.log"] };
        let mut log = None;
        for name in names {
            log = self.text(&format!("{folder}/{name}"))?.or(log);
            if log.as_ref().is_some_and(|text| !text.is_empty()) {
                break;
            }
        }
        let log = log.ok_or_else(|| self.unseen(fact))?;
        Ok(self.reading(Answer::Text(end_of_log(&log).to_vec()), Vec::new()))
    }

    fn ceph(&self, fact: &Fact, ns: &str, command: CephCommand) -> Result<Reading, Why> {
        let line = format!("ceph {command}");
        let names = ["_--format_json-pretty", "_--format_json"].map(|format| file_name(&line) + format);
        for name in &names {
            let path = format!("ceph/namespaces/{ns}/must_gather_commands_json_output/{name}");
            if let Some(answer) = self.text(&path)?.filter(|answer| !is_blank(answer)) {
                return Ok(self.reading(Answer::Text(answer), Vec::new()));
            }
        }
        for name in &names {
            if let Some(why) = self.failure(&format!("rookdoctor/ceph/{ns}/{name}"))? {
                return Err(why);
            }
        }
        if let Some(Err(why)) = self.manifest.said(&entry(fact)) {
            return Err(why);
        }
        // That it was read and is not there makes it lost, never healthy.
        Err(match self.absent(&line) {
            Ok(()) | Err(Why::NotOffered(_)) => Why::NotCaptured,
            Err(why) => why,
        })
    }

    /// What a command that ran in a container wrote to stdout.
    fn exec(&self, fact: &Fact, base: &str) -> Result<Reading, Why> {
        if let Some(why) = self.failure(base)? {
            return Err(why);
        }
        let answer = self.text(&format!("{base}.stdout"))?.filter(|answer| !is_blank(answer));
        Ok(self.reading(Answer::Text(answer.ok_or_else(|| self.unseen(fact))?), Vec::new()))
    }

    /// Why a command failed, if it is recorded to have failed.
    fn failure(&self, base: &str) -> Result<Option<Why>, Why> {
        let read =
            |path: String| Ok::<_, Why>(self.text(&path)?.map(|text| String::from_utf8_lossy(&text).trim().to_owned()));
        let stderr: String = read(format!("{base}.stderr"))?.unwrap_or_default();
        let rc = match read(format!("{base}.rc"))? {
            Some(rc) => rc,
            None if stderr.is_empty() => return Ok(None),
            None => "1".to_owned(),
        };
        Ok(match rc.parse() {
            Ok(0) => None,
            _ if rc == "timeout" || stderr.contains("timed out") => Some(Why::Timeout),
            Ok(rc) => {
                let rc = if stderr.contains("EACCES") { EACCES } else { rc };
                Some(Why::Failed { rc, stderr: redact::keys(&stderr) })
            }
            Err(_) => Some(Why::Malformed(format!("{base}.rc: neither an exit status nor `timeout`"))),
        })
    }

    fn text(&self, path: &str) -> Result<Option<Vec<u8>>, Why> {
        let Some(file) = self.tree.file(path) else { return Ok(None) };
        self.count(path, file);
        let bytes = file.bytes().map_err(|why| Why::Malformed(format!("{path}: {why}")))?;
        Ok(Some(bytes.into_owned()))
    }

    /// Why the file of a log or of a command is absent. That it was read and is not there makes it lost.
    fn unseen(&self, fact: &Fact) -> Why {
        self.absent(&entry(fact)).err().unwrap_or(Why::NotCaptured)
    }
}

impl Source for Bundle {
    fn fetch<'a>(&'a self, fact: &'a Fact) -> BoxFuture<'a, Result<Reading, Why>> {
        Box::pin(async move { self.answer(fact) })
    }

    fn now(&self) -> Timestamp {
        self.now
    }

    fn cost(&self) -> Cost {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let requests = self.requests.load(Ordering::Relaxed);
        Cost { requests, bytes: read.values().sum(), ..Cost::default() }
    }

    fn server_version(&self) -> Option<String> {
        self.manifest.server_version.clone()
    }
}

impl<'b> Objects<'b> {
    /// Takes an object in, unless it does not belong where it lies.
    fn add(&mut self, kind: Kind, ns: &'b str, found: Found<'b>) {
        let Found { entry, path, .. } = found;
        let name = entry.name.as_ref();
        let flaw = if name.is_empty() {
            "an object without a name".to_owned()
        } else if entry.kind.as_deref().is_some_and(|there| there != kind.kind) {
            format!("{name} is not a {}", kind.kind)
        } else if kind.namespaced && entry.ns.as_deref().is_some_and(|there| there != ns) {
            format!("{name} is of another namespace")
        } else {
            self.found.entry((ns, name)).or_insert(found);
            return;
        };
        self.flaws.push(Why::Malformed(format!("{path}: {flaw}")));
    }

    /// Nothing found where something was skipped is not to know.
    fn or_flaw(self) -> Result<Self, Why> {
        match self.flaws.first() {
            Some(why) if self.found.is_empty() => Err(why.clone()),
            _ => Ok(self),
        }
    }

    /// Parses what was found, one object after the other, and keeps what is made of each with its namespace. Each
    /// file is gone through once, whatever the order of its objects.
    fn read<T>(&mut self, make: impl Fn(&'b str, Value) -> Option<T>) -> Vec<T> {
        let mut found: Vec<((&str, &str), Found<'b>)> = self.found.iter().map(|(key, found)| (*key, *found)).collect();
        found.sort_unstable_by_key(|(_, found)| (found.path, found.at));
        let mut made = Vec::new();
        for of_file in found.chunk_by(|(_, one), (_, next)| one.path == next.path) {
            let Some((_, Found { path, file, .. })) = of_file.first() else { continue };
            let mut reader = file.reader();
            for (key, found) in of_file {
                match reader.as_mut().map_err(|why| why.clone()).and_then(|reader| reader.read(found.at)) {
                    Ok(object) => made.extend(make(key.0, object).map(|one| (*key, one))),
                    Err(why) => {
                        self.flaws.push(Why::Malformed(format!("{path}: {why}")));
                        break;
                    }
                }
            }
        }
        made.sort_by_key(|(key, _)| *key);
        made.into_iter().map(|(_, one)| one).collect()
    }
}

const EXTENSIONS: [&str; 3] = [".yaml", ".yml", ".json"];

/// An object with what its place in the bundle says of it.
fn whole(kind: Kind, ns: &str, mut object: Value) -> Value {
    if let Value::Object(fields) = &mut object {
        fields.entry("kind").or_insert_with(|| kind.kind.into());
        fields.entry("apiVersion").or_insert_with(|| kind.api_version().into());
        if let Some(Value::Object(metadata)) = fields.get_mut("metadata").filter(|_| kind.namespaced) {
            metadata.entry("namespace").or_insert_with(|| ns.into());
        }
    }
    object
}

/// `group/plural` of the CRD `plural.group`.
fn served_name(crd: &str) -> Option<String> {
    crd.split_once('.').map(|(plural, group)| format!("{group}/{plural}"))
}

/// The name of an object's file in a folder, without its extension.
fn stem(name: &str) -> Option<&str> {
    let stem = EXTENSIONS.iter().find_map(|extension| name.strip_suffix(extension))?;
    (!stem.contains('/')).then_some(stem)
}

/// Whether a path below `pods/` is `<pod>/<pod>.yaml`.
fn is_pod(path: &str) -> bool {
    path.split_once('/').is_some_and(|(pod, file)| stem(file) == Some(pod))
}

/// The folder of the logs of a container.
pub(crate) fn log_path(ns: &str, pod: &str, container: &str) -> String {
    format!("namespaces/{ns}/pods/{pod}/{container}/{container}/logs")
}

/// What a command on an admin socket left behind lies in files that begin so.
pub(crate) fn socket_path(ns: &str, pod: &str, container: &str, daemon: &str, command: &str) -> String {
    let line = format!("ceph --admin-daemon /run/ceph/ceph-{daemon}.asok {command}");
    format!("rookdoctor/exec/{ns}/{pod}/{container}/{}", file_name(&line))
}

/// A command line as the name of its file.
pub(crate) fn file_name(line: &str) -> String {
    line.replace([' ', '/'], "_")
}

fn is_blank(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_whitespace)
}

/// As much of a log as is read of a live one.
pub(crate) fn end_of_log(log: &[u8]) -> &[u8] {
    let skipped = log.len().saturating_sub(LOG_BYTES);
    let mut log = &log[skipped..];
    if skipped > 0 {
        // The first line has lost its beginning.
        log = log.iter().position(|&byte| byte == b'\n').map_or(&[], |end| &log[end + 1..]);
    }
    let lines = log.strip_suffix(b"\n").unwrap_or(log);
    let ends = lines.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    ends.map(|(at, _)| at).nth(LOG_LINES - 1).map_or(log, |at| &log[at + 1..])
}

/// The fields that say when something was last seen. Not those that may lie ahead, such as the end of a
/// certificate or of a deletion.
const SEEN: [&str; 17] = [
    "creationTimestamp",
    "lastTransitionTime",
    "lastHeartbeatTime",
    "lastUpdateTime",
    "lastProbeTime",
    "lastTimestamp",
    "firstTimestamp",
    "eventTime",
    "lastObservedTime",
    "renewTime",
    "startedAt",
    "finishedAt",
    "startTime",
    "completionTime",
    "lastUpdated",
    "lastChecked",
    "lastChanged",
];

/// The newest time stamp of a bundle without a manifest. Its text is searched, because parsing all of a
/// must-gather for a clock would cost more than the diagnosis. What claims to be from later than today is passed
/// over.
pub(super) fn newest(tree: &Tree) -> Timestamp {
    let today = Timestamp::now() + SignedDuration::from_hours(24);
    let files = tree.below("").filter(|(path, _)| !path.starts_with(CRDS));
    let newest = files.filter_map(|(path, file)| {
        if path.ends_with(".log") {
            newest_of_log(&String::from_utf8_lossy(&file.bytes().ok()?), today)
        } else {
            stem(path.rsplit('/').next()?)?;
            file.look_over(|text| newest_of_objects(text, today)).ok()?
        }
    });
    newest.max().unwrap_or(Timestamp::UNIX_EPOCH)
}

fn newest_of_log(text: &str, today: Timestamp) -> Option<Timestamp> {
    let mut stamps = text.lines().rev().take(100).filter_map(|line| line.split_whitespace().next()?.parse().ok());
    stamps.find(|stamp| *stamp <= today)
}

/// `key: value`, as it stands in YAML and in JSON, also on one line.
fn newest_of_objects(text: &[u8], today: Timestamp) -> Option<Timestamp> {
    let stamps = memchr::memchr_iter(b'T', text).filter_map(|at| {
        let is_date = at >= DATE && text[at - DATE..at].iter().all(|byte| byte.is_ascii_digit() || *byte == b'-');
        let before = is_date.then(|| without(&text[..at - DATE], b" \"'"))?;
        let before = without(before.strip_suffix(b":")?, b" \"");
        let is_key = |key: &str| {
            let before = before.strip_suffix(key.as_bytes());
            before.is_some_and(|before| before.last().is_none_or(|byte| b" -\"\n,{}".contains(byte)))
        };
        SEEN.iter().find(|key| is_key(key))?;
        let stamp = text[at - DATE..].split(|byte| b" \"',}\r\n".contains(byte)).next()?;
        std::str::from_utf8(stamp).ok()?.parse().ok()
    });
    stamps.filter(|stamp| *stamp <= today).max()
}

/// A text without these bytes at its end.
fn without<'t>(text: &'t [u8], end: &[u8]) -> &'t [u8] {
    let kept = text.iter().rposition(|byte| !end.contains(byte)).map_or(0, |last| last + 1);
    &text[..kept]
}

/// The length of `2025-03-04`.
const DATE: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    const PODS: &str = "kind: PodList\napiVersion: v1\nitems:\n\
        - metadata: {name: mon-b, namespace: a, labels: {app: rook-ceph-mon}}\n  spec: {nodeName: w1}\n\
        - metadata: {name: mon-a, labels: {app: rook-ceph-mon}}\n  spec: {nodeName: w2}\n";
    const COVERAGE: &str = "schemaVersion: 1\ncaptureTime: '2025-10-14T18:37:45Z'\nserverVersion: v1.32.9\ncoverage:\n  \
        events: ok\n  services: forbidden\n  jobs.batch: timeout\n  ceph status: timeout\n  leases.coordination.k8s.io: 'error: reset'\n";
    const KEY: &str = "AQBvLz1lAAAAABAAq0aJx9Zt1Q2w3E4r5T6y7w==";

    fn tree(files: &[(&str, &str)]) -> Tree {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            archive.append_data(&mut header, path, content.as_bytes()).unwrap();
        }
        Tree::from_archive("test", &archive.into_inner().unwrap()).unwrap()
    }

    fn bundle(files: &[(&str, &str)]) -> Bundle {
        Bundle::from_tree(tree(files)).unwrap()
    }

    fn ask(bundle: &Bundle, fact: Fact) -> Result<Reading, Why> {
        futures::executor::block_on(bundle.fetch(&fact))
    }

    fn list(kind: Kind, ns: Option<&str>) -> Fact {
        Fact::List { kind, ns: ns.map(str::to_owned), select: Select::all() }
    }

    fn name_of(object: &Value) -> &str {
        object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
    }

    fn names(reading: &Reading) -> Vec<&str> {
        let Answer::Objects(objects) = &reading.answer else { panic!("not objects: {reading:?}") };
        objects.iter().map(name_of).collect()
    }

    fn text(reading: Result<Reading, Why>) -> Result<String, Why> {
        match reading?.answer {
            Answer::Text(text) => Ok(String::from_utf8(text).unwrap()),
            other => panic!("not text: {other:?}"),
        }
    }

    #[test]
    fn an_object_counts_once_and_knows_its_place() {
        let bundle = bundle(&[
            ("namespaces/a/core/pods.yaml", PODS),
            ("namespaces/a/core/pods/mon-b.yaml", "kind: Pod\nmetadata: {name: mon-b, namespace: a}\n"),
            ("namespaces/a/pods/osd-0/osd-0.yaml", "kind: Pod\nmetadata: {name: osd-0, namespace: a}\n"),
            ("namespaces/b/core/pods.json", r#"{"kind":"PodList","items":[]}"#),
            ("cluster-scoped-resources/core/nodes/w1.yaml", "kind: Node\nmetadata: {name: w1}\n"),
        ]);
        let all = ask(&bundle, list(kinds::POD, None)).unwrap();
        assert_eq!(names(&all), ["mon-a", "mon-b", "osd-0"]);
        // Nothing says that all namespaces were read; of one namespace all is there.
        assert_eq!(all.flaws, [Why::NotCaptured]);
        assert!(ask(&bundle, list(kinds::POD, Some("a"))).unwrap().flaws.is_empty());
        let Answer::Objects(objects) = &all.answer else { panic!() };
        assert_eq!((&objects[0]["metadata"]["namespace"], &objects[0]["kind"]), (&"a".into(), &"Pod".into()));
        assert!(names(&ask(&bundle, list(kinds::POD, Some("b"))).unwrap()).is_empty());
        assert_eq!(names(&ask(&bundle, list(kinds::NODE, None)).unwrap()), ["w1"]);
        let select = Select { label: "app=rook-ceph-mon".into(), field: "spec.nodeName=w1".into() };
        let chosen = ask(&bundle, Fact::List { kind: kinds::POD, ns: Some("a".into()), select }).unwrap();
        assert_eq!(names(&chosen), ["mon-b"]);
        let rows = Fact::Rows { kind: kinds::POD, ns: String::new(), label: "app".into() };
        let Answer::Rows(table) = ask(&bundle, rows).unwrap().answer else { panic!() };
        assert_eq!(table.cells.iter().map(|row| row[0].as_str().unwrap()).collect::<Vec<_>>(), ["mon-a", "mon-b"]);
        let one = |name: &str| Fact::Object { kind: kinds::POD, ns: "a".into(), name: name.into() };
        assert_eq!(names(&ask(&bundle, one("osd-0")).unwrap()), ["osd-0"]);
        assert!(names(&ask(&bundle, one("osd-1")).unwrap()).is_empty());
        assert!(bundle.cost().requests == 8 && bundle.cost().bytes > 0);
    }

    #[test]
    fn absent_is_unknown_and_empty_is_none() {
        let bundle = bundle(&[
            ("namespaces/a/a.yaml", "kind: Namespace"),
            ("namespaces/a/core/pods.yaml", PODS),
            ("rookdoctor/manifest.yaml", COVERAGE),
        ]);
        for (kind, ns, expected) in [
            (kinds::EVENT, Some("a"), Ok(0)),
            (kinds::EVENT, None, Ok(0)),
            (kinds::EVENT, Some("nowhere"), Ok(0)),
            (kinds::POD, None, Ok(2)),
            (kinds::POD, Some("nowhere"), Err(Why::NotCaptured)),
            (kinds::NODE, None, Err(Why::NotCaptured)),
            (kinds::SERVICE, None, Err(Why::Forbidden(String::new()))),
            (kinds::JOB, Some("a"), Err(Why::Timeout)),
            (kinds::LEASE, Some("a"), Err(Why::Unreachable("reset".into()))),
        ] {
            let read = ask(&bundle, list(kind, ns)).map(|reading| names(&reading).len());
            assert_eq!(read, expected, "{} {ns:?}", kind.plural);
        }
        assert_eq!(bundle.now(), "2025-10-14T18:37:45Z".parse().unwrap());
        assert_eq!(bundle.server_version().as_deref(), Some("v1.32.9"));
    }

    #[test]
    fn coverage_may_speak_of_one_namespace() {
        let refused = "coverage: {pods: ok, pods/b: 'forbidden: no', mutatingwebhookconfigurations.admissionregistration.k8s.io: partial}";
        let hook = "cluster-scoped-resources/admissionregistration.k8s.io/mutatingwebhookconfigurations/h.yaml";
        let bundle = bundle(&[
            ("namespaces/a/core/pods.yaml", PODS),
            (hook, "kind: MutatingWebhookConfiguration\nmetadata: {name: h}\n"),
            ("rookdoctor/manifest.yaml", refused),
        ]);
        let no = Why::Forbidden("no".into());
        assert_eq!(ask(&bundle, list(kinds::POD, None)).unwrap().flaws, std::slice::from_ref(&no));
        assert!(ask(&bundle, list(kinds::POD, Some("a"))).unwrap().flaws.is_empty());
        assert_eq!(ask(&bundle, list(kinds::POD, Some("b"))).unwrap_err(), no);
        assert!(names(&ask(&bundle, list(kinds::POD, Some("c"))).unwrap()).is_empty());
        let some = ask(&bundle, list(kinds::MUTATING_WEBHOOKS, None)).unwrap();
        assert_eq!((names(&some), &some.flaws[..]), (vec!["h"], &[Why::NotCaptured][..]));
    }

    #[test]
    fn a_namespace_that_was_not_recorded_may_exist() {
        let own = ("namespaces/a/a.yaml", "kind: Namespace\nmetadata: {name: a}\n");
        let of = |bundle: &Bundle, name: &str| {
            let fact = Fact::Object { kind: kinds::NAMESPACE, ns: String::new(), name: name.into() };
            ask(bundle, fact).map(|reading| names(&reading).concat())
        };
        let some = bundle(&[own, ("namespaces/b/core/pods.yaml", PODS)]);
        assert_eq!(of(&some, "a"), Ok("a".to_owned()));
        assert_eq!(of(&some, "b"), Err(Why::NotCaptured));
        assert_eq!(of(&bundle(&[("namespaces/b/core/pods.yaml", PODS)]), "b"), Err(Why::NotCaptured));
        let all = bundle(&[own, ("rookdoctor/manifest.yaml", "coverage: {namespaces: ok}")]);
        assert_eq!((of(&all, "a"), of(&all, "b")), (Ok("a".to_owned()), Ok(String::new())));
        let refused = bundle(&[own, ("rookdoctor/manifest.yaml", "coverage: {namespaces: forbidden}")]);
        assert_eq!(of(&refused, "b"), Err(Why::Forbidden(String::new())));
    }

    #[test]
    fn what_was_read_of_one_namespace_says_nothing_of_another() {
        let manifest = "coverage: {pods/a: ok, pods/c: ok, pods/d: forbidden, services/*: forbidden, services/a: ok, \
             jobs.batch: ok, jobs.batch/a: timeout, configmaps/a: 'forbidden: list', configmaps/a/one: ok, \
             configmaps/a/two: ok, configmaps/a/three: timeout}";
        let bundle = bundle(&[
            ("namespaces/a/core/pods.yaml", PODS),
            ("namespaces/d/core/pods/x.yaml", "kind: Pod\nmetadata: {name: x}\n"),
            ("namespaces/a/core/services.yaml", "kind: List\nitems: [{metadata: {name: s}}]\n"),
            ("namespaces/a/core/configmaps/one.yaml", "kind: ConfigMap\nmetadata: {name: one}\n"),
            ("rookdoctor/manifest.yaml", manifest),
        ]);
        let forbidden = || Err(Why::Forbidden(String::new()));
        for (kind, ns, expected) in [
            (kinds::POD, Some("a"), Ok(2)),
            (kinds::POD, Some("b"), Err(Why::NotCaptured)),
            (kinds::POD, Some("c"), Ok(0)),
            (kinds::POD, Some("d"), forbidden()),
            (kinds::SERVICE, Some("a"), Ok(1)),
            (kinds::SERVICE, Some("b"), Err(Why::NotCaptured)),
            (kinds::SERVICE, None, forbidden()),
            (kinds::JOB, Some("a"), Err(Why::Timeout)),
            (kinds::JOB, Some("b"), Ok(0)),
            (kinds::CONFIG_MAP, Some("a"), Err(Why::Forbidden("list".into()))),
        ] {
            let read = ask(&bundle, list(kind, ns)).map(|reading| names(&reading).len());
            assert_eq!(read, expected, "{} {ns:?}", kind.plural);
        }
        // Of all namespaces the pods of some are known, which proves nothing of the rest.
        assert_eq!(ask(&bundle, list(kinds::POD, None)).unwrap().flaws, [Why::NotCaptured]);
        let select = Select::label("app=none");
        let none = ask(&bundle, Fact::List { kind: kinds::POD, ns: None, select }).unwrap();
        assert!(names(&none).is_empty() && none.flaws == [Why::NotCaptured]);
        let map = |name: &str| {
            let fact = Fact::Object { kind: kinds::CONFIG_MAP, ns: "a".into(), name: name.into() };
            ask(&bundle, fact).map(|reading| (names(&reading).len(), reading.flaws.len()))
        };
        assert_eq!((map("one"), map("two"), map("three")), (Ok((1, 0)), Ok((0, 0)), Err(Why::Timeout)));
        assert_eq!(map("four"), Err(Why::Forbidden("list".into())));
    }

    #[test]
    fn logs_and_commands_say_why_they_are_absent() {
        let manifest = "coverage: {log/a/p/c: 'error: 500: no route to host', previous log/a/p/c: ok, \
             ceph status/a: 'forbidden: pods/exec', ceph status: ok, ceph osd tree/a: 'error: not offered: no caps', \
             socket/a/p/mon/mon.a mon_status: 'error: 404: gone'}";
        let bundle = bundle(&[("namespaces/a/a.yaml", "kind: Namespace"), ("rookdoctor/manifest.yaml", manifest)]);
        let (ns, pod) = (|| "a".to_owned(), || "p".to_owned());
        let log = |previous| Fact::Log { ns: ns(), pod: pod(), container: "c".into(), previous };
        let (daemon, container) = ("mon.a".into(), "mon".into());
        let socket = Fact::Socket { ns: ns(), pod: pod(), container, daemon, command: "mon_status" };
        for (fact, expected) in [
            (log(false), Why::Unreachable("500: no route to host".into())),
            (log(true), Why::NotCaptured),
            (Fact::Ceph { ns: ns(), command: CephCommand::Status }, Why::Forbidden("pods/exec".into())),
            (Fact::Ceph { ns: "b".into(), command: CephCommand::Status }, Why::NotCaptured),
            (Fact::Ceph { ns: ns(), command: CephCommand::OsdTree }, Why::NotOffered("no caps".into())),
            (socket, Why::Unreachable("404: gone".into())),
        ] {
            assert_eq!(ask(&bundle, fact.clone()).unwrap_err(), expected, "{fact}");
        }
    }

    #[test]
    fn a_broken_file_is_a_flaw_and_never_an_absence() {
        let bundle = bundle(&[
            ("namespaces/a/core/pods.yaml", PODS),
            ("namespaces/b/core/pods.yaml", "kind: PodList\nitems: [}"),
            ("namespaces/b/core/services.yaml", ""),
        ]);
        let all = ask(&bundle, list(kinds::POD, None)).unwrap();
        assert_eq!(names(&all), ["mon-a", "mon-b"]);
        let [Why::Malformed(why), Why::NotCaptured] = &all.flaws[..] else { panic!("{:?}", all.flaws) };
        assert!(why.starts_with("namespaces/b/core/pods.yaml: "));
        assert!(ask(&bundle, list(kinds::POD, Some("a"))).unwrap().flaws.is_empty());
        assert!(matches!(ask(&bundle, list(kinds::POD, Some("b"))), Err(Why::Malformed(_))));
        assert!(matches!(ask(&bundle, list(kinds::SERVICE, None)), Err(Why::Malformed(_))));
        let lost = Fact::Object { kind: kinds::POD, ns: "b".into(), name: "x".into() };
        assert!(matches!(ask(&bundle, lost), Err(Why::Malformed(_))));
    }

    #[test]
    fn discovery_follows_the_crds() {
        let asked = ("rookdoctor/manifest.yaml", "coverage: {cephclusters.ceph.rook.io/*: forbidden}");
        let served = |files: &[(&str, &str)]| match ask(&bundle(files), Fact::Discovery).unwrap().answer {
            Answer::Kinds(kinds) => {
                ["ceph.rook.io/cephclusters", "kubeovn.io/subnets", "/pods"].map(|kind| kinds.contains(kind))
            }
            other => panic!("{other:?}"),
        };
        let crd = format!("{CRDS}/cephclusters.ceph.rook.io.yaml");
        let subnets = ("cluster-scoped-resources/kubeovn.io/subnets.yaml", "kind: List\nitems: []");
        // Another tool gathers single CRDs; a list of them is not said to be all.
        assert_eq!(served(&[(&crd, "x"), subnets]), [true, true, true]);
        let whole = ("rookdoctor/manifest.yaml", "coverage: {customresourcedefinitions.apiextensions.k8s.io: ok}");
        assert_eq!(served(&[(&crd, "x"), subnets, whole]), [true, false, true]);
        let list = "kind: List\nitems: [{metadata: {name: cephclusters.ceph.rook.io}}]";
        assert_eq!(served(&[(&format!("{CRDS}.yaml"), list), whole]), [true, false, true]);
        let silent = ("rookdoctor/manifest.yaml", "schemaVersion: 1");
        assert_eq!(served(&[(&crd, "x"), silent]), [true, false, true]);
        assert_eq!(served(&[subnets]), [true, true, true]);
        assert_eq!(served(&[subnets, asked]), [true, true, true]);
        let manifest = (
            "rookdoctor/manifest.yaml",
            "coverage: {subnets.kubeovn.io: not-found, cephclusters.ceph.rook.io: forbidden}",
        );
        assert_eq!(served(&[subnets, manifest]), [true, false, true]);
    }

    #[test]
    fn a_command_that_failed_is_never_healthy() {
        let json = "ceph/namespaces/a/must_gather_commands_json_output/ceph";
        let failed = "rookdoctor/ceph/a/ceph";
        let denied = format!("Error EACCES: access denied {KEY}");
        let bundle = bundle(&[
            ("namespaces/a/a.yaml", "kind: Namespace"),
            ("rookdoctor/manifest.yaml", COVERAGE),
            (&format!("{json}_osd_tree_--format_json-pretty"), "{}"),
            (&format!("{json}_osd_dump_--format_json"), "[]"),
            (&format!("{json}_health_detail_--format_json-pretty"), "\n"),
            (&format!("{failed}_fs_dump_--format_json-pretty.rc"), "13"),
            (&format!("{failed}_fs_dump_--format_json-pretty.stderr"), &denied),
            (&format!("{failed}_quorum_status_--format_json-pretty.rc"), "1\n"),
            (&format!("{failed}_quorum_status_--format_json-pretty.stderr"), "timed out\n"),
            (&format!("{failed}_time-sync-status_--format_json.rc"), "timeout"),
        ]);
        let stderr = "Error EACCES: access denied <redacted>".to_owned();
        for (command, expected) in [
            (CephCommand::OsdTree, Ok("{}".to_owned())),
            (CephCommand::OsdDump, Ok("[]".to_owned())),
            (CephCommand::HealthDetail, Err(Why::NotCaptured)),
            (CephCommand::FsDump, Err(Why::Failed { rc: 13, stderr })),
            (CephCommand::QuorumStatus, Err(Why::Timeout)),
            (CephCommand::TimeSyncStatus, Err(Why::Timeout)),
            (CephCommand::Status, Err(Why::Timeout)),
            (CephCommand::Versions, Err(Why::NotCaptured)),
        ] {
            assert_eq!(text(ask(&bundle, Fact::Ceph { ns: "a".into(), command })), expected, "{command}");
        }
    }

    #[test]
    fn sockets_answer_or_say_why_not() {
        let base = |mon: &str| {
            format!("rookdoctor/exec/a/mon-{mon}/mon/ceph_--admin-daemon__run_ceph_ceph-mon.{mon}.asok_mon_status")
        };
        let bundle = bundle(&[
            ("namespaces/a/a.yaml", "kind: Namespace"),
            (&(base("a") + ".stdout"), "{}"),
            (&(base("a") + ".rc"), "0"),
            (&(base("b") + ".stdout"), "{}"),
            (&(base("b") + ".rc"), "22"),
            (&(base("b") + ".stderr"), "admin_socket: invalid command"),
            (&(base("c") + ".rc"), "timeout"),
            (&(base("d") + ".rc"), "0"),
        ]);
        let stderr = "admin_socket: invalid command".to_owned();
        for (mon, expected) in [
            ("a", Ok("{}".to_owned())),
            ("b", Err(Why::Failed { rc: 22, stderr })),
            ("c", Err(Why::Timeout)),
            ("d", Err(Why::NotCaptured)),
            ("e", Err(Why::NotCaptured)),
        ] {
            let fact = Fact::Socket {
                ns: "a".into(),
                pod: format!("mon-{mon}"),
                container: "mon".into(),
                daemon: format!("mon.{mon}"),
                command: "mon_status",
            };
            assert_eq!(text(ask(&bundle, fact)), expected, "mon.{mon}");
        }
    }

    #[test]
    fn logs_are_cut_as_live_ones_are() {
        let logs = "namespaces/a/pods/p/c/c/logs";
        let long: String = (0..LOG_LINES + 10).map(|line| format!("line {line}\n")).collect();
        let bundle = bundle(&[
            (&format!("{logs}/current.log"), &long),
            (&format!("{logs}/previous.log"), ""),
            (&format!("{logs}/previous.insecure.log"), "2025-10-14T18:37:45.5Z fatal\n"),
        ]);
        let log = |container: &str, previous| {
            let fact = Fact::Log { ns: "a".into(), pod: "p".into(), container: container.into(), previous };
            text(ask(&bundle, fact))
        };
        let current = log("c", false).unwrap();
        assert_eq!((current.lines().count(), current.lines().next()), (LOG_LINES, Some("line 10")));
        assert!(log("c", true).unwrap().ends_with("fatal\n"));
        assert_eq!(log("d", false), Err(Why::NotCaptured));
        assert_eq!(bundle.now(), "2025-10-14T18:37:45.5Z".parse().unwrap());
        let wide = [vec![b'x'; LOG_BYTES], b"\nthe end".to_vec()].concat();
        assert_eq!(end_of_log(&wide), b"the end");
    }

    #[test]
    fn the_clock_is_the_newest_time_that_was_seen() {
        let event = "- {lastTimestamp: '2025-03-04T14:20:32Z', deletionTimestamp: '2030-01-01T00:00:00Z'}";
        let today = "2026-01-01T00:00:00Z".parse().unwrap();
        let newest = |text: &str| newest_of_objects(text.as_bytes(), today).map(|at| at.to_string());
        let seen = |at: &str| Some(at.to_owned());
        assert_eq!(newest(event), seen("2025-03-04T14:20:32Z"));
        let json =
            r#"{"metadata":{"creationTimestamp":"2025-03-04T14:20:33Z"},"spec":{"notAfter":"2035-01-01T00:00:00Z"}}"#;
        assert_eq!(newest(json), seen("2025-03-04T14:20:33Z"));
        let other = "f:startTime: 2025-03-04T14:20:32Z\nmyrenewTime: 2025-03-04T14:20:32Z\nT\nstartTime: xxxx-xx-xxT";
        assert_eq!(newest(other), None);
        let ahead = "renewTime: 2025-03-04T14:20:32.123456Z\r\n  - startTime: 9999-12-31T23:59:59Z";
        assert_eq!(newest(ahead), seen("2025-03-04T14:20:32.123456Z"));
        let log = newest_of_log("2025-03-04T14:20:32Z a\n9999-03-04T14:20:33Z b\nc\n", today);
        assert_eq!(log, "2025-03-04T14:20:32Z".parse().ok());
    }

    #[test]
    fn a_newer_manifest_is_refused_and_a_broken_one_is_a_flaw() {
        let manifest = |text| tree(&[("namespaces/a/core/pods.yaml", PODS), (MANIFEST, text)]);
        let newer = Bundle::from_tree(manifest("schemaVersion: 2"));
        assert!(matches!(newer, Err(BundleError::Newer { found: 2 })));
        let broken = Bundle::from_tree(manifest("captureTime: [")).unwrap();
        let pods = ask(&broken, list(kinds::POD, Some("a"))).unwrap();
        assert!(matches!(&pods.flaws[..], [Why::Malformed(why)] if why.starts_with(MANIFEST)));
    }
}
