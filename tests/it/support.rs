//! Scenarios: a recorded base cluster and what differs, and what the diagnosis of it must say.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use rookdoctor::checks;
use rookdoctor::diagnosis::{Diagnosis, Scope, diagnose, places};
use rookdoctor::examples;
use rookdoctor::facts::archive::Tree;
use rookdoctor::facts::bundle::Bundle;
use rookdoctor::facts::{Cost, Source};
use rookdoctor::report::{FailOn, Run, SourceKind};
use serde::Deserialize;
use serde_json::Value;

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios")
}

/// A recorded cluster of the binary, unpacked and parsed once per process.
pub fn base(name: &str) -> Tree {
    static BASES: LazyLock<Mutex<BTreeMap<String, Tree>>> = LazyLock::new(Mutex::default);
    let mut bases = BASES.lock().unwrap();
    let tree = bases.entry(name.to_owned()).or_insert_with(|| {
        let example = examples::ALL.iter().find(|example| example.name == name);
        let example = example.unwrap_or_else(|| panic!("there is no recorded cluster {name}"));
        Tree::from_archive(name, example.archive).unwrap()
    });
    tree.clone()
}

/// What differs from the base, and what the diagnosis must say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    #[serde(skip)]
    pub name: String,
    #[serde(skip)]
    pub folder: PathBuf,
    #[expect(dead_code, reason = "for the reader of the scenario")]
    pub about: String,
    pub base: String,
    #[serde(default)]
    pub patch: Vec<Patch>,
    #[serde(default)]
    pub delete: Vec<Delete>,
    #[serde(default)]
    pub remove: Vec<String>,
    #[serde(default)]
    pub add: Vec<Add>,
    #[serde(default)]
    pub write: BTreeMap<String, String>,
    pub expect: Expect,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Patch {
    path: String,
    name: String,
    #[serde(default)]
    merge: Option<Value>,
    #[serde(default)]
    set: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delete {
    path: String,
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Add {
    path: String,
    objects: Vec<Value>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    pub verdict: Option<String>,
    pub finds: Vec<Finds>,
    /// Codes or ids of all root causes, in order.
    pub roots: Option<Vec<String>>,
    /// Answered, without a finding.
    pub silent: Vec<String>,
    pub unknown: Vec<String>,
    /// An effect and one of its causes, direct or not.
    pub below: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finds {
    pub code: String,
    #[serde(default)]
    pub id: Option<String>,
    #[serde(default)]
    pub severity: Option<String>,
    #[serde(default)]
    pub says: Vec<String>,
}

impl Scenario {
    /// The scenarios of the repository, by name. The recorded clusters have pages of their own. While working on
    /// a few checks, `SCENARIOS=MON005,MON007 cargo test --test it scenarios` runs only those that begin so.
    pub fn all() -> Vec<Self> {
        let only = std::env::var("SCENARIOS").unwrap_or_default();
        let chosen = |folder: &Path| {
            let name = folder.file_name().unwrap_or_default().to_string_lossy();
            only.is_empty() || only.split(',').any(|prefix| name.starts_with(prefix))
        };
        let folders = std::fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path());
        let mut folders: Vec<_> =
            folders.filter(|folder| folder.join("scenario.yaml").exists() && chosen(folder)).collect();
        folders.sort();
        folders.into_iter().map(Self::load).collect()
    }

    /// The scenario of this name.
    pub fn named(name: &str) -> Self {
        Self::load(root().join(name))
    }

    fn load(folder: PathBuf) -> Self {
        let text = std::fs::read_to_string(folder.join("scenario.yaml")).unwrap();
        let mut scenario: Self =
            serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        scenario.name = folder.file_name().unwrap().to_string_lossy().into_owned();
        scenario.folder = folder;
        scenario
    }

    /// The recorded cluster that this scenario describes.
    pub fn tree(&self) -> Tree {
        let mut over = Tree::folder(&self.folder).unwrap();
        for (path, text) in &self.write {
            over.write(path, text.as_bytes().to_vec());
        }
        let mut tree = base(&self.base).overlay(&over, &self.remove).unwrap_or_else(|error| self.fail(&error));
        for Patch { path, name, merge, set } in &self.patch {
            self.edit(&mut tree, path, name, |object| {
                if let Some(merge) = merge {
                    merge_patch(object, merge);
                }
                set.iter().for_each(|(pointer, value)| set_at(object, pointer, value));
                true
            });
        }
        for Delete { path, name } in &self.delete {
            self.edit(&mut tree, path, name, |_| false);
        }
        for Add { path, objects } in &self.add {
            let before = tree.file(path).map(|file| file.objects().unwrap().to_vec()).unwrap_or_default();
            put_list(&mut tree, path, before.into_iter().chain(objects.iter().cloned()).collect());
        }
        tree
    }

    /// Edits the objects of a file that have this name; the closure says whether an object stays.
    fn edit(&self, tree: &mut Tree, path: &str, name: &str, edit: impl Fn(&mut Value) -> bool) {
        let Some(file) = tree.file(path) else { self.fail(&format!("the base has no file {path}")) };
        let mut objects = file.objects().unwrap().to_vec();
        let mut touched = 0;
        objects.retain_mut(|object| {
            let it = object.pointer("/metadata/name").and_then(Value::as_str).is_some_and(|it| matches(name, it));
            touched += usize::from(it);
            !it || edit(object)
        });
        assert!(touched > 0, "{}: no object {name} in {path}", self.name);
        put_list(tree, path, objects);
    }

    fn fail(&self, error: &dyn std::fmt::Display) -> ! {
        panic!("{}: {error}", self.name)
    }
}

/// `*` at the end stands for any rest.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == pattern,
    }
}

fn put_list(tree: &mut Tree, path: &str, objects: Vec<Value>) {
    // A folder of single objects holds one in each file.
    let body = match <[Value; 1]>::try_from(objects) {
        Ok([one]) => one,
        Err(many) => serde_json::json!({"apiVersion": "v1", "kind": "List", "items": many}),
    };
    tree.write(path, serde_json::to_vec(&body).unwrap());
}

/// RFC 7396.
fn merge_patch(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Default::default());
    }
    let target = target.as_object_mut().unwrap();
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge_patch(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// Sets what a JSON pointer names; its last key may be new, and null takes it away.
fn set_at(object: &mut Value, pointer: &str, value: &Value) {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let key = key.replace("~1", "/").replace("~0", "~");
    match object.pointer_mut(parent) {
        Some(Value::Object(map)) if value.is_null() => drop(map.remove(&key)),
        Some(Value::Object(map)) => drop(map.insert(key, value.clone())),
        Some(Value::Array(items)) => {
            let at: usize = key.parse().unwrap();
            if at == items.len() { items.push(value.clone()) } else { items[at] = value.clone() }
        }
        _ => panic!("nothing at {parent}"),
    }
}

/// Diagnoses the one cluster that a source holds, with every check.
pub fn run(source: &dyn Source) -> Diagnosis {
    run_within(source, Scope::default().timeout)
}

pub fn run_within(source: &dyn Source, timeout: Duration) -> Diagnosis {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let scope = Scope { timeout, ..Scope::default() };
    let mut all = runtime.block_on(diagnose(source, checks::ALL, &scope, &|_, _| {}));
    assert_eq!(all.len(), 1, "one CephCluster is expected");
    all.remove(0)
}

pub fn bundle(tree: Tree) -> Bundle {
    Bundle::from_tree(tree).unwrap()
}

/// The ids, codes and severities of a diagnosis, for messages of failing tests.
pub fn outline(diagnosis: &Diagnosis) -> String {
    let mut lines = Vec::new();
    for &root in &diagnosis.roots {
        outline_below(diagnosis, root, 0, &mut lines);
    }
    for (at, placed) in diagnosis.findings.iter().enumerate() {
        if !diagnosis.is_root(at) && placed.causes.is_empty() {
            lines.push(format!(
                "context {} {:?}: {}",
                placed.id,
                placed.finding.severity,
                placed.finding.summary.english()
            ));
        }
    }
    for outcome in &diagnosis.outcomes {
        if !outcome.blind.is_empty() {
            lines.push(format!("{} {:?} blind: {}", outcome.check.code, outcome.status, outcome.why()));
        }
    }
    lines.join("\n")
}

fn outline_below(diagnosis: &Diagnosis, at: usize, depth: usize, lines: &mut Vec<String>) {
    let placed = &diagnosis.findings[at];
    let indent = "  ".repeat(depth);
    lines.push(format!("{indent}{} {:?}: {}", placed.id, placed.finding.severity, placed.finding.summary.english()));
    for &below in &placed.consequences {
        outline_below(diagnosis, below, depth + 1, lines);
    }
}

/// Every cause of a finding, direct or not, by its code.
pub fn causes(diagnosis: &Diagnosis, at: usize) -> Vec<&'static str> {
    let mut open: Vec<usize> = diagnosis.findings[at].causes.iter().map(|(cause, _)| *cause).collect();
    let mut codes = Vec::new();
    while let Some(cause) = open.pop() {
        codes.push(diagnosis.findings[cause].check.code);
        open.extend(diagnosis.findings[cause].causes.iter().map(|(cause, _)| *cause));
    }
    codes
}

/// Every finding with what it says, its place among the others, and whether it is a root.
pub fn told(diagnosis: &Diagnosis) -> BTreeSet<String> {
    let of = |at: usize| diagnosis.findings[at].id.clone();
    let findings = diagnosis.findings.iter().enumerate().map(|(at, placed)| {
        let finding = &placed.finding;
        let causes: BTreeSet<String> =
            placed.causes.iter().map(|(at, because)| format!("{} {}", of(*at), because.english())).collect();
        let places: BTreeSet<String> = places(finding).into_iter().collect();
        let root = diagnosis.is_root(at);
        format!(
            "{} {} root={root} {causes:?} {places:?} {}",
            placed.id,
            finding.severity.word(),
            finding.summary.english()
        )
    });
    let outcomes = diagnosis
        .outcomes
        .iter()
        .map(|outcome| format!("{} {:?} {}", outcome.check.code, outcome.status, outcome.why()));
    findings.chain(outcomes).collect()
}

/// The minor version of the kubectl at hand: 32 of v1.32.4. What an old one cannot do is not asked of it.
pub fn kubectl_minor() -> u32 {
    let ran = std::process::Command::new("kubectl").args(["version", "--client", "-o", "json"]).output().unwrap();
    let version: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let minor = version["clientVersion"]["minor"].as_str().unwrap().trim_end_matches('+');
    minor.parse().unwrap()
}

/// A run of which nothing is told but what its source says.
pub fn run_of(source: &dyn Source) -> Run {
    Run {
        generated_at: Timestamp::UNIX_EPOCH,
        observed_at: source.now(),
        fail_on: FailOn::Warning,
        source: SourceKind::Bundle,
        context: None,
        kubernetes_version: source.server_version(),
        cost: Cost::default(),
        duration: Duration::ZERO,
    }
}
