//! What can be known of a cluster: the things to read, the reasons why one could not be read, and the
//! immutable view that checks reason over.
//!
//! A [`Fact`] names one thing to read. A [`Source`] reads it. [`Store`] keeps each answer once, parsed.
//! [`Facts`] is what a check sees: every accessor returns the data or stops the check with a [`Gap`].

pub mod archive;
mod body;
pub mod bundle;
mod items;
pub mod kinds;
pub mod layout;
pub mod live;
pub mod manifest;
mod peek;
pub mod printed;
mod read;
pub mod redact;
pub mod rows;
pub mod select;
pub mod tables;
pub(crate) mod yaml;

use std::any::Any;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::Value;

use crate::lang::{Text, phrase};
use crate::say;

pub use kinds::{Kind, View};
pub use read::{CephCommand, Log, LogLine, MonPod};
pub use rows::{PodRowTable, Row};
pub use select::Select;

/// One thing to read. Ordered, so every run asks and reports in the same order. Never carries a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fact {
    /// Which kinds the API server serves (in a bundle: its CRD folder).
    Discovery,
    /// A table as the server prints it, without objects. An empty `ns` means all namespaces.
    Rows { kind: Kind, ns: String, label: String },
    /// Whole objects. `ns` is `None` for all namespaces and for cluster-scoped kinds.
    List { kind: Kind, ns: Option<String>, select: Select },
    /// One object by its name. An empty `ns` for cluster-scoped kinds.
    Object { kind: Kind, ns: String, name: String },
    /// One object as it is, every field of it: what a fix changes. An empty `ns` for cluster-scoped kinds.
    Whole { kind: Kind, ns: String, name: String },
    /// The tail of a container's log.
    Log { ns: String, pod: String, container: String, previous: bool },
    /// The JSON answer of a Ceph command for the CephCluster in `ns`.
    Ceph { ns: String, command: CephCommand },
    /// Whether these OSDs may stop together, as `ceph osd ok-to-stop` says.
    OkToStop { ns: String, osds: Vec<i64> },
    /// The JSON answer of a daemon's admin socket, asked inside its own pod.
    Socket { ns: String, pod: String, container: String, daemon: String, command: &'static str },
}

impl Fact {
    pub fn text(&self) -> Text {
        match self {
            Self::Discovery => say!("API discovery"),
            Self::Rows { kind, ns, label } if label.is_empty() => within(kind.resource(), ns),
            Self::Rows { kind, ns, label } => within(format!("{} ({label})", kind.resource()), ns),
            Self::List { kind, ns, select } => {
                within(format!("{}{select}", kind.resource()), ns.as_deref().unwrap_or_default())
            }
            Self::Object { kind, ns, name } | Self::Whole { kind, ns, name } => {
                within(format!("{} {name}", kind.kind), ns)
            }
            Self::Log { ns, pod, container, previous: false } => say!("log of {}/{}/{}", ns, pod, container),
            Self::Log { ns, pod, container, previous: true } => say!("log of {}/{}/{} (previous)", ns, pod, container),
            Self::Ceph { ns, command } => within(format!("ceph {command}"), ns),
            Self::OkToStop { ns, osds } => {
                let osds: Vec<String> = osds.iter().map(i64::to_string).collect();
                within(format!("ceph osd ok-to-stop {}", osds.join(" ")), ns)
            }
            Self::Socket { ns, daemon, command, .. } => say!("admin socket of {}: {} in {}", daemon, command, ns),
        }
    }
}

/// An empty namespace means all of them, or none.
fn within(what: String, ns: &str) -> Text {
    if ns.is_empty() { say!("{}", what) } else { say!("{} in {}", what, ns) }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text().english())
    }
}

/// Why a fact is unknown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// The API server refused; the text is its message.
    Forbidden(String),
    /// The bundle does not hold it.
    NotCaptured,
    /// The other side gave no answer in time.
    Timeout,
    /// The time of the whole run was over first; it says nothing about the other side.
    Deadline,
    /// The other side could not be reached, or answered with an error.
    Unreachable(String),
    /// A command ran and failed: its exit status and the cleaned end of its stderr.
    Failed { rc: i32, stderr: String },
    /// It was read, and it is not what it should be.
    Malformed(String),
    /// More than the run may read.
    OverBudget,
    /// This layout does not offer it (a user without mgr caps, a daemon that lives elsewhere).
    NotOffered(String),
}

/// What a served recording gives as reason in a Status where it does not hold what was asked for, and where what
/// it holds cannot be read. No real server does.
pub const NOT_CAPTURED: &str = "NotCaptured";
pub const MALFORMED: &str = "Malformed";
/// How the warning begins with which it answers a list that is not whole.
pub const NOT_WHOLE: &str = "299 - \"not all was read: ";
/// The version that it tells where none was recorded.
pub const NO_VERSION: &str = "v0.0.0-not-recorded";

impl Why {
    /// The word that reports use, stable.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Forbidden(_) => "forbidden",
            Self::NotCaptured => "not-captured",
            Self::Timeout | Self::Deadline => "timeout",
            Self::Unreachable(_) => "unreachable",
            Self::Failed { .. } => "failed",
            Self::Malformed(_) => "malformed",
            Self::OverBudget => "over-budget",
            Self::NotOffered(_) => "not-offered",
        }
    }
}

impl Why {
    /// The same in a sentence, with what the other side said.
    pub fn text(&self) -> Text {
        match self {
            Self::Forbidden(text) if text.is_empty() => say!("forbidden"),
            Self::Forbidden(text) => say!("forbidden: {}", text),
            Self::NotCaptured => say!("not captured in the bundle"),
            Self::Timeout => say!("no answer in time"),
            Self::Deadline => say!("the time of this run was over"),
            Self::Unreachable(text) => say!("unreachable: {}", text),
            Self::Failed { rc, stderr } => say!("exit status {}: {}", rc, stderr),
            Self::Malformed(text) => say!("malformed: {}", text),
            Self::OverBudget => say!("more than this run may read"),
            Self::NotOffered(text) => say!("not offered: {}", phrase(text)),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text().english())
    }
}

/// A fact that could not be known, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unknown {
    pub fact: Fact,
    pub why: Why,
}

/// Why a check stopped before it had an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gap {
    /// These facts have not been read yet; the engine reads them and asks again.
    Wanted(BTreeSet<Fact>),
    /// The kind is not served here, so the question does not arise.
    NotInstalled(Kind),
    /// This layout does not offer the fact, so the question does not arise.
    NotOffered(String),
    Unknown(Unknown),
}

/// Tells a fact that is still wanted from one that is settled, for checks that reason about a failed read.
pub trait Settled<T> {
    /// *Wanted* and *not installed* still stop the check; an unknown fact is handed over.
    fn settled(self) -> Result<Result<T, Unknown>, Gap>;
}

impl<T> Settled<T> for Result<T, Gap> {
    fn settled(self) -> Result<Result<T, Unknown>, Gap> {
        match self {
            Ok(value) => Ok(Ok(value)),
            Err(Gap::Unknown(unknown)) => Ok(Err(unknown)),
            Err(gap) => Err(gap),
        }
    }
}

/// What was read; what was not is a blind spot: `known(rows, &mut blind).unwrap_or_default()`.
pub fn known<T>(fact: Result<T, Unknown>, blind: &mut Vec<Unknown>) -> Option<T> {
    fact.map_err(|unknown| blind.push(unknown)).ok()
}

/// A table as the API server prints it (`includeObject=None`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    pub columns: Vec<String>,
    pub cells: Vec<Vec<Value>>,
}

/// What a source hands over for a fact.
#[derive(Clone, Debug)]
pub enum Answer {
    /// `group/plural` of everything served; the core group has an empty group: `/pods`.
    Kinds(BTreeSet<String>),
    Rows(Table),
    /// A list; for [`Fact::Object`] and [`Fact::Whole`] one object, or none if it is known not to exist.
    Objects(Vec<Value>),
    /// Text of a log, or the stdout of a command.
    Text(Vec<u8>),
}

/// An answer and what it leaves open: `flaws` says what was skipped while reading (a broken file of a
/// bundle). Findings from it stand; a pass that rests on it becomes unknown.
#[derive(Clone, Debug)]
pub struct Reading {
    pub answer: Answer,
    pub flaws: Vec<Why>,
}

impl From<Answer> for Reading {
    fn from(answer: Answer) -> Self {
        Self { answer, flaws: Vec::new() }
    }
}

/// What reading cost so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    pub requests: u64,
    pub retries: u64,
    pub bytes: u64,
    /// How Ceph commands were run: `toolbox`, `operator`, `mon`, `mgr`; none if none was.
    pub exec_rung: Option<String>,
}

/// Where facts come from.
pub trait Source: Send + Sync {
    /// Reads one fact. Never panics, and ends within the limits of the source.
    fn fetch<'a>(&'a self, fact: &'a Fact) -> BoxFuture<'a, Result<Reading, Why>>;
    /// The clock of this source: the API server's, or the capture time.
    fn now(&self) -> Timestamp;
    /// What was spent up to this moment.
    fn cost(&self) -> Cost;
    /// Says which CephClusters are diagnosed, before the first Ceph command is asked for.
    fn clusters(&self, _clusters: &[Cluster]) {}
    /// The Kubernetes version, if it is known.
    fn server_version(&self) -> Option<String>;
}

impl<S: Source + ?Sized> Source for &S {
    fn fetch<'a>(&'a self, fact: &'a Fact) -> BoxFuture<'a, Result<Reading, Why>> {
        (**self).fetch(fact)
    }
    fn now(&self) -> Timestamp {
        (**self).now()
    }
    fn cost(&self) -> Cost {
        (**self).cost()
    }
    fn clusters(&self, clusters: &[Cluster]) {
        (**self).clusters(clusters);
    }
    fn server_version(&self) -> Option<String> {
        (**self).server_version()
    }
}

/// The cluster that a diagnosis is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster {
    pub ns: String,
    pub name: String,
    /// The namespace of the operator; the cluster's own if none was found.
    pub operator_ns: String,
    pub external: bool,
}

type Parsed = Box<dyn Any + Send + Sync>;

/// Every answer of this run, parsed once when it arrived.
#[derive(Default)]
pub struct Store {
    known: BTreeMap<Fact, Result<Parsed, Why>>,
    flaws: BTreeMap<Fact, Vec<Why>>,
}

impl Store {
    /// Keeps what a source answered; a second answer to the same fact is ignored.
    pub fn put(&mut self, fact: Fact, answer: Result<Reading, Why>) {
        let parsed = match answer {
            Ok(Reading { answer, flaws }) => {
                if !flaws.is_empty() {
                    self.flaws.insert(fact.clone(), flaws);
                }
                read::parse(&fact, answer).map_err(Why::Malformed)
            }
            Err(why) => Err(why),
        };
        self.known.entry(fact).or_insert(parsed);
    }

    pub fn knows(&self, fact: &Fact) -> bool {
        self.known.contains_key(fact)
    }

    /// Why this fact is unknown, if it was asked and is.
    pub fn why(&self, fact: &Fact) -> Option<&Why> {
        self.known.get(fact).and_then(|answer| answer.as_ref().err())
    }

    fn get<T: 'static>(&self, fact: &Fact) -> Option<Result<&T, Why>> {
        Some(match self.known.get(fact)? {
            Ok(parsed) => parsed.downcast_ref().ok_or_else(|| Why::Malformed("asked for as another type".into())),
            Err(why) => Err(why.clone()),
        })
    }
}

/// What one cluster's checks may know. Immutable while checks run: wants travel in the error.
pub struct Facts<'s> {
    store: &'s Store,
    cluster: Option<&'s Cluster>,
    now: Timestamp,
    namespace: Option<&'s str>,
    touched: RefCell<BTreeSet<Row>>,
    read: RefCell<BTreeSet<Fact>>,
}

/// What was seen of several objects and, beside it, what could not be.
pub struct Each<O, T> {
    pub seen: Vec<(O, T)>,
    pub blind: Vec<Unknown>,
}

/// At most this many objects are opened per check and kind of fact.
pub const OPEN_AT_MOST: usize = 32;

impl<'s> Facts<'s> {
    pub fn new(store: &'s Store, cluster: Option<&'s Cluster>, now: Timestamp, namespace: Option<&'s str>) -> Self {
        Self { store, cluster, now, namespace, touched: RefCell::default(), read: RefCell::default() }
    }

    /// The cluster under diagnosis. Checks outside the ACCESS area always have one.
    pub fn cluster(&self) -> Result<&'s Cluster, Gap> {
        self.cluster.ok_or_else(|| Gap::NotOffered("there is no CephCluster".into()))
    }

    /// The same view, with nothing recorded yet.
    pub fn fresh(&self) -> Self {
        Self::new(self.store, self.cluster, self.now, self.namespace)
    }

    /// Whether the fact was read, with whatever outcome.
    pub fn knows(&self, fact: &Fact) -> bool {
        self.store.knows(fact)
    }

    /// Every read of this run that was refused, whichever check wanted it.
    pub fn refused(&self) -> Vec<Unknown> {
        let known = self.store.known.iter().filter_map(|(fact, answer)| Some((fact, answer.as_ref().err()?)));
        let refused = known.filter(|(_, why)| matches!(why, Why::Forbidden(_)));
        refused.map(|(fact, why)| Unknown { fact: fact.clone(), why: why.clone() }).collect()
    }

    /// Every single object of a kind that was read, whoever wanted it.
    pub fn at_hand<T: View>(&self) -> Vec<&'s T> {
        let known = self.store.known.iter().filter_map(|(fact, answer)| Some((fact, answer.as_ref().ok()?)));
        let known = known.filter(|(fact, _)| matches!(fact, Fact::Object { kind, .. } if *kind == T::KIND));
        known.filter_map(|(_, objects)| objects.downcast_ref::<Vec<T>>()?.first()).collect()
    }

    /// Every log that was read, whoever wanted it, by namespace, pod and container.
    pub fn logs_at_hand(&self) -> Vec<([&'s str; 3], &'s Log)> {
        let known = self.store.known.iter().filter_map(|(fact, answer)| match (fact, answer.as_ref().ok()?) {
            (Fact::Log { ns, pod, container, .. }, log) => {
                Some(([ns.as_str(), pod, container], log.downcast_ref::<Log>()?))
            }
            _ => None,
        });
        known.collect()
    }

    /// The source's clock.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The namespace that `-n` restricts the search for CephClusters to.
    pub fn namespace(&self) -> Option<&'s str> {
        self.namespace
    }

    /// Rows of the table of reads that this view was asked for.
    pub fn touched(&self) -> BTreeSet<Row> {
        self.touched.borrow().clone()
    }

    /// What was skipped while reading the facts that this view handed out.
    pub fn flaws(&self) -> Vec<Unknown> {
        self.read
            .borrow()
            .iter()
            .flat_map(|fact| {
                let flaws = self.store.flaws.get(fact).map(Vec::as_slice).unwrap_or_default();
                flaws.iter().map(|why| Unknown { fact: fact.clone(), why: why.clone() })
            })
            .collect()
    }

    fn touch(&self, row: Row) {
        self.touched.borrow_mut().insert(row);
    }

    fn get<T: 'static>(&self, fact: Fact) -> Result<&'s T, Gap> {
        match self.store.get(&fact) {
            None => Err(Gap::Wanted(BTreeSet::from([fact]))),
            Some(Err(Why::NotOffered(reason))) => Err(Gap::NotOffered(reason)),
            // The health checker of an external cluster has no mgr caps: not permitted is not broken.
            Some(Err(Why::Failed { rc: 13, stderr }))
                if self.cluster.is_some_and(|cluster| cluster.external) && stderr.contains("EACCES") =>
            {
                Err(Gap::NotOffered(stderr))
            }
            Some(Err(why)) => Err(Gap::Unknown(Unknown { fact, why })),
            Some(Ok(value)) => {
                self.read.borrow_mut().insert(fact);
                Ok(value)
            }
        }
    }

    /// Reads something of each object: one round for all, stopping only while something is wanted. At most
    /// [`OPEN_AT_MOST`] objects are opened; the first of the rest is a blind spot.
    pub fn each<O, T>(
        &self,
        objects: impl IntoIterator<Item = O>,
        read: impl Fn(&Self, &O) -> Result<T, Gap>,
    ) -> Result<Each<O, T>, Gap> {
        let mut wanted = BTreeSet::new();
        let mut each = Each { seen: Vec::new(), blind: Vec::new() };
        for (at, object) in objects.into_iter().enumerate() {
            match read(self, &object) {
                Ok(value) => each.seen.push((object, value)),
                Err(Gap::Wanted(more)) if at >= OPEN_AT_MOST => {
                    let left = more.into_iter().next();
                    each.blind.extend(left.map(|fact| Unknown { fact, why: Why::OverBudget }));
                    break;
                }
                Err(Gap::Wanted(more)) => wanted.extend(more),
                Err(Gap::Unknown(unknown)) => each.blind.push(unknown),
                Err(gap @ Gap::NotInstalled(_)) => return Err(gap),
                Err(Gap::NotOffered(_)) => {}
            }
        }
        if wanted.is_empty() { Ok(each) } else { Err(Gap::Wanted(wanted)) }
    }
}

/// Asks for several facts at once, so that all of them are read in one round:
/// `let (pods, health) = both(facts.osd_pods(), facts.health())?;`
pub fn both<A, B>(a: Result<A, Gap>, b: Result<B, Gap>) -> Result<(A, B), Gap> {
    match (a, b) {
        (Ok(a), Ok(b)) => Ok((a, b)),
        (Err(Gap::Wanted(mut a)), Err(Gap::Wanted(b))) => {
            a.extend(b);
            Err(Gap::Wanted(a))
        }
        (Err(wanted @ Gap::Wanted(_)), _) | (_, Err(wanted @ Gap::Wanted(_))) => Err(wanted),
        (Err(gap), _) | (_, Err(gap)) => Err(gap),
    }
}
