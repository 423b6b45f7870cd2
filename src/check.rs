//! What a check is, and what it finds.

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::checks::ground;
use crate::facts::tables::PodRow;
use crate::facts::{Cluster, Facts, Gap, Kind, Log, LogLine, Row, Unknown, View, kinds};
use crate::fix::Fix;
pub use crate::lang::Text;
use crate::objects::kube::{Event, Meta, Pod};
use crate::say;

/// One question of the troubleshooting tree.
pub struct Check {
    /// `NET007`; public, stable, never reused.
    pub code: &'static str,
    /// `nad-default-route`; names the defect, as public and as stable as the code.
    pub name: &'static str,
    pub area: Area,
    /// The page: what it looks at, why it matters, how to confirm by hand, the fix, references.
    pub docs: &'static str,
    /// Cluster-level reads, asked for ahead.
    pub needs: &'static [Row],
    /// Checks whose findings explain this one's, and where they must meet.
    pub explained_by: &'static [(&'static Self, Scope)],
    /// Its findings are about daemons that run in pods: whatever keeps a pod from running explains them, too.
    pub in_pod: bool,
    /// A symptom must have had a cause: without one its finding is shown as unexplained.
    pub symptom: bool,
    /// Its findings report the loss of sight itself.
    pub about_sight: bool,
    pub run: fn(&Facts<'_>) -> Result<Answered, Gap>,
    /// What the tool can do about a finding, where that is safe.
    pub fix: Option<Fix>,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)
    }
}

impl Check {
    /// The checks whose findings may explain this one's, its own before those that all pods share.
    pub fn causes(&self) -> impl Iterator<Item = (&'static Self, Scope)> {
        let shared = if self.in_pod { ground::CAUSES } else { &[] };
        self.explained_by.iter().chain(shared).copied()
    }
}

impl PartialEq for Check {
    fn eq(&self, other: &Self) -> bool {
        self.code == other.code
    }
}
impl Eq for Check {}

/// Declares the check of a file: its page, its identity, what it needs, and what explains its findings. The
/// file's `fn run(&Facts) -> Result<Answered, Gap>` is the question itself.
#[macro_export]
macro_rules! check {
    (
        $(#[doc = $doc:literal])+
        $code:literal $name:literal $area:ident,
        needs: [$($row:ident),* $(,)?],
        $(fix: $fix:ident,)?
        explained_by: [$(($cause_area:ident :: $cause:ident, $scope:ident)),* $(,)?]
        $(, $flag:ident)* $(,)?
    ) => {
        $(#[doc = $doc])+
        pub static CHECK: $crate::check::Check = $crate::check::Check {
            $($flag: true,)*
            $(fix: Some($crate::fix::plans::$fix::plan),)?
            ..$crate::check::Check {
                code: $code,
                name: $name,
                area: $crate::check::Area::$area,
                docs: concat!($($doc, "\n"),+),
                needs: &[$($crate::facts::Row::$row),*],
                explained_by: &[$((&$crate::checks::$cause_area::$cause::CHECK, $crate::check::Scope::$scope)),*],
                in_pod: false,
                symptom: false,
                about_sight: false,
                run,
                fix: None,
            }
        };
    };
}

/// The branches of the tree, from the ground up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Area {
    Access,
    Node,
    Net,
    Ovn,
    Opr,
    Mon,
    Osd,
    Ceph,
    Csi,
    Img,
    Ext,
}

impl Area {
    pub const ALL: &'static [Self] = &[
        Self::Access,
        Self::Node,
        Self::Net,
        Self::Ovn,
        Self::Opr,
        Self::Mon,
        Self::Osd,
        Self::Ceph,
        Self::Csi,
        Self::Img,
        Self::Ext,
    ];

    /// The prefix of the area's codes.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Access => "ACC",
            Self::Node => "NODE",
            Self::Net => "NET",
            Self::Ovn => "OVN",
            Self::Opr => "OPR",
            Self::Mon => "MON",
            Self::Osd => "OSD",
            Self::Ceph => "CEPH",
            Self::Csi => "CSI",
            Self::Img => "IMG",
            Self::Ext => "EXT",
        }
    }

    /// What the area is about.
    pub fn title(self) -> &'static str {
        match self {
            Self::Access => "can we see?",
            Self::Node => "the ground: nodes, clocks, DNS",
            Self::Net => "Multus and network attachments",
            Self::Ovn => "Kube-OVN",
            Self::Opr => "the Rook operator",
            Self::Mon => "monitors",
            Self::Osd => "OSDs",
            Self::Ceph => "data and services",
            Self::Csi => "CSI",
            Self::Img => "images and versions",
            Self::Ext => "external cluster",
        }
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Context.
    Info,
    /// A risk.
    Warning,
    /// Something is broken now.
    Critical,
}

impl Severity {
    pub fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    pub fn text(self) -> Text {
        match self {
            Self::Info => say!("info"),
            Self::Warning => say!("warning"),
            Self::Critical => say!("critical"),
        }
    }
}

/// Where damage is; findings meet at places.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    Node(String),
    /// `osd.3`, `mon.a`
    Daemon(String),
    /// A NAD, `namespace/name`; or `ovn`, the default network of Kube-OVN.
    Network(String),
    Pool(String),
    /// A claim, `namespace/name`.
    Volume(String),
}

impl Place {
    pub fn node(name: impl Into<String>) -> Self {
        Self::Node(name.into())
    }
    pub fn as_node(&self) -> Option<&str> {
        if let Self::Node(name) = self { Some(name) } else { None }
    }
    /// `Place::daemon("mon", "a")`
    pub fn daemon(kind: &str, id: impl fmt::Display) -> Self {
        Self::Daemon(format!("{kind}.{id}"))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(name) => write!(f, "node:{name}"),
            Self::Daemon(name) => write!(f, "daemon:{name}"),
            Self::Network(name) => write!(f, "network:{name}"),
            Self::Pool(name) => write!(f, "pool:{name}"),
            Self::Volume(name) => write!(f, "volume:{name}"),
        }
    }
}

/// What a cause and its effect must share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// A guilty object.
    Object,
    Node,
    Daemon,
    Network,
    Pool,
    Volume,
    /// Nothing but the report.
    Cluster,
}

impl Scope {
    /// Where a cause and its effect must meet.
    pub fn words(self) -> &'static str {
        match self {
            Self::Object => "the same object",
            Self::Node => "the same node",
            Self::Daemon => "the same daemon",
            Self::Network => "the same network",
            Self::Pool => "the same pool",
            Self::Volume => "the same volume",
            Self::Cluster => "the same cluster",
        }
    }
}

/// Whether a finding explains another within this scope, and where they meet: `node ash-w2`.
pub fn explains(scope: Scope, cause: &Finding, effect: &Finding) -> Option<Text> {
    let shared = |matching: fn(&Place) -> Option<&String>| cause.at.intersection(&effect.at).find_map(matching);
    match scope {
        Scope::Cluster => Some(say!("same cluster")),
        Scope::Object => {
            let shared = cause.objects.iter().find(|object| effect.objects.contains(object))?;
            Some(say!("{}", shared))
        }
        Scope::Node => {
            Some(say!("node {}", shared(|place| if let Place::Node(name) = place { Some(name) } else { None })?))
        }
        Scope::Daemon => {
            Some(say!("daemon {}", shared(|place| if let Place::Daemon(name) = place { Some(name) } else { None })?))
        }
        Scope::Network => {
            Some(say!("network {}", shared(|place| if let Place::Network(name) = place { Some(name) } else { None })?))
        }
        Scope::Pool => {
            Some(say!("pool {}", shared(|place| if let Place::Pool(name) = place { Some(name) } else { None })?))
        }
        Scope::Volume => {
            Some(say!("volume {}", shared(|place| if let Place::Volume(name) = place { Some(name) } else { None })?))
        }
    }
}

/// An object that a finding is about.
#[derive(Clone, Debug)]
pub struct ObjectRef {
    pub api_version: String,
    pub kind: String,
    /// Empty for cluster-scoped kinds.
    pub namespace: String,
    pub name: String,
    /// What stands for the name in the finding's id, where the name changes from run to run.
    pub stable: Option<String>,
}

impl PartialEq for ObjectRef {
    fn eq(&self, other: &Self) -> bool {
        (&self.kind, &self.namespace, &self.name) == (&other.kind, &other.namespace, &other.name)
    }
}
impl Eq for ObjectRef {}

impl ObjectRef {
    pub fn new(kind: Kind, ns: &str, name: &str) -> Self {
        Self {
            api_version: kind.api_version(),
            kind: kind.kind.to_owned(),
            namespace: ns.to_owned(),
            name: name.to_owned(),
            stable: None,
        }
    }

    /// An object by its metadata: `ObjectRef::of::<Deployment>(&deployment.metadata)`.
    pub fn of<T: View>(meta: &Meta) -> Self {
        Self::new(T::KIND, &meta.namespace, &meta.name)
    }

    pub fn node(name: &str) -> Self {
        Self::new(kinds::NODE, "", name)
    }

    pub fn cluster(cluster: &Cluster) -> Self {
        Self::new(kinds::CEPH_CLUSTER, &cluster.ns, &cluster.name)
    }

    pub fn pod(pod: &Pod) -> Self {
        Self { stable: Some(pod.stable_name()), ..Self::of::<Pod>(&pod.metadata) }
    }

    /// A pod of which only the row is known; `stable` names it from run to run (`mon.a`, `kube-ovn-cni@w2`).
    pub fn pod_row(row: &PodRow, ns: &str, stable: impl Into<String>) -> Self {
        Self { stable: Some(stable.into()), ..Self::new(kinds::POD, ns, &row.name) }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.kind, self.name)
        } else {
            write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
        }
    }
}

/// What decides: a field, an event or a log line, quoted, and where it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// `Pod rook-ceph/rook-ceph-mon-a-…`, `ceph health detail`, `log of …`
    pub from: String,
    /// `status.conditions[Ready]`; empty for logs and commands.
    pub field: String,
    pub at: Option<Timestamp>,
    pub excerpt: String,
}

impl Evidence {
    /// A field of an object.
    pub fn field(object: &ObjectRef, field: impl Into<String>, excerpt: impl fmt::Display) -> Self {
        Self { from: object.to_string(), field: field.into(), at: None, excerpt: excerpt.to_string() }
    }

    /// A row of a table.
    pub fn pod_row(row: &PodRow, ns: &str) -> Self {
        let excerpt = match (row.restarts, row.restarted.as_str()) {
            (0, _) => format!("{} {}/{}", row.status, row.ready.0, row.ready.1),
            (restarts, "") => format!("{} {}/{}, {restarts} restarts", row.status, row.ready.0, row.ready.1),
            (restarts, age) => format!("{} {}/{}, {restarts} restarts ({age})", row.status, row.ready.0, row.ready.1),
        };
        let node = if row.node.is_empty() { "no node" } else { row.node.as_str() };
        Self { from: format!("Pod {ns}/{}", row.name), field: format!("on {node}"), at: None, excerpt }
    }

    pub fn log(ns: &str, pod: &str, container: &str, line: &LogLine) -> Self {
        Self {
            from: format!("log of {ns}/{pod}/{container}"),
            field: String::new(),
            at: line.at,
            excerpt: line.text.clone(),
        }
    }

    pub fn event(event: &Event) -> Self {
        let about = &event.involved_object;
        Self {
            from: format!("event {} of {} {}", event.reason, about.kind, about.name),
            field: String::new(),
            at: event.last_seen(),
            excerpt: event.message.clone(),
        }
    }

    /// A part of a Ceph command's answer: `Evidence::ceph("health detail", …)`.
    pub fn ceph(command: &str, excerpt: impl fmt::Display) -> Self {
        Self { from: format!("ceph {command}"), field: String::new(), at: None, excerpt: excerpt.to_string() }
    }

    /// What a monitor says on its admin socket.
    pub fn socket(daemon: &str, excerpt: impl fmt::Display) -> Self {
        Self {
            from: format!("admin socket of {daemon}"),
            field: "mon_status".into(),
            at: None,
            excerpt: excerpt.to_string(),
        }
    }

    /// A read that failed.
    pub fn unknown(unknown: &Unknown) -> Self {
        Self { from: unknown.fact.to_string(), field: String::new(), at: None, excerpt: unknown.why.to_string() }
    }

    pub fn at(self, at: Option<Timestamp>) -> Self {
        Self { at, ..self }
    }
}

/// Quotes the last line of a log that holds one of these texts.
pub fn quote(ns: &str, pod: &str, container: &str, log: &Log, texts: &[&str]) -> Option<Evidence> {
    Some(Evidence::log(ns, pod, container, log.last_of(texts)?))
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remedy {
    pub summary: Text,
    /// Commands that can be pasted as they are, for the objects at hand.
    pub commands: Vec<String>,
    pub fix: FixKind,
}

/// Who acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FixKind {
    /// The tool can, after confirmation.
    Auto,
    /// A person does, with these commands.
    Guided,
    /// An explanation.
    Advice,
}

impl Remedy {
    /// The tool can; the commands are for those who would rather do it by hand.
    pub fn auto(self) -> Self {
        Self { fix: FixKind::Auto, ..self }
    }
    pub fn guided(summary: Text) -> Self {
        Self { summary, commands: Vec::new(), fix: FixKind::Guided }
    }
    pub fn advice(summary: Text) -> Self {
        Self { summary, commands: Vec::new(), fix: FixKind::Advice }
    }
    pub fn command(mut self, command: impl Into<String>) -> Self {
        self.commands.push(command.into());
        self
    }
}

/// One fault as one check sees it.
#[derive(Clone, Debug)]
pub struct Finding {
    pub severity: Severity,
    /// Several only when they share one cause and one remedy. The first names the finding.
    pub objects: Vec<ObjectRef>,
    /// Tells findings of one object apart: a health code, a device, a port.
    pub detail: Option<String>,
    /// Where the damage is; never what is merely related.
    pub at: BTreeSet<Place>,
    pub since: Option<Timestamp>,
    pub summary: Text,
    pub evidence: Vec<Evidence>,
    pub remedy: Remedy,
}

impl Finding {
    pub fn new(severity: Severity, object: ObjectRef, summary: Text, remedy: Remedy) -> Self {
        Self {
            severity,
            objects: vec![object],
            detail: None,
            at: BTreeSet::new(),
            since: None,
            summary,
            evidence: Vec::new(),
            remedy,
        }
    }

    pub fn critical(object: ObjectRef, summary: Text, remedy: Remedy) -> Self {
        Self::new(Severity::Critical, object, summary, remedy)
    }
    pub fn warning(object: ObjectRef, summary: Text, remedy: Remedy) -> Self {
        Self::new(Severity::Warning, object, summary, remedy)
    }
    pub fn info(object: ObjectRef, summary: Text, remedy: Remedy) -> Self {
        Self::new(Severity::Info, object, summary, remedy)
    }
    pub fn also(mut self, objects: impl IntoIterator<Item = ObjectRef>) -> Self {
        self.objects.extend(objects);
        self
    }
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
    pub fn at(mut self, places: impl IntoIterator<Item = Place>) -> Self {
        self.at.extend(places);
        self
    }
    pub fn since(mut self, since: Option<Timestamp>) -> Self {
        self.since = since;
        self
    }
    pub fn evidence(mut self, evidence: impl IntoIterator<Item = Evidence>) -> Self {
        self.evidence.extend(evidence);
        self
    }
}

/// What a check answers.
#[derive(Debug)]
pub enum Answered {
    /// The question does not arise here, and why.
    NotApplicable(&'static str),
    /// Findings, and beside them what could not be seen. Neither: passed.
    Judged { findings: Vec<Finding>, blind: Vec<Unknown> },
}

impl Answered {
    pub fn judged(findings: Vec<Finding>) -> Self {
        Self::Judged { findings, blind: Vec::new() }
    }
    pub fn passed() -> Self {
        Self::judged(Vec::new())
    }
    /// Adds blind spots; they count only where the answer depends on them.
    pub fn blind(self, more: impl IntoIterator<Item = Unknown>) -> Self {
        match self {
            Self::Judged { findings, mut blind } => {
                blind.extend(more);
                Self::Judged { findings, blind }
            }
            not_applicable => not_applicable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(object: &str, places: &[Place]) -> Finding {
        let object = ObjectRef::new(kinds::DEPLOYMENT, "rook-ceph", object);
        Finding::warning(object, say!("x"), Remedy::advice(say!("y"))).at(places.iter().cloned())
    }

    #[test]
    fn findings_meet_where_their_scope_says() {
        let cause = finding("a", &[Place::node("w2"), Place::daemon("osd", 3), Place::Network("ns/public".into())]);
        let same_node = finding("b", &[Place::node("w2")]);
        let same_daemon = finding("b", &[Place::node("w1"), Place::daemon("osd", 3)]);
        for (scope, effect, because) in [
            (Scope::Node, &same_node, Some("node w2")),
            (Scope::Node, &same_daemon, None),
            (Scope::Daemon, &same_daemon, Some("daemon osd.3")),
            (Scope::Network, &same_node, None),
            (Scope::Object, &same_node, None),
            (Scope::Object, &finding("a", &[]), Some("Deployment rook-ceph/a")),
            (Scope::Cluster, &same_node, Some("same cluster")),
        ] {
            assert_eq!(explains(scope, &cause, effect).map(|text| text.english()).as_deref(), because, "{scope:?}");
        }
    }
}
