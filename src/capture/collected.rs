//! What was read so far, as the files of a bundle, and the book of what was asked.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::read::{Got, Read};
use crate::facts::archive::Tree;
use crate::facts::bundle::{Bundle, file_name, log_path, socket_path};
use crate::facts::live::{Line, Lines, Resource};
use crate::facts::manifest::{self, MANIFEST, Manifest, SCHEMA, scoped};
use crate::facts::{Fact, Why, kinds};
use crate::redact;

/// How much is kept, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    pub all: u64,
    pub logs: u64,
}

/// How much was kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub objects: usize,
    pub logs: usize,
    /// Of Ceph commands and admin sockets.
    pub answers: usize,
    pub bytes: u64,
}

pub struct Collected {
    tree: Tree,
    coverage: BTreeMap<String, String>,
    /// Objects by their file: a list that is read again counts once.
    objects: BTreeMap<String, usize>,
    counts: Counts,
    log_bytes: u64,
    budget: Budget,
    pub time: Option<Timestamp>,
}

impl Collected {
    pub fn new(budget: Budget) -> Self {
        Self {
            tree: Tree::default(),
            coverage: BTreeMap::new(),
            objects: BTreeMap::new(),
            counts: Counts::default(),
            log_bytes: 0,
            budget,
            time: None,
        }
    }

    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    pub fn counts(&self) -> Counts {
        Counts { objects: self.objects.values().sum(), ..self.counts }
    }

    /// Notes how something went that brings no file of its own.
    pub fn note(&mut self, what: String, how: &str) {
        self.coverage.insert(what, how.to_owned());
    }

    /// Whether the whole of a kind is there.
    pub fn has_all(&self, resource: &Resource) -> bool {
        self.coverage.get(&resource.name()).is_some_and(|said| said == "ok")
    }

    /// Keeps what a read brought, or why it brought nothing.
    pub fn keep(&mut self, read: &Read, got: Result<Got, Why>) {
        let kept = got.and_then(|got| match (read, got) {
            (Read::List { of, ns }, Got::Lines(lines)) => self.list(of, ns.as_deref(), lines),
            (Read::Fact(Fact::Object { kind, ns, .. }), Got::Line(line)) => match line {
                Some(line) => self.object(&kind.resource(), kind.group, kind.plural, ns, line),
                None => Ok(()),
            },
            (_, Got::Text(text)) => self.text(read, text),
            _ => Err(Why::Malformed("the answer is of another kind than the question".into())),
        });
        if let Err(why) = &kept {
            self.failed(read, why);
        }
        let said = match kept {
            Ok(()) => "ok".to_owned(),
            Err(why) if read.is_extra() && is_unheard_of(&why) => "not-found".to_owned(),
            Err(why) => manifest::word(&why),
        };
        self.coverage.insert(key(read, said == "ok"), said);
    }

    /// One file for each namespace, one line for each object.
    fn list(&mut self, of: &Resource, ns: Option<&str>, lines: Lines) -> Result<(), Why> {
        let Lines { kind, api_version, lines } = lines;
        let mut by_ns: BTreeMap<String, Vec<Line>> = BTreeMap::new();
        if of.namespaced {
            // What was read of a namespace before is read anew, be there anything left or not.
            by_ns.extend(self.namespaces_of(of).into_iter().filter(|known| ns.is_none_or(|ns| ns == known)).map(empty));
            by_ns.extend(ns.map(|ns| empty(ns.to_owned())));
        } else {
            by_ns.insert(String::new(), Vec::new());
        }
        for line in lines {
            let within = if of.namespaced { line.ns.clone() } else { String::new() };
            by_ns.entry(within).or_default().push(line);
        }
        if of.group.is_empty() && of.plural == kinds::NAMESPACE.plural {
            let all = by_ns.remove("").unwrap_or_default();
            return all.into_iter().try_for_each(|line| self.namespace(&line));
        }
        for (ns, lines) in by_ns {
            let count = lines.len();
            let path = format!("{}.yaml", base(&of.group, &of.plural, of.namespaced.then_some(ns.as_str())));
            self.put(path.clone(), list_of(&kind, &api_version, &lines))?;
            self.objects.insert(path, count);
        }
        if ns.is_none() && of.namespaced {
            let narrower = format!("{}/", of.name());
            self.coverage.retain(|key, _| !key.starts_with(&narrower));
        }
        Ok(())
    }

    /// The namespaces of which this kind was read by itself.
    fn namespaces_of(&self, of: &Resource) -> BTreeSet<String> {
        let from = format!("{}/", of.name());
        let of_kind = self.coverage.keys().filter_map(|key| key.strip_prefix(&from));
        of_kind.filter(|ns| *ns != "*" && !ns.contains('/')).map(str::to_owned).collect()
    }

    fn namespace(&mut self, line: &Line) -> Result<(), Why> {
        let path = format!("namespaces/{0}/{0}.yaml", line.name);
        self.put(path.clone(), with_type(&line.json, "v1", "Namespace"))?;
        self.objects.insert(path, 1);
        Ok(())
    }

    fn object(&mut self, resource: &str, group: &str, plural: &str, ns: &str, line: Line) -> Result<(), Why> {
        if resource == kinds::NAMESPACE.plural {
            return self.namespace(&line);
        }
        let path = format!("{}/{}.yaml", base(group, plural, (!ns.is_empty()).then_some(ns)), line.name);
        self.put(path.clone(), line.json.into_bytes())?;
        self.objects.insert(path, 1);
        Ok(())
    }

    /// A log, or what a command printed.
    fn text(&mut self, read: &Read, text: Vec<u8>) -> Result<(), Why> {
        if let Read::Fact(Fact::Log { ns, pod, container, previous }) = read {
            let size = text.len() as u64;
            if self.log_bytes + size > self.budget.logs {
                return Err(Why::OverBudget);
            }
            let name = if *previous { "previous.log" } else { "current.log" };
            self.put(format!("{}/{name}", log_path(ns, pod, container)), text)?;
            self.log_bytes += size;
            self.counts.logs += 1;
            return Ok(());
        }
        if text.trim_ascii().is_empty() {
            return Err(Why::Malformed("the answer is empty".into()));
        }
        match read {
            Read::Fact(Fact::Socket { ns, pod, container, daemon, command }) => {
                let path = socket_path(ns, pod, container, daemon, command);
                self.put(format!("{path}.stdout"), text)?;
                self.put(format!("{path}.rc"), b"0".to_vec())?;
            }
            _ => {
                let (ns, name, folder) = ceph_file(read).ok_or(Why::NotCaptured)?;
                self.put(format!("ceph/namespaces/{ns}/{folder}/{name}"), text)?;
            }
        }
        self.counts.answers += 1;
        Ok(())
    }

    /// What a command that failed left behind.
    fn failed(&mut self, read: &Read, why: &Why) {
        let base = match read {
            Read::Fact(Fact::Socket { ns, pod, container, daemon, command }) => {
                socket_path(ns, pod, container, daemon, command)
            }
            read => match ceph_file(read) {
                Some((ns, name, _)) => format!("rookdoctor/ceph/{ns}/{name}"),
                None => return,
            },
        };
        let (rc, stderr) = match why {
            Why::Timeout | Why::Deadline => ("timeout".to_owned(), ""),
            Why::Failed { rc, stderr } => (rc.to_string(), stderr.as_str()),
            _ => return,
        };
        // These are a few bytes; if even they are too much, the manifest says so.
        let _ = self.put(format!("{base}.rc"), rc.into_bytes());
        let _ = self.put(format!("{base}.stderr"), stderr.as_bytes().to_vec());
    }

    /// The one door into a bundle: whatever passes it is within the budget, has a harmless path and no secrets.
    fn put(&mut self, path: String, content: Vec<u8>) -> Result<(), Why> {
        if !is_plain(&path) {
            return Err(Why::Malformed("it has a name that no API server takes".into()));
        }
        let content = redact::file(&path, content);
        let before = self.tree.file(&path).map_or(0, |file| file.size());
        let bytes = self.counts.bytes - before + content.len() as u64;
        if bytes > self.budget.all {
            return Err(Why::OverBudget);
        }
        self.counts.bytes = bytes;
        self.tree.write(&path, content);
        Ok(())
    }

    /// The manifest as it is now.
    pub fn manifest(&self, cluster_name: Option<String>, server_version: Option<String>) -> Manifest {
        Manifest {
            schema_version: SCHEMA,
            tool_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            capture_time: self.time,
            server_version,
            cluster_name,
            coverage: self.coverage.clone(),
        }
    }

    /// What is there so far, as its reader will see it.
    pub fn bundle(&self, manifest: &Manifest) -> anyhow::Result<Bundle> {
        Ok(Bundle::from_tree(self.tree_with(manifest)?)?)
    }

    pub fn tree_with(&self, manifest: &Manifest) -> anyhow::Result<Tree> {
        let mut tree = self.tree.clone();
        // JSON is YAML that is read a hundred times faster, and the book can be long.
        tree.write(MANIFEST, serde_json::to_vec_pretty(manifest)?);
        Ok(tree)
    }
}

/// Under what a read is entered in the book.
fn key(read: &Read, is_ok: bool) -> String {
    match read {
        // That all namespaces together could not be read says nothing of any one of them.
        Read::List { of, ns: None } if is_ok || !of.namespaced => of.name(),
        Read::List { of, ns } => scoped(&of.name(), ns.as_deref()),
        Read::Fact(fact) => manifest::entry(fact),
        Read::Ask { ns, command } => {
            format!("ceph {}{}/{ns}", command.line, if command.plain { " (text)" } else { "" })
        }
    }
}

/// The namespace, the file and the folder of the answer of a Ceph command.
fn ceph_file(read: &Read) -> Option<(&str, String, &'static str)> {
    let (ns, line, plain) = match read {
        Read::Fact(Fact::Ceph { ns, command }) => (ns, command.to_string(), false),
        Read::Ask { ns, command } => (ns, command.line.to_owned(), command.plain),
        _ => return None,
    };
    let name = file_name(&format!("ceph {line}"));
    Some(if plain {
        (ns, name, "must_gather_commands")
    } else {
        (ns, format!("{name}_--format_json"), "must_gather_commands_json_output")
    })
}

/// A kind or a command that this cluster, being older or smaller, does not have.
fn is_unheard_of(why: &Why) -> bool {
    const EINVAL: i32 = 22;
    const ENOTSUP: i32 = 95;
    match why {
        Why::Unreachable(text) => text.starts_with("404"),
        Why::Failed { rc, .. } => [EINVAL, ENOTSUP].contains(rc),
        _ => false,
    }
}

fn empty(ns: String) -> (String, Vec<Line>) {
    (ns, Vec::new())
}

/// Where a kind lies, without the end of the name.
fn base(group: &str, plural: &str, ns: Option<&str>) -> String {
    let group = if group.is_empty() { "core" } else { group };
    match ns {
        Some(ns) => format!("namespaces/{ns}/{group}/{plural}"),
        None => format!("cluster-scoped-resources/{group}/{plural}"),
    }
}

/// A list with one object on each line, so that `grep` finds objects.
fn list_of(kind: &str, api_version: &str, lines: &[Line]) -> Vec<u8> {
    let head = serde_json::json!({"apiVersion": api_version, "kind": kind}).to_string();
    let items: Vec<&str> = lines.iter().map(|line| line.json.as_str()).collect();
    let items = items.join(",\n");
    format!("{},\"items\":[\n{items}\n]}}\n", head.trim_end_matches('}')).into_bytes()
}

/// An object with what a list says of its items.
fn with_type(json: &str, api_version: &str, kind: &str) -> Vec<u8> {
    let Ok(serde_json::Value::Object(mut object)) = serde_json::from_str(json) else { return json.into() };
    object.entry("apiVersion").or_insert_with(|| api_version.into());
    object.entry("kind").or_insert_with(|| kind.into());
    serde_json::Value::Object(object).to_string().into_bytes()
}

/// Whether a path can lie in any bundle: names of the cluster must not lead out of it.
fn is_plain(path: &str) -> bool {
    path.split('/').all(|name| {
        !name.is_empty()
            && ![".", ".."].contains(&name)
            && !name.contains(['\\', '\0'])
            && !name.contains(char::is_control)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{Select, Source};
    use serde_json::json;

    const ROOMY: Budget = Budget { all: 1 << 20, logs: 1 << 10 };

    fn pods() -> Resource {
        Resource { group: String::new(), version: "v1".into(), plural: "pods".into(), namespaced: true }
    }

    fn list(ns: Option<&str>) -> Read {
        Read::List { of: pods(), ns: ns.map(str::to_owned) }
    }

    fn lines(names: &[(&str, &str)]) -> Result<Got, Why> {
        let line = |(ns, name): &(&str, &str)| Line::new(json!({"metadata": {"namespace": ns, "name": name}}));
        let lines = names.iter().map(line).collect();
        Ok(Got::Lines(Lines { kind: "PodList".into(), api_version: "v1".into(), lines }))
    }

    fn log(name: &str) -> Read {
        let (ns, pod, container) = ("a".into(), name.into(), "c".into());
        Read::Fact(Fact::Log { ns, pod, container, previous: false })
    }

    fn count(collected: &Collected, ns: Option<&str>) -> Result<(usize, usize), Why> {
        let bundle = collected.bundle(&collected.manifest(None, None)).unwrap();
        let fact = Fact::List { kind: kinds::POD, ns: ns.map(str::to_owned), select: Select::all() };
        let reading = futures::executor::block_on(bundle.fetch(&fact))?;
        match reading.answer {
            crate::facts::Answer::Objects(objects) => Ok((objects.len(), reading.flaws.len())),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_namespace_is_read_whole_and_then_all_are() {
        let mut collected = Collected::new(ROOMY);
        collected.keep(&list(Some("a")), lines(&[("a", "one"), ("a", "two")]));
        collected.keep(&list(Some("b")), lines(&[]));
        assert_eq!((count(&collected, Some("a")), count(&collected, Some("b"))), (Ok((2, 0)), Ok((0, 0))));
        assert_eq!(count(&collected, None), Ok((2, 1)));
        assert_eq!(count(&collected, Some("c")), Err(Why::NotCaptured));
        let text = collected.tree().file("namespaces/a/core/pods.yaml").unwrap().bytes().unwrap().into_owned();
        assert_eq!(String::from_utf8(text).unwrap().lines().filter(|line| line.contains("\"name\"")).count(), 2);
        collected.keep(&list(None), lines(&[("a", "one"), ("c", "new")]));
        assert_eq!((count(&collected, None), count(&collected, Some("a"))), (Ok((2, 0)), Ok((1, 0))));
        assert_eq!((count(&collected, Some("d")), collected.counts().objects), (Ok((0, 0)), 2));
        assert!(collected.has_all(&pods()));
    }

    #[test]
    fn a_refusal_of_all_leaves_each_namespace_open() {
        let mut collected = Collected::new(ROOMY);
        collected.keep(&list(None), Err(Why::Forbidden("no".into())));
        collected.keep(&list(Some("a")), lines(&[("a", "one")]));
        assert_eq!(
            (count(&collected, None), count(&collected, Some("a"))),
            (Err(Why::Forbidden("no".into())), Ok((1, 0)))
        );
        assert_eq!(count(&collected, Some("b")), Err(Why::NotCaptured));
    }

    #[test]
    fn what_is_served_is_told_by_the_crds() {
        let mut collected = Collected::new(ROOMY);
        let crd =
            json!({"metadata": {"name": "cephclusters.ceph.rook.io"}, "spec": {"names": {"plural": "cephclusters"}}});
        let (kind, api_version) = ("CustomResourceDefinitionList".into(), "apiextensions.k8s.io/v1".into());
        let of = Resource::from(super::super::scope::CRDS);
        let crds = Got::Lines(Lines { kind, api_version, lines: vec![Line::new(crd)] });
        collected.keep(&Read::List { of, ns: None }, Ok(crds));
        let bundle = collected.bundle(&collected.manifest(None, None)).unwrap();
        match futures::executor::block_on(bundle.fetch(&Fact::Discovery)).unwrap().answer {
            crate::facts::Answer::Kinds(kinds) => {
                assert!(kinds.contains("ceph.rook.io/cephclusters") && !kinds.contains("kubeovn.io/subnets"));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_over_the_budget_is_said_to_be() {
        let mut collected = Collected::new(ROOMY);
        collected.keep(&log("one"), Ok(Got::Text(vec![b'x'; 600])));
        collected.keep(&log("two"), Ok(Got::Text(vec![b'x'; 600])));
        collected.keep(&log("three"), Ok(Got::Text(vec![b'x'; 400])));
        let manifest = collected.manifest(None, None);
        let said = |pod: &str| manifest.coverage[&format!("log/a/{pod}/c")].clone();
        assert_eq!([said("one"), said("two"), said("three")], ["ok", "error: over budget", "ok"]);
        let small = Budget { all: 100, logs: 100 };
        let mut collected = Collected::new(small);
        collected.keep(&list(Some("a")), lines(&[("a", &"x".repeat(200))]));
        assert_eq!(count(&collected, Some("a")), Err(Why::OverBudget));
        assert_eq!(collected.counts(), Counts::default());
    }

    #[test]
    fn names_cannot_lead_out() {
        let mut collected = Collected::new(ROOMY);
        collected.keep(&list(None), lines(&[("../../etc", "one")]));
        assert!(matches!(count(&collected, None), Err(Why::Malformed(_))));
        collected.keep(&log(".."), Ok(Got::Text(b"x".to_vec())));
        assert_eq!(collected.tree().below("").count(), 0);
    }
}
