use std::collections::BTreeSet;

use super::{EXTERNAL, Lost, Quorum, assigned_nodes, daemon, list, majority, mons, quorum};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy};
use crate::facts::{Facts, Gap};
use crate::objects::ceph::MonStatus;
use crate::say;

check! {
    /// # What it looks at
    /// Whether more than half of the monitors in the monmap form a quorum: `ceph status` answers only with one.
    /// If it does not answer, each running monitor is asked on its admin socket (`mon_status`), which needs no
    /// quorum; pods and nodes tell which of the others cannot answer. Exec that is forbidden proves nothing: with no
    /// socket answered the question stays open.
    ///
    /// # Why it matters
    /// Without a quorum every Ceph command hangs, no client gets a map, and I/O stops. Rook cannot fail a monitor
    /// over either, as that is itself a change of the monmap.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> get pods -l app=rook-ceph-mon -o wide`, then in each running one
    /// `ceph --admin-daemon /run/ceph/ceph-mon.<id>.asok mon_status`: `state` probing or electing, an empty
    /// `quorum`, and `monmap.mons` for how many count.
    ///
    /// # Fix
    /// Bring the missing monitors back with their data; the quorum then forms by itself and nothing is lost. Only if
    /// they are lost for good, and after each of their nodes is proved to be powered off, is
    /// `kubectl rook-ceph mons restore-quorum <survivor>` right: it makes one monitor the only one and destroys
    /// what the others hold. Behind a partition the missing side may hold the majority and serve; two old monitors
    /// that boot again form the old quorum.
    ///
    /// # References
    /// Rook: Troubleshooting/disaster-recovery, "Restoring Mon Quorum"; Ceph: rados/troubleshooting-mon.
    "MON001" "quorum-lost" Mon,
    needs: [CephStatus, MonPods, MonSockets, Nodes, Objects],
    explained_by: [
        (node::node_not_ready, Node), (node::node_rebooted, Node), (node::cni_not_ready, Node),
        (node::node_clock_skew, Node), (net::nad_default_route, Cluster),
        (net::nad_overlaps_cluster_network, Cluster), (net::nad_host_local_shared, Daemon),
        (net::sandbox_failing, Node), (net::nad_range_exhausted, Node), (net::nad_master_missing, Node),
        (net::cni_plugin_missing, Node), (net::multus_init_crash, Node), (net::multus_daemon_down, Node),
        (ovn::ovs_ovn_unhealthy, Node), (ovn::kube_ovn_cni_unhealthy, Node), (ovn::stale_after_reboot, Node),
        (ovn::ovn_central_down, Cluster), (mon::all_mons_down, Cluster), (mon::mon_not_running, Daemon),
        (mon::mon_unschedulable, Daemon),
        (net::network_policy_blocks, Daemon), (mon::mon_stale_store, Daemon), (mon::mon_endpoints_mismatch, Daemon),
        (mon::mon_disk_low, Daemon), (mon::mon_network_changed, Daemon), (mon::mon_bind_address, Daemon),
        (mon::mon_netsplit, Daemon),
    ],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    if facts.cluster()?.external {
        return Ok(Answered::NotApplicable(EXTERNAL));
    }
    match quorum(facts)? {
        Quorum::Holds { .. } => Ok(Answered::passed()),
        Quorum::Lost(lost) => Ok(Answered::judged(vec![finding(facts, &lost)?])),
        Quorum::Open(blind) => Ok(Answered::passed().blind(blind)),
    }
}

fn finding(facts: &Facts<'_>, lost: &Lost<'_>) -> Result<Finding, Gap> {
    let cluster = facts.cluster()?;
    let (pods, assigned) = (mons(facts)?, assigned_nodes(facts)?);
    let node_of = |id: &str| {
        let seen = pods.iter().find(|mon| mon.id == id).and_then(|mon| mon.node);
        seen.or_else(|| assigned.get(id).map(String::as_str))
    };
    let nodes: Vec<(&str, &str)> = lost.missing.iter().filter_map(|id| Some((*id, node_of(id)?))).collect();
    let needed = majority(lost.map.len());
    let states = lost.answered.iter().map(|status| format!("mon.{} {}", status.name, status.state)).collect::<Vec<_>>();
    let missing = match lost.missing.as_slice() {
        [] => say!("none"),
        missing => say!("{}", list(missing.iter().copied())),
    };
    let summary = say!(
        "no quorum: {} of {} monitors answer ({}), {} are needed; missing: {}",
        lost.answered.len(),
        lost.map.len(),
        states.join(", "),
        needed,
        missing
    );
    let sockets = lost.answered.iter().map(|status| Evidence::socket(&format!("mon.{}", status.name), state(status)));
    let unheard = pods.iter().filter(|mon| lost.missing.contains(&mon.id));
    Ok(Finding::critical(ObjectRef::cluster(cluster), summary, remedy(&cluster.ns, lost, &nodes))
        .at(lost.map.iter().map(|id| daemon(id)).chain(nodes.iter().map(|(_, node)| Place::node(*node))))
        .evidence(sockets)
        .evidence(unheard.map(|mon| Evidence::pod_row(mon.pod, &cluster.ns)))
        .evidence([Evidence::unknown(&lost.asked)]))
}

fn state(status: &MonStatus) -> String {
    let map = &status.monmap;
    format!("state {}, quorum {:?}, monmap of {} (epoch {})", status.state, status.quorum, map.mons.len(), map.epoch)
}

/// A monitor on a node out of reach is not proved dead; that must be told before anything that destroys.
fn remedy(ns: &str, lost: &Lost<'_>, nodes: &[(&str, &str)]) -> Remedy {
    let pods = format!("kubectl -n {ns} get pods -l app=rook-ceph-mon -o wide");
    let needed = majority(lost.map.len());
    let far: Vec<&str> = nodes.iter().map(|(_, node)| *node).filter(|node| lost.gone.contains(node)).collect();
    if far.is_empty() {
        let whom = match lost.missing.as_slice() {
            [] => say!("the network between the monitors"),
            missing => say!("{}", list(missing.iter().copied())),
        };
        return Remedy::guided(say!("bring {} back and look again in two minutes: as soon as {} monitors reach each other the quorum forms by itself, then mgr, OSDs, PGs, MDS and consumers follow; no monitor is lost, so do not restore the quorum by hand, delete a monitor or change the monmap", whom, needed))
            .command(pods);
    }
    let names = far.iter().copied().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(" ");
    let serving = if far.len() >= needed {
        say!("the side out of reach holds the majority of the monitors: they may be in quorum and serve over there")
    } else {
        say!("monitors out of reach are not proved dead")
    };
    let survivor = lost.answered.first().map_or("", |status| status.name.as_str());
    Remedy::guided(say!("first bring {} back (power, console): the monitors return with their disks and nothing is lost; {}. Only if that is impossible for good: prove {} powered off and never let it boot again with its old data directory, back up the data directory of mon.{}, and only then run `kubectl rook-ceph mons restore-quorum {}`, which destroys what the other monitors hold; never both", names, serving, names, survivor, survivor))
        .command(format!("kubectl get node {names} -o wide"))
        .command(pods)
}
