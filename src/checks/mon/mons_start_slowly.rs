use jiff::{SignedDuration, Timestamp};

use super::{EXTERNAL, PREFIX, daemon, existed};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy};
use crate::checks::opr::older;
use crate::facts::{Facts, Gap, both};
use crate::objects::kube::Deployment;
use crate::objects::rook::CephCluster;
use crate::say;

check! {
    /// # What it looks at
    /// A new cluster (no quorum was ever reported, no mgr was deployed) whose monitors' Deployments were made more
    /// than five minutes apart, or that stands at fewer monitors than it wants for a quarter of an hour.
    ///
    /// # Why it matters
    /// Rook starts a monitor and asks it for its quorum, sixty times; each question that gets no answer costs its
    /// timeout, so some twenty minutes pass, the reconcile fails, and the next try adds one more monitor. Nothing is
    /// deployed after the monitors, though all pods are Running.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> get deploy -l app=rook-ceph-mon --sort-by=.metadata.creationTimestamp` and, in the operator's
    /// log, `mons running` and `exec timeout` in turn.
    ///
    /// # Fix
    /// It is a symptom: the operator cannot reach the monitors. Look at routes and gateways of the storage
    /// network's NAD, at the pod network and at NetworkPolicies; more monitors or more time do not help.
    ///
    /// # References
    /// Rook: Troubleshooting/ceph-common-issues, "Only mons are created"; pkg/operator/ceph/cluster/mon/mon.go.
    "MON003" "mons-start-slowly" Mon,
    needs: [Discovery, CephClusters, MonDeployments, MgrPods],
    explained_by: [
        (opr::operator_cannot_reach_mons, Cluster), (opr::operator_down, Cluster), (net::nad_default_route, Cluster),
        (net::nad_overlaps_cluster_network, Cluster), (net::nad_gateway, Cluster), (node::image_pull_failing, Daemon),
        (mon::mon_not_running, Cluster), (mon::mon_unschedulable, Cluster),
        (mon::mon_stale_store, Cluster), (mon::mon_bind_address, Cluster),
    ],
}

const APART: SignedDuration = SignedDuration::from_mins(5);
const STANDING: SignedDuration = SignedDuration::from_mins(15);

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    if facts.cluster()?.external {
        return Ok(Answered::NotApplicable(EXTERNAL));
    }
    let cluster = facts.ceph_cluster()?;
    if existed(cluster) {
        return Ok(Answered::passed());
    }
    let (deployments, mgrs) = both(facts.mon_deployments(), facts.mgr_pods())?;
    let mut mons: Vec<(Timestamp, &str)> = deployments.iter().filter_map(born).collect();
    mons.sort_unstable();
    let Some(&(newest, _)) = mons.last().filter(|_| mgrs.is_empty()) else { return Ok(Answered::passed()) };
    let gaps = mons.windows(2).map(|pair| pair[1].0.duration_since(pair[0].0));
    let widest = gaps.max().unwrap_or_default();
    let wanted = if cluster.spec.mon.count == 0 { 3 } else { cluster.spec.mon.count };
    let stands = mons.len() < wanted && older(facts, Some(newest), STANDING);
    let slow = widest > APART || stands;
    Ok(Answered::judged(slow.then(|| finding(facts, cluster, &mons, wanted, widest)).into_iter().collect()))
}

fn born(deployment: &Deployment) -> Option<(Timestamp, &str)> {
    let id = deployment.metadata.name.strip_prefix(PREFIX).filter(|id| !id.contains('-'))?;
    Some((deployment.metadata.creation_timestamp?, id))
}

fn finding(
    facts: &Facts<'_>,
    cluster: &CephCluster,
    mons: &[(Timestamp, &str)],
    wanted: usize,
    widest: SignedDuration,
) -> Finding {
    let object = ObjectRef::of::<CephCluster>(&cluster.metadata);
    let ns = &cluster.metadata.namespace;
    let ids = mons.iter().map(|(_, id)| *id);
    let apart = if widest > APART {
        say!("up to {} min apart", widest.as_mins())
    } else {
        let newest = mons.last().map(|(at, _)| crate::checks::opr::ago(facts, *at));
        say!("none for {}", newest.unwrap_or_default())
    };
    let summary =
        say!("{} of {} monitors of a new cluster came up ({}), and nothing after them", mons.len(), wanted, apart);
    let remedy = Remedy::advice(say!("more time does not help: the operator asks each monitor for its quorum and gets no answer; look at what lies between them (routes and gateway of the storage network's NAD, pod network, NetworkPolicies)"))
        .command(format!("kubectl -n {ns} get deploy -l app=rook-ceph-mon --sort-by=.metadata.creationTimestamp"));
    let made = |&(at, id): &(Timestamp, &str)| {
        Evidence::field(&super::deployment(ns, id), "metadata.creationTimestamp", at).at(Some(at))
    };
    Finding::warning(object, summary, remedy)
        .since(mons.first().map(|(at, _)| *at))
        .at(ids.map(daemon))
        .evidence(mons.iter().map(made))
}
