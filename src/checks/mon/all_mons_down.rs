use super::{EXTERNAL, Mon, assigned_nodes, daemon, existed, list, mons};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy};
use crate::facts::tables::NodeRow;
use crate::facts::{Facts, Gap, Settled, both};
use crate::objects::rook::CephCluster;
use crate::say;

check! {
    /// # What it looks at
    /// Whether any monitor runs at all in a cluster that existed before: pods `app=rook-ceph-mon` that are Running
    /// on a node that is Ready. A cluster that is only being made, or being deleted, is not judged here.
    ///
    /// # Why it matters
    /// Everything waits for the monitors: no daemon starts, no client gets a map, and the operator cannot act. What
    /// the status of the CephCluster says is from before.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> get pods -l app=rook-ceph-mon -o wide` and `kubectl get nodes`.
    ///
    /// # Fix
    /// In this order: nodes and their clocks, the pod network, the monitors' pods, then wait for the quorum. mgr, OSDs,
    /// PGs, MDS and consumers follow by themselves. Nothing is lost yet: neither restore the quorum by hand nor delete
    /// a monitor, its Deployment or its data. Afterwards look for flags and mounts that were left.
    ///
    /// # References
    /// Rook: Troubleshooting/disaster-recovery; Ceph: rados/troubleshooting/troubleshooting-mon.
    "MON012" "all-mons-down" Mon,
    needs: [Discovery, CephClusters, MonPods, Nodes, Objects],
    explained_by: [
        (node::node_not_ready, Node), (node::node_rebooted, Node), (node::cni_not_ready, Node),
        (node::image_pull_failing, Node), (net::nad_missing, Cluster), (net::nad_invalid, Cluster),
        (net::multus_missing, Cluster), (net::sandbox_failing, Node), (net::nad_range_exhausted, Node),
        (net::nad_master_missing, Node), (net::cni_plugin_missing, Node), (net::multus_init_crash, Node),
        (net::multus_daemon_down, Node), (ovn::ovn_central_down, Cluster), (ovn::ovs_ovn_unhealthy, Node),
        (ovn::kube_ovn_cni_unhealthy, Node), (ovn::stale_after_reboot, Node), (mon::mon_not_running, Daemon),
        (mon::mon_unschedulable, Daemon),
        (mon::mon_stale_store, Daemon), (mon::mon_disk_low, Daemon), (mon::mon_network_changed, Daemon),
        (mon::mon_bind_address, Daemon),
    ],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    if facts.cluster()?.external {
        return Ok(Answered::NotApplicable(EXTERNAL));
    }
    let (mons, nodes) = both(mons(facts), facts.nodes().settled())?;
    let cluster = facts.ceph_cluster()?;
    if cluster.metadata.deletion_timestamp.is_some() {
        return Ok(Answered::NotApplicable("the CephCluster is being deleted"));
    }
    let running = || mons.iter().filter(|mon| mon.runs());
    if !existed(cluster) {
        return Ok(Answered::passed());
    }
    let alive = match nodes {
        Ok(nodes) => running().any(|mon| !mon.node.is_some_and(|node| is_gone(nodes, node))),
        // Pods that do not run prove it without the nodes.
        Err(_) if running().next().is_none() => false,
        Err(unknown) => return Ok(Answered::passed().blind([unknown])),
    };
    Ok(Answered::judged(if alive { Vec::new() } else { vec![finding(facts, cluster, &mons)?] }))
}

/// The row of a pod on a node that is lost still says Running.
fn is_gone(nodes: &[NodeRow], name: &str) -> bool {
    nodes.iter().any(|node| node.name == name && !node.is_ready())
}

fn finding(facts: &Facts<'_>, cluster: &CephCluster, mons: &[Mon<'_>]) -> Result<Finding, Gap> {
    let ns = &facts.cluster()?.ns;
    let assigned = assigned_nodes(facts)?;
    let nodes = mons.iter().filter_map(|mon| mon.node.map(str::to_owned)).chain(assigned.into_values());
    let ids = mons.iter().map(|mon| mon.id);
    let names = if mons.is_empty() { say!("no monitor has a pod") } else { say!("{}", list(ids.clone())) };
    let object = ObjectRef::of::<CephCluster>(&cluster.metadata);
    let summary = say!("no monitor runs ({})", names);
    let remedy = Remedy::guided(say!("recover in this order: nodes and clocks, pod network, monitors' pods (scaled to 0 by hand: scale them to 1, the operator last), then wait for the quorum; mgr, OSDs, PGs, MDS and consumers follow by themselves; nothing is lost yet, so do not restore the quorum by hand and delete no monitor, Deployment or data"))
        .command("kubectl get nodes -o wide")
        .command(format!("kubectl -n {ns} get deploy,pods -l app=rook-ceph-mon -o wide"));
    let looked = Evidence::field(
        &object,
        "status.ceph",
        format!("{} as of {}", cluster.status.ceph.health, cluster.status.ceph.last_checked),
    );
    Ok(Finding::critical(object, summary, remedy)
        .at(ids.map(daemon).chain(nodes.map(Place::node)))
        .evidence(mons.iter().map(|mon| Evidence::pod_row(mon.pod, ns)))
        .evidence([looked]))
}
