//! The live source: an API server, and commands run in containers through it.
//!
//! Every request is bounded in time and size and counted; what may heal within a second is tried again. Whatever
//! fails becomes a reason ([`Why`]), never an empty answer.

mod api;
mod connect;
mod discovery;
mod exec;
mod in_cluster;
mod ladder;
mod lists;
mod proxy;
mod record;
mod write;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::OnceCell;

use self::api::Api;
use self::discovery::Discovered;
use self::exec::Container;
use self::ladder::Climb;
use super::{Answer, Cluster, Cost, Fact, Reading, Source, Why};

pub(crate) use api::chain;
pub use connect::{ConnectError, Known, Options, connect, known};
pub use discovery::Resource;
pub(crate) use record::{Line, Lines};
pub use write::{Permission, Write, Written};

/// A connected cluster.
pub struct Live {
    api: Arc<Api>,
    context: String,
    default_namespace: String,
    own_namespace: String,
    version: Option<String>,
    limits: Limits,
    discovery: OnceCell<Result<Discovered, Why>>,
    /// All events of type Warning; none where there are too many to read them all.
    warnings: OnceCell<Result<Option<Vec<Value>>, Why>>,
    clusters: RwLock<Vec<Cluster>>,
    /// How Ceph commands are run, by the namespace of the CephCluster.
    ladders: Mutex<BTreeMap<String, Arc<OnceCell<Climb>>>>,
}

const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The time that things may take.
#[derive(Clone, Copy, Debug)]
struct Limits {
    small: Duration,
    /// One page of a list.
    list: Duration,
    run: Duration,
}

impl Limits {
    fn new(options: &Options) -> Self {
        // A time without end is cut here, so that adding to it never overflows.
        let or = |chosen: Option<Duration>, seconds| chosen.unwrap_or(Duration::from_secs(seconds)).min(LONGEST);
        Self {
            small: or(options.request_timeout, 15),
            list: or(options.request_timeout, 30),
            run: or(options.timeout, 60),
        }
    }
}

impl Live {
    fn new(api: Api, context: String, namespaces: (String, String), version: Option<String>, limits: Limits) -> Self {
        let (default_namespace, own_namespace) = namespaces;
        Self {
            api: Arc::new(api),
            context,
            default_namespace,
            own_namespace,
            version,
            limits,
            discovery: OnceCell::new(),
            warnings: OnceCell::new(),
            clusters: RwLock::default(),
            ladders: Mutex::default(),
        }
    }

    /// The same cluster over the same connection, with nothing remembered: what is read from now on is fresh.
    pub fn fresh(&self) -> Self {
        Self {
            api: Arc::clone(&self.api),
            context: self.context.clone(),
            default_namespace: self.default_namespace.clone(),
            own_namespace: self.own_namespace.clone(),
            version: self.version.clone(),
            limits: self.limits,
            discovery: self.discovery.clone(),
            warnings: OnceCell::new(),
            clusters: RwLock::new(self.clusters.read().unwrap_or_else(PoisonError::into_inner).clone()),
            ladders: Mutex::default(),
        }
    }

    /// The same connection, and nothing else of before: not even what is served is remembered.
    pub fn anew(&self) -> Self {
        Self { discovery: OnceCell::new(), clusters: RwLock::default(), ..self.fresh() }
    }

    /// The name of the kubeconfig's context; `in-cluster` without a kubeconfig.
    pub fn context(&self) -> &str {
        &self.context
    }

    /// The namespace of the context, or the one that was chosen on the command line.
    pub fn default_namespace(&self) -> &str {
        &self.default_namespace
    }

    /// The namespace of the context whatever was chosen; in a pod its own.
    pub fn own_namespace(&self) -> &str {
        &self.own_namespace
    }

    /// The ways to run Ceph commands that were tried and failed, and why: `("toolbox", "no running pod")`.
    pub fn ladder(&self, ns: &str) -> Vec<(String, String)> {
        let ladder = self.ladder_of(ns);
        let attempts = ladder.get().into_iter().flat_map(Climb::attempts);
        attempts.map(|(rung, why)| (rung.to_owned(), why.to_owned())).collect()
    }

    /// The cluster in this namespace; before any is known, one whose operator lives beside it.
    fn cluster(&self, ns: &str) -> Cluster {
        let clusters = self.clusters.read().unwrap_or_else(PoisonError::into_inner);
        let known = clusters.iter().find(|cluster| cluster.ns == ns).cloned();
        known.unwrap_or_else(|| Cluster {
            ns: ns.to_owned(),
            name: ns.to_owned(),
            operator_ns: ns.to_owned(),
            external: false,
        })
    }

    async fn answer(&self, fact: &Fact) -> Result<Answer, Why> {
        Ok(match fact {
            Fact::Discovery => Answer::Kinds(self.discovered().await?.kinds()),
            Fact::Rows { kind, ns, label } => Answer::Rows(self.table(*kind, ns, label).await?),
            Fact::List { kind, ns, select } => Answer::Objects(self.list(*kind, ns.as_deref(), select).await?),
            Fact::Object { kind, ns, name } | Fact::Whole { kind, ns, name } => {
                Answer::Objects(self.object(*kind, ns, name).await?)
            }
            Fact::OkToStop { ns, osds } => Answer::Text(self.ok_to_stop(ns, osds).await?),
            Fact::Log { ns, pod, container, previous } => Answer::Text(self.log(ns, pod, container, *previous).await?),
            Fact::Ceph { ns, command } => Answer::Text(self.ceph(ns, *command).await?),
            Fact::Socket { ns, pod, container, daemon, command } => {
                let at = Container { ns: ns.clone(), pod: pod.clone(), container: container.clone() };
                Answer::Text(self.socket(&at, daemon, command).await?)
            }
        })
    }
}

impl Source for Live {
    fn fetch<'a>(&'a self, fact: &'a Fact) -> BoxFuture<'a, Result<Reading, Why>> {
        async move { self.answer(fact).await.map(Reading::from) }.boxed()
    }

    fn now(&self) -> Timestamp {
        self.api.now()
    }

    fn cost(&self) -> Cost {
        let ladders = self.ladders.lock().unwrap_or_else(PoisonError::into_inner);
        let rung = ladders.values().find_map(|ladder| ladder.get()?.rung());
        Cost {
            requests: self.api.spent.requests.load(Ordering::Relaxed),
            retries: self.api.spent.retries.load(Ordering::Relaxed),
            bytes: self.api.spent.bytes.load(Ordering::Relaxed),
            exec_rung: rung.map(str::to_owned),
        }
    }

    fn clusters(&self, clusters: &[Cluster]) {
        *self.clusters.write().unwrap_or_else(PoisonError::into_inner) = clusters.to_vec();
    }

    fn server_version(&self) -> Option<String> {
        self.version.clone()
    }
}
