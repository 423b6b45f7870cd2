//! What a story is made from. Most of it is read by checks anyway; the rest is a few lists, and few single objects.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::Place;
use crate::checks::net::{multus_daemon_sets, multus_pods};
use crate::checks::node::{Boots, boots, daemon_of, restarted_lately, rook_pods};
use crate::checks::opr::operator_log;
use crate::checks::ovn;
use crate::facts::tables::PodRow;
use crate::facts::{Fact, Facts, Gap, Kind, Log, Row, Select, Settled, Unknown, Why, kinds};
use crate::objects::ceph::Health;
use crate::objects::kube::{Event, Node, Pod};
use crate::objects::rook::CephCluster;

pub const NEEDS: &[Row] = &[
    Row::Discovery,
    Row::CephClusters,
    Row::Nodes,
    Row::DaemonSets,
    Row::OperatorPods,
    Row::MonPods,
    Row::MgrPods,
    Row::OsdPods,
    Row::PreparePods,
    Row::MdsPods,
    Row::RgwPods,
    Row::GatewayPods,
    Row::CsiPods,
    Row::ClusterEvents,
    Row::OperatorEvents,
    Row::NodeEvents,
    Row::RebootEvents,
    Row::CephHealth,
    Row::PodTables,
    Row::Objects,
    Row::Logs,
];

/// Pods that are opened beyond those that checks open, and nodes.
const PODS: usize = 8;
const NODES: usize = 8;
/// Events of type Normal that tell something.
const TELLING: &[&str] = &["Killing", "ReconcileSucceeded", "ScalingReplicaSet"];

/// All that was read, and what is still wanted.
pub struct Sources<'s> {
    pub cluster: Option<&'s CephCluster>,
    pub events: Vec<&'s Event>,
    pub boots: Boots,
    pub pods: Vec<&'s Pod>,
    pub nodes: Vec<&'s Node>,
    pub health: Option<&'s Health>,
    /// Namespace, pod and container of each log.
    pub logs: Vec<([&'s str; 3], &'s Log)>,
    /// Where a pod is, and which daemon it is, by namespace and name.
    pub places: BTreeMap<(&'s str, &'s str), BTreeSet<Place>>,
    pub wanted: BTreeSet<Fact>,
    /// Pods and nodes that may have more to tell, and were not opened.
    pub unopened: usize,
    blind: Vec<Unknown>,
}

impl<'s> Sources<'s> {
    /// Never stops: what is missing is wanted, or a blind spot.
    pub fn read(facts: &Facts<'s>) -> Self {
        let mut taking = Taking::default();
        let namespaces = taking.namespaces(facts);
        let events = taking.events(facts, &namespaces);
        let rows = taking.rows(facts);
        taking.open(facts, &rows);
        let boots = taking.take(boots(facts, |_| true)).unwrap_or_default();
        taking.nodes(facts, &boots);
        let cluster = taking.take(facts.ceph_cluster());
        let health = taking.take(facts.ceph_health());
        taking.take(operator_log(facts));
        let (pods, logs) = (facts.at_hand::<Pod>(), facts.logs_at_hand());
        let is_ours = |ns: &str| namespaces.contains(ns);
        Self {
            cluster,
            events,
            pods: pods.into_iter().filter(|pod| is_ours(&pod.metadata.namespace)).collect(),
            nodes: facts.at_hand::<Node>(),
            health,
            logs: logs.into_iter().filter(|([ns, ..], _)| is_ours(ns)).collect(),
            places: rows.iter().map(|row| ((row.ns.as_str(), row.name.as_str()), places(row))).collect(),
            blind: taking.blind.into_iter().chain(boots.blind.iter().cloned()).collect(),
            boots,
            unopened: taking.unopened,
            wanted: taking.wanted,
        }
    }

    /// What could not be read, each once: with what the run had no time or rounds for, and what was read in part.
    pub fn blind(&self, facts: &Facts<'_>) -> BTreeSet<Unknown> {
        let late = self.wanted.iter().map(|fact| Unknown { fact: fact.clone(), why: Why::OverBudget });
        self.blind.iter().cloned().chain(late).chain(facts.flaws()).collect()
    }
}

fn places(row: &PodRow) -> BTreeSet<Place> {
    let node = Some(&row.node).filter(|node| !node.is_empty()).map(Place::node);
    node.into_iter().chain(daemon_of(row)).collect()
}

/// Collects what is wanted and what is blind from many reads.
#[derive(Default)]
struct Taking {
    wanted: BTreeSet<Fact>,
    blind: Vec<Unknown>,
    unopened: usize,
}

impl Taking {
    fn take<T>(&mut self, read: Result<T, Gap>) -> Option<T> {
        match read.settled() {
            Ok(Ok(value)) => return Some(value),
            Ok(Err(unknown)) => self.blind.push(unknown),
            Err(Gap::Wanted(wanted)) => self.wanted.extend(wanted),
            // Where there is no such thing, nothing of it can have happened.
            Err(_) => {}
        }
        None
    }

    /// Those of Rook, of its operator and CSI, and of the network below them.
    fn namespaces(&mut self, facts: &Facts<'_>) -> BTreeSet<String> {
        let mut all = BTreeSet::from(["kube-system".to_owned()]);
        if let Ok(cluster) = facts.cluster() {
            all.extend([cluster.ns.clone(), cluster.operator_ns.clone()]);
        }
        all.extend(self.take(ovn::namespace(facts)).map(str::to_owned));
        let multus = self.take(multus_daemon_sets(facts)).unwrap_or_default();
        all.extend(multus.iter().map(|daemon_set| daemon_set.metadata.namespace.clone()));
        all
    }

    fn events<'s>(&mut self, facts: &Facts<'s>, namespaces: &BTreeSet<String>) -> Vec<&'s Event> {
        let Ok(cluster) = facts.cluster() else { return Vec::new() };
        let own = [facts.cluster_events(), facts.operator_events(), facts.node_events()];
        let mut lists: Vec<_> = own.into_iter().filter_map(|list| self.take(list)).collect();
        for ns in namespaces.iter().filter(|ns| **ns != cluster.ns && **ns != cluster.operator_ns) {
            lists.extend(self.take(facts.list(Some(ns), Select::field("type!=Normal"))));
        }
        for reason in TELLING {
            lists.extend(self.take(facts.list(Some(&cluster.ns), Select::field(format!("reason={reason}")))));
        }
        // Lists overlap.
        let mut known = BTreeSet::new();
        let events = lists.into_iter().flatten();
        let key = |event: &&'s Event| (&event.metadata.namespace, &event.metadata.name, &event.reason);
        events.filter(|event| known.insert(key(event))).collect()
    }

    fn rows<'s>(&mut self, facts: &Facts<'s>) -> Vec<&'s PodRow> {
        let mut rows = Vec::new();
        if let Some(pods) = self.take(rook_pods(facts)) {
            self.blind.extend(pods.blind);
            rows.extend(pods.rows);
        }
        rows.extend(self.take(multus_pods(facts)).unwrap_or_default());
        let agents = ovn::namespace(facts).and_then(|ns| facts.pods_where(ns, ovn::AGENTS));
        rows.extend(self.take(agents).unwrap_or_default());
        rows
    }

    /// Pods that are not well or restarted lately, the worst first. An age in a row is rounded and no time of its own.
    fn open(&mut self, facts: &Facts<'_>, rows: &[&PodRow]) {
        let told = |row: &&&PodRow| !row.is_well() || restarted_lately(row);
        let mut rows: Vec<&PodRow> = rows.iter().filter(told).copied().collect();
        rows.sort_by_key(|row| (row.is_well(), std::cmp::Reverse(row.restarts), &row.ns, &row.name));
        for (at, row) in rows.into_iter().enumerate() {
            if at < PODS || facts.knows(&one(kinds::POD, &row.ns, &row.name)) {
                self.take(facts.pod(&row.ns, &row.name));
            } else {
                self.unopened += 1;
            }
        }
    }

    /// Nodes that are not as they should be, or booted lately.
    fn nodes(&mut self, facts: &Facts<'_>, boots: &Boots) {
        let rows = self.take(facts.nodes()).unwrap_or_default();
        let odd = rows.iter().filter(|row| !row.is_ready() || row.is_cordoned() || boots.seen.contains_key(&row.name));
        for (at, row) in odd.enumerate() {
            if at < NODES || facts.knows(&one(kinds::NODE, "", &row.name)) {
                self.take(facts.object::<Node>("", &row.name));
            } else {
                self.unopened += 1;
            }
        }
    }
}

fn one(kind: Kind, ns: &str, name: &str) -> Fact {
    Fact::Object { kind, ns: ns.to_owned(), name: name.to_owned() }
}
