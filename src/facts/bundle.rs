//! A recorded cluster as a source of facts: the layout that `oc adm inspect` and must-gather write, and what
//! `capture` adds below `rookdoctor/`.
//!
//! A file that is absent is unknown, unless the manifest says that its kind was read: then there was nothing.
//! A broken file is skipped; every answer that it belongs to says so.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use futures::future::BoxFuture;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::archive::{BundleError, File, LOG_BYTES, Tree};
use super::select::labels_match;
use super::{Answer, CephCommand, Cost, Fact, Kind, Reading, Select, Source, Why, kinds, printed, redact, yaml};

/// The version of the manifest that is written, and the newest that is read.
const SCHEMA: u64 = 1;
/// What a diagnosis reads of a log, in lines.
pub const LOG_LINES: usize = 2000;
const MANIFEST: &str = "rookdoctor/manifest.yaml";
const CRDS: &str = "cluster-scoped-resources/apiextensions.k8s.io/customresourcedefinitions";

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

/// `rookdoctor/manifest.yaml`
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Manifest {
    schema_version: u64,
    capture_time: Option<Timestamp>,
    server_version: Option<String>,
    coverage: BTreeMap<String, String>,
}

/// Objects of one kind and what had to be skipped to read them.
#[derive(Default)]
struct Objects<'b> {
    /// By namespace and name, as a server lists them. The same object from two files counts once.
    found: BTreeMap<(&'b str, &'b str), &'b Value>,
    flaws: Vec<Why>,
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

    /// A scenario: the base without what matches `removed`, and with the files of a folder in front.
    pub fn overlay(base: &Tree, folder: &Path, removed: &[String]) -> Result<Self, BundleError> {
        Self::from_tree(base.overlay(&Tree::folder(folder)?, removed)?)
    }

    /// A bundle of files that are already open.
    pub fn from_tree(tree: Tree) -> Result<Self, BundleError> {
        let damage = tree.damage().iter().map(String::as_str).chain(tree.cut());
        let mut flaws: Vec<Why> = damage.map(|why| Why::Malformed(why.to_owned())).collect();
        let manifest = match tree.file(MANIFEST).map(read_manifest) {
            None => Manifest::default(),
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

    fn answer(&self, fact: &Fact) -> Result<Reading, Why> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        match fact {
            Fact::Discovery => self.discovery(),
            Fact::Rows { kind, ns, label } => self.rows(*kind, ns, label),
            Fact::List { kind, ns, select } => self.list(*kind, ns.as_deref(), select),
            Fact::Object { kind, ns, name } => self.object(*kind, ns, name),
            Fact::Log { ns, pod, container, previous } => self.log(ns, pod, container, *previous),
            Fact::Ceph { ns, command } => self.ceph(ns, *command),
            Fact::Socket { ns, pod, container, daemon, command } => {
                let command = format!("ceph --admin-daemon /run/ceph/ceph-{daemon}.asok {command}");
                self.exec(&format!("rookdoctor/exec/{ns}/{pod}/{container}/{}", file_name(&command)))
            }
        }
    }

    /// An answer, with the flaws of the bundle as a whole.
    fn reading(&self, answer: Answer, flaws: Vec<Why>) -> Reading {
        Reading { answer, flaws: [flaws, self.flaws.clone()].concat() }
    }

    fn discovery(&self) -> Result<Reading, Why> {
        let (mut served, flaws) = self.crds();
        for kind in kinds::ALL {
            let name = format!("{}/{}", kind.group, kind.plural);
            let coverage = self.manifest.coverage.get(&kind.resource()).map(String::as_str);
            // Of a bundle that was cut off nothing can be said to be absent: its lists then say why.
            if !kind.is_custom() || self.tree.cut().is_some() || (served.is_none() && self.may_serve(kind, coverage)) {
                served.get_or_insert_default().insert(name);
            } else if coverage == Some("not-found") {
                served.get_or_insert_default().remove(&name);
            }
        }
        Ok(self.reading(Answer::Kinds(served.unwrap_or_default()), flaws))
    }

    /// The kinds of the CRD folder, if the bundle has one. A CRD is named `<plural>.<group>`.
    fn crds(&self) -> (Option<BTreeSet<String>>, Vec<Why>) {
        let (mut served, mut flaws) = (BTreeSet::new(), Vec::new());
        let mut is_captured = false;
        let folder = format!("{CRDS}/");
        for (path, _) in self.tree.below(&folder) {
            is_captured = true;
            served.extend(stem(&path[folder.len()..]).and_then(served_name));
        }
        for (path, file) in self.spelled(CRDS) {
            is_captured = true;
            match self.objects_of(path, file) {
                Ok(crds) => served.extend(crds.iter().filter_map(|crd| served_name(name_of(crd)))),
                Err(why) => flaws.push(why),
            }
        }
        (is_captured.then_some(served), flaws)
    }

    /// Without CRDs: whether something of the kind's group was read.
    fn may_serve(&self, kind: &Kind, coverage: Option<&str>) -> bool {
        if let Some(coverage) = coverage {
            return coverage != "not-found";
        }
        let of_group = |prefix: &str| self.tree.below(prefix).next().is_some();
        of_group(&format!("cluster-scoped-resources/{}/", kind.group))
            || self.namespaces.iter().any(|ns| of_group(&format!("namespaces/{ns}/{}/", kind.group)))
    }

    fn rows(&self, kind: Kind, ns: &str, label: &str) -> Result<Reading, Why> {
        let objects = self.objects(kind, Some(ns).filter(|ns| !ns.is_empty()))?;
        let is_chosen = |object: &&Value| labels_match(label, object.pointer("/metadata/labels"));
        let chosen: Vec<&Value> = objects.found.values().copied().filter(is_chosen).collect();
        let table = printed::table(kind, &chosen, self.now).map_err(Why::Malformed)?;
        Ok(self.reading(Answer::Rows(table), objects.flaws))
    }

    fn list(&self, kind: Kind, ns: Option<&str>, select: &Select) -> Result<Reading, Why> {
        let objects = self.objects(kind, ns)?;
        let chosen = objects.found.iter().filter(|(_, object)| select.matches(object));
        let chosen = chosen.map(|(&(ns, _), object)| whole(kind, ns, object)).collect();
        Ok(self.reading(Answer::Objects(chosen), objects.flaws))
    }

    /// One object. Not finding it where something was skipped is not to know.
    fn object(&self, kind: Kind, ns: &str, name: &str) -> Result<Reading, Why> {
        let objects = self.objects(kind, Some(ns))?;
        match (objects.found.get(&(ns, name)), objects.flaws.first()) {
            (None, Some(why)) => Err(why.clone()),
            (object, _) => {
                let object = object.map(|object| whole(kind, ns, object));
                Ok(self.reading(Answer::Objects(object.into_iter().collect()), objects.flaws))
            }
        }
    }

    /// Every object of a kind, in one namespace or in all.
    fn objects(&self, kind: Kind, ns: Option<&str>) -> Result<Objects<'_>, Why> {
        let mut objects = Objects::default();
        let mut is_captured = false;
        for (ns, path, file) in self.files_of(kind, ns) {
            is_captured = true;
            match self.objects_of(path, file) {
                Ok(read) => read.iter().for_each(|object| objects.add(kind, ns, path, object)),
                Err(why) => objects.flaws.push(why),
            }
        }
        match self.absent(&kind.resource()) {
            Err(why) if !is_captured => return Err(why),
            // Some namespaces were read and others refused.
            Err(why) if ns.is_none() && kind.namespaced && why != Why::NotCaptured => objects.flaws.push(why),
            _ => {}
        }
        match objects.flaws.first() {
            Some(why) if objects.found.is_empty() => Err(why.clone()),
            _ => Ok(objects),
        }
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
        files
    }

    /// The file of this path in each way that its name may end.
    fn spelled(&self, base: &str) -> impl Iterator<Item = (&str, &File)> {
        EXTENSIONS.iter().filter_map(move |extension| self.tree.entry(&format!("{base}{extension}")))
    }

    fn objects_of<'b>(&self, path: &str, file: &'b File) -> Result<&'b [Value], Why> {
        self.count(path, file);
        file.objects().map_err(|why| Why::Malformed(format!("{path}: {why}")))
    }

    fn count(&self, path: &str, file: &File) {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.insert(path.to_owned(), file.size());
    }

    /// What the absence of something means: nothing was there (`Ok`), or why it is unknown.
    fn absent(&self, what: &str) -> Result<(), Why> {
        if let Some(cut) = self.tree.cut() {
            return Err(Why::Malformed(cut.to_owned()));
        }
        let coverage = self.manifest.coverage.get(what).map(String::as_str);
        let (word, text) = coverage.map_or(("", ""), |coverage| coverage.split_once(':').unwrap_or((coverage, "")));
        let text = redact::keys(text);
        Err(match word {
            "ok" => return Ok(()),
            "" => Why::NotCaptured,
            "forbidden" => Why::Forbidden(text),
            "timeout" => Why::Timeout,
            "not-found" => Why::NotOffered(format!("{what} was not found")),
            _ if text.contains("EACCES") => Why::Failed { rc: EACCES, stderr: text },
            _ if text.is_empty() => Why::Unreachable(redact::keys(word)),
            _ => Why::Unreachable(text),
        })
    }

    fn log(&self, ns: &str, pod: &str, container: &str, previous: bool) -> Result<Reading, Why> {
        let names: &[&str] = if previous { &["previous.log", "previous.insecure.log"] } else { &["current.log"] };
        let mut log = None;
        for name in names {
            let path = format!("namespaces/{ns}/pods/{pod}/{container}/{container}/logs/{name}");
            log = self.text(&path)?.or(log);
            if log.as_ref().is_some_and(|text| !text.is_empty()) {
                break;
            }
        }
        let log = log.ok_or_else(|| self.unseen())?;
        Ok(self.reading(Answer::Text(end_of_log(&log).to_vec()), Vec::new()))
    }

    fn ceph(&self, ns: &str, command: CephCommand) -> Result<Reading, Why> {
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
        // That it was read and is not there makes it lost, never healthy.
        Err(match self.absent(&line) {
            Ok(()) | Err(Why::NotOffered(_)) => Why::NotCaptured,
            Err(why) => why,
        })
    }

    /// What a command that ran in a container wrote to stdout.
    fn exec(&self, base: &str) -> Result<Reading, Why> {
        if let Some(why) = self.failure(base)? {
            return Err(why);
        }
        let answer = self.text(&format!("{base}.stdout"))?.filter(|answer| !is_blank(answer));
        Ok(self.reading(Answer::Text(answer.ok_or_else(|| self.unseen())?), Vec::new()))
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

    /// Why a file that no coverage speaks of is absent.
    fn unseen(&self) -> Why {
        self.tree.cut().map_or(Why::NotCaptured, |cut| Why::Malformed(cut.to_owned()))
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
    fn add(&mut self, kind: Kind, ns: &'b str, path: &str, object: &'b Value) {
        let name = name_of(object);
        let field = |path| object.pointer(path).and_then(Value::as_str);
        let flaw = if name.is_empty() {
            "an object without a name".to_owned()
        } else if field("/kind").is_some_and(|there| there != kind.kind) {
            format!("{name} is not a {}", kind.kind)
        } else if kind.namespaced && field("/metadata/namespace").is_some_and(|there| there != ns) {
            format!("{name} is of another namespace")
        } else {
            self.found.entry((ns, name)).or_insert(object);
            return;
        };
        self.flaws.push(Why::Malformed(format!("{path}: {flaw}")));
    }
}

/// The exit status of a command that Ceph did not allow.
const EACCES: i32 = 13;
const EXTENSIONS: [&str; 3] = [".yaml", ".yml", ".json"];

fn read_manifest(file: &File) -> Result<Manifest, String> {
    let documents = yaml::documents(&file.bytes()?)?;
    let manifest = documents.into_iter().next().ok_or("the file is empty")?;
    serde_json::from_value(manifest).map_err(|error| error.to_string())
}

/// An object with what its place in the bundle says of it.
fn whole(kind: Kind, ns: &str, object: &Value) -> Value {
    let mut object = object.clone();
    if let Value::Object(fields) = &mut object {
        fields.entry("kind").or_insert_with(|| kind.kind.into());
        fields.entry("apiVersion").or_insert_with(|| kind.api_version().into());
        if let Some(Value::Object(metadata)) = fields.get_mut("metadata").filter(|_| kind.namespaced) {
            metadata.entry("namespace").or_insert_with(|| ns.into());
        }
    }
    object
}

fn name_of(object: &Value) -> &str {
    object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
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

/// A command line as the name of its file.
fn file_name(line: &str) -> String {
    line.replace([' ', '/'], "_")
}

fn is_blank(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_whitespace)
}

/// As much of a log as is read of a live one.
pub(super) fn end_of_log(log: &[u8]) -> &[u8] {
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
/// must-gather for a clock would cost more than the diagnosis.
fn newest(tree: &Tree) -> Timestamp {
    let files = tree.below("").filter(|(path, _)| !path.starts_with(CRDS));
    let newest = files.filter_map(|(path, file)| {
        let is_log = path.ends_with(".log");
        if !is_log && stem(path.rsplit('/').next()?).is_none() {
            return None;
        }
        let bytes = file.bytes().ok()?;
        let text = String::from_utf8_lossy(&bytes);
        if is_log { newest_of_log(&text) } else { newest_of_objects(&text) }
    });
    newest.max().unwrap_or(Timestamp::UNIX_EPOCH)
}

fn newest_of_log(text: &str) -> Option<Timestamp> {
    text.lines().rev().take(100).find_map(|line| line.split_whitespace().next()?.parse().ok())
}

/// `key: value`, as it stands in YAML and in JSON, also on one line.
fn newest_of_objects(text: &str) -> Option<Timestamp> {
    let fields = text.split(['\n', ',', '{', '}']).filter_map(|field| field.split_once(':'));
    let seen = fields.filter(|(key, _)| SEEN.contains(&key.trim_matches([' ', '-', '"'])));
    seen.filter_map(|(_, at)| at.trim_matches([' ', '"', '\'', '\r']).parse().ok()).max()
}
