//! Recording a live cluster: reads what a diagnosis can want, asks a diagnosis of the recording what it lacks, reads
//! that too, until nothing is lacking. So the recording says what the cluster says.
//!
//! A namespaced list is always read whole for its namespace, never by label: what is not in the file does not exist.
//! Whatever fails is entered in the book and stops nothing.

mod ceph;
mod collected;
pub mod pack;
mod read;
mod scope;

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream;
use jiff::Timestamp;
use tokio::time::Instant;

use self::collected::Collected;
pub use self::collected::{Budget, Counts};
pub use self::read::LogBounds;
use self::read::Read;
pub(crate) use self::scope::{CRDS, WITHIN};
use crate::checks;
use crate::diagnosis::{Scope, diagnose};
use crate::facts::archive::Tree;
use crate::facts::bundle::{Bundle, LOG_LINES};
use crate::facts::live::{Live, Resource};
use crate::facts::manifest::{Manifest, entry};
use crate::facts::{Answer, CephCommand, Cluster, Cost, Fact, Kind, Reading, Source, Why, kinds};
use crate::overview;
use crate::redact::{self, Anonymized, Replaced};

/// Reads under way at once; the source has tighter limits of its own.
const AT_ONCE: usize = 24;
/// A diagnosis goes down at most so many levels, and then a list may turn out to be refused.
const ROUNDS: usize = 24;

/// What to record.
#[derive(Clone, Debug)]
pub struct Plan {
    pub scope: Scope,
    /// What a person wants to see, too.
    pub all: bool,
    pub logs: LogBounds,
    pub budget: Budget,
    /// Names and addresses are replaced.
    pub anonymize: bool,
    /// When reading ends, whatever is left.
    pub deadline: Duration,
}

impl Plan {
    /// A log is read as far as a diagnosis does; with `all` ten times as far.
    pub fn new(scope: Scope, all: bool, since: Duration) -> Self {
        let few = LogBounds { lines: LOG_LINES, bytes: crate::facts::archive::LOG_BYTES, since: None };
        let many = LogBounds { lines: 10 * LOG_LINES, bytes: 4 << 20, since: Some(since) };
        let deadline = scope.timeout;
        let budget = Budget { all: 1 << 30, logs: 512 << 20 };
        Self { scope, all, logs: if all { many } else { few }, budget, anonymize: false, deadline }
    }
}

/// A recorded cluster.
pub struct Captured {
    pub tree: Tree,
    pub manifest: Manifest,
    pub counts: Counts,
    /// What stands for what, if names were replaced: for the owner of the cluster alone.
    pub replaced: Vec<Replaced>,
}

impl Captured {
    /// What could not be read, and why. What the cluster does not have is not missing.
    pub fn missing(&self) -> impl Iterator<Item = (&str, &str)> {
        let coverage = self.manifest.coverage.iter();
        let missing = coverage.filter(|(_, said)| !["ok", "not-found"].contains(&said.as_str()));
        missing.map(|(what, said)| (what.as_str(), said.as_str()))
    }
}

/// Told of the progress: what came last, how many of how many, and the bytes that are kept.
pub type Progress<'p> = &'p (dyn Fn(&str, usize, usize, u64) + Send + Sync);

/// Records a cluster.
pub async fn capture(live: &Live, plan: &Plan, progress: Progress<'_>) -> anyhow::Result<Captured> {
    let collected = Collected::new(plan.budget);
    let deadline = Instant::now() + plan.deadline;
    let mut capture = Capture { live, plan, progress, deadline, collected, done: BTreeSet::new() };
    capture.base().await;
    capture.complete().await?;
    let manifest = capture.manifest();
    let (mut tree, mut replaced) = (capture.collected.tree_with(&manifest)?, Vec::new());
    if plan.anonymize {
        Anonymized { tree, replaced } = redact::anonymize(&tree);
    }
    Ok(Captured { tree, counts: capture.collected.counts(), manifest, replaced })
}

struct Capture<'c> {
    live: &'c Live,
    plan: &'c Plan,
    progress: Progress<'c>,
    deadline: Instant,
    collected: Collected,
    done: BTreeSet<Read>,
}

impl Capture<'_> {
    /// Every kind that checks read: over all namespaces, or, of kinds that are full of what strangers run, in the
    /// namespaces that matter.
    async fn base(&mut self) {
        let served = self.discovery().await;
        let leases = self.live.resource(kinds::LEASE).await;
        // First of all: clocks are told by them.
        let mut first = vec![Read::List { of: leases, ns: Some("kube-node-lease".into()) }];
        let mut within = Vec::new();
        for &kind in kinds::ALL {
            let is_served =
                served.as_ref().is_none_or(|served| served.contains(&format!("{}/{}", kind.group, kind.plural)));
            if kind.is_custom() && !is_served {
                self.collected.note(kind.resource(), "not-found");
                continue;
            }
            let of = self.live.resource(kind).await;
            if scope::WITHIN.contains(&kind) {
                within.push(of);
            } else {
                first.push(Read::List { of, ns: None });
            }
        }
        first.push(Read::List { of: scope::CRDS.into(), ns: None });
        if self.plan.all {
            first.extend(self.more_kinds().await.into_iter().map(|of| Read::List { of, ns: None }));
            let (namespaced, whole): (Vec<_>, Vec<_>) =
                scope::BUILTIN.iter().map(|kind| Resource::from(*kind)).partition(|of| of.namespaced);
            within.extend(namespaced);
            first.extend(whole.into_iter().map(|of| Read::List { of, ns: None }));
        }
        self.run(first.clone()).await;
        // What was refused over all namespaces may be allowed in some.
        let refused = first.into_iter().filter_map(|read| match read {
            Read::List { of, ns: None } if of.namespaced && !self.collected.has_all(&of) => Some(of),
            _ => None,
        });
        within.extend(refused);
        let namespaces = scope::namespaces(self.collected.tree(), &self.plan.scope);
        let reads = namespaces
            .iter()
            .flat_map(|ns| within.iter().map(move |of| Read::List { of: of.clone(), ns: Some(ns.clone()) }));
        self.run(reads.collect()).await;
    }

    /// The namespaces that matter. Who may not look for CephClusters in all has one in the namespace of the context.
    async fn namespaces(&self) -> Vec<String> {
        let mut scope = self.plan.scope.clone();
        let clusters = self.live.resource(kinds::CEPH_CLUSTER).await;
        if scope.namespace.is_none() && !self.collected.has_all(&clusters) {
            scope.namespace = Some(self.live.default_namespace().to_owned());
        }
        scope::namespaces(self.collected.tree(), &scope)
    }

    /// What is served, if the server tells.
    async fn discovery(&mut self) -> Option<BTreeSet<String>> {
        match tokio::time::timeout_at(self.deadline, self.live.fetch(&Fact::Discovery))
            .await
            .unwrap_or(Err(Why::Deadline))
        {
            Ok(Reading { answer: Answer::Kinds(kinds), .. }) => {
                self.collected.note(entry(&Fact::Discovery), "ok");
                Some(kinds)
            }
            Ok(_) => None,
            Err(why) => {
                self.collected.note(entry(&Fact::Discovery), &crate::facts::manifest::word(&why));
                None
            }
        }
    }

    /// The kinds of the groups of Rook, CSI, Multus and Kube-OVN that no check reads.
    async fn more_kinds(&self) -> Vec<Resource> {
        let groups = kinds::ALL.iter().filter(|kind| kind.is_custom()).map(|kind| kind.group).collect();
        let mut all = self.live.resources_of(&groups).await.unwrap_or_default();
        all.retain(|of| !kinds::ALL.iter().any(|kind| kind.resource() == of.name()));
        all
    }

    /// Asks a diagnosis of what is there what it lacks, and reads that.
    async fn complete(&mut self) -> anyhow::Result<()> {
        let mut known: BTreeSet<String> = BTreeSet::new();
        for _ in 0..ROUNDS {
            let (lacking, clusters) = self.lacking().await?;
            self.live.clusters(&clusters);
            let mut reads: Vec<Read> = Vec::new();
            for cluster in clusters.iter().filter(|cluster| known.insert(cluster.ns.clone())) {
                reads.extend(self.of_cluster(cluster));
            }
            for fact in lacking {
                reads.extend(self.read_for(fact).await);
            }
            reads.retain(|read| !self.done.contains(read));
            if reads.is_empty() {
                break;
            }
            self.run(reads).await;
        }
        if self.plan.all {
            let namespaces = self.namespaces().await;
            let logs = scope::logs(self.collected.tree(), &namespaces);
            self.run(logs.into_iter().map(Read::Fact).collect()).await;
        }
        Ok(())
    }

    /// What is asked for every CephCluster, whether a check wants it or not.
    fn of_cluster(&self, cluster: &Cluster) -> Vec<Read> {
        let ns = &cluster.ns;
        let asked = CephCommand::ALL.iter().map(|&command| Read::Fact(Fact::Ceph { ns: ns.clone(), command }));
        let more = ceph::MORE.iter().filter(|_| self.plan.all);
        let more = more.map(|command| Read::Ask { ns: ns.clone(), command });
        let sockets: &[&'static str] = if self.plan.all { ceph::SOCKETS } else { &[] };
        let commands: Vec<&'static str> = ["mon_status"].iter().chain(sockets).copied().collect();
        let sockets = scope::mons(self.collected.tree(), ns).into_iter().flat_map(|(pod, daemon)| {
            let socket = move |command| Fact::Socket {
                ns: ns.clone(),
                pod: pod.clone(),
                container: "mon".to_owned(),
                daemon: daemon.clone(),
                command,
            };
            commands.clone().into_iter().map(socket).map(Read::Fact).collect::<Vec<_>>()
        });
        asked.chain(more).chain(sockets).collect()
    }

    /// What a diagnosis of the recording could not know because it was not read.
    async fn lacking(&self) -> anyhow::Result<(BTreeSet<Fact>, Vec<Cluster>)> {
        let bundle = self.collected.bundle(&self.manifest())?;
        let asking = Asking { bundle, lacking: Mutex::default(), clusters: Mutex::default() };
        let scope = Scope {
            timeout: Duration::from_secs(3600),
            overviews: overview::ALL.to_vec(),
            timeline: true,
            fallback_namespace: self.live.default_namespace().to_owned(),
            ..self.plan.scope.clone()
        };
        diagnose(&asking, checks::ALL, &scope, &|_, _| {}).await;
        let Asking { lacking, clusters, .. } = asking;
        let lacking = lacking.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok((lacking, clusters.into_inner().unwrap_or_else(PoisonError::into_inner)))
    }

    /// What to read so that a fact is known.
    async fn read_for(&self, fact: Fact) -> Option<Read> {
        match fact {
            Fact::Rows { kind, ns, .. } => Some(self.list(kind, Some(ns).filter(|ns| !ns.is_empty())).await),
            Fact::List { kind, ns, .. } => Some(self.list(kind, ns).await),
            Fact::Object { kind, ns, name } | Fact::Whole { kind, ns, name } => {
                let list = self.list(kind, Some(ns.clone()).filter(|ns| !ns.is_empty())).await;
                let of = self.live.resource(kind).await;
                let is_known = self.collected.has_all(&of);
                let alone = Read::Fact(Fact::Object { kind, ns, name });
                Some(if is_known || self.done.contains(&list) { alone } else { list })
            }
            Fact::Log { .. } | Fact::Ceph { .. } | Fact::Socket { .. } => Some(Read::Fact(fact)),
            Fact::Discovery | Fact::OkToStop { .. } => None,
        }
    }

    async fn list(&self, kind: Kind, ns: Option<String>) -> Read {
        Read::List { of: self.live.resource(kind).await, ns: ns.filter(|_| kind.namespaced) }
    }

    /// Reads all this, as much of it at once as the source allows.
    async fn run(&mut self, reads: Vec<Read>) {
        let reads: Vec<Read> = reads.into_iter().filter(|read| self.done.insert(read.clone())).collect();
        let (live, logs, deadline, of) = (self.live, self.plan.logs, self.deadline, reads.len());
        let mut under_way = stream::iter(reads)
            .map(|read| async move {
                let got = tokio::time::timeout_at(deadline, read.perform(live, logs)).await;
                (read, got.unwrap_or(Err(Why::Deadline)))
            })
            .buffer_unordered(AT_ONCE);
        let mut count = 0;
        while let Some((read, got)) = under_way.next().await {
            if matches!(&read, Read::List { of, .. } if of.plural == kinds::LEASE.plural) {
                self.collected.time.get_or_insert_with(|| second(live.now()));
            }
            self.collected.keep(&read, got);
            count += 1;
            (self.progress)(&read.describe(), count, of, self.collected.counts().bytes);
        }
    }

    fn manifest(&self) -> Manifest {
        let name = (!self.plan.anonymize).then(|| self.live.context().to_owned());
        self.collected.manifest(name, self.live.server_version())
    }
}

/// Clocks are told in whole seconds.
fn second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// A recording that notes what is asked of it in vain.
struct Asking {
    bundle: Bundle,
    lacking: Mutex<BTreeSet<Fact>>,
    clusters: Mutex<Vec<Cluster>>,
}

impl Source for Asking {
    fn fetch<'a>(&'a self, fact: &'a Fact) -> BoxFuture<'a, Result<Reading, Why>> {
        Box::pin(async move {
            let answer = self.bundle.fetch(fact).await;
            let is_lacking = match &answer {
                Ok(reading) => reading.flaws.contains(&Why::NotCaptured),
                // Who may not list may still get.
                Err(why) => *why == Why::NotCaptured || matches!(fact, Fact::Object { .. }),
            };
            if is_lacking {
                self.lacking.lock().unwrap_or_else(PoisonError::into_inner).insert(fact.clone());
            }
            answer
        })
    }

    fn now(&self) -> Timestamp {
        self.bundle.now()
    }

    fn cost(&self) -> Cost {
        self.bundle.cost()
    }

    fn clusters(&self, clusters: &[Cluster]) {
        *self.clusters.lock().unwrap_or_else(PoisonError::into_inner) = clusters.to_vec();
    }

    fn server_version(&self) -> Option<String> {
        self.bundle.server_version()
    }
}
