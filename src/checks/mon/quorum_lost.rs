use std::collections::BTreeSet;

use super::{EXTERNAL, Mon, Quorum, Sockets, assigned_nodes, daemon, list, majority, mons};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Text};
use crate::facts::{Facts, Gap, Settled};
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
        (node::node_clock_skew, Node), (net::nad_default_route, Cluster), (net::nad_host_local_shared, Daemon),
        (net::multus_init_crash, Node), (net::multus_daemon_down, Node), (ovn::ovs_ovn_unhealthy, Node),
        (ovn::kube_ovn_cni_unhealthy, Node), (ovn::stale_after_reboot, Node), (ovn::ovn_central_down, Cluster),
        (mon::all_mons_down, Cluster), (mon::mon_not_running, Daemon), (mon::mon_unschedulable, Daemon),
    ],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    if facts.cluster()?.external {
        return Ok(Answered::NotApplicable(EXTERNAL));
    }
    match super::quorum(facts)? {
        Quorum::Holds { .. } => Ok(Answered::passed()),
        Quorum::Unseen(sockets) => without_an_answer(facts, &sockets),
    }
}

/// Counts who may still be a member. Epoch 0 is the map that a monitor is born with: it never had a quorum.
fn without_an_answer(facts: &Facts<'_>, sockets: &Sockets<'_>) -> Result<Answered, Gap> {
    let asked = facts.ceph_status().settled()?;
    let open = || Ok(Answered::passed().blind(sockets.silent.iter().cloned().chain(asked.clone().err())));
    let newest = sockets.answered.iter().copied().max_by_key(|status| status.monmap.epoch);
    let Some(status) = newest.filter(|status| status.monmap.epoch > 0) else { return open() };
    let seen = mons(facts)?;
    let gone = gone_nodes(facts)?;
    let map: Vec<&str> = status.monmap.mons.iter().map(|mon| mon.name.as_str()).collect();
    let answered: BTreeSet<&str> = sockets.answered.iter().map(|status| status.name.as_str()).collect();
    let missing: Vec<&str> = map.iter().copied().filter(|id| !answered.contains(id)).collect();
    let may_serve = missing.iter().filter(|id| {
        let mon = seen.iter().find(|mon| mon.id == **id);
        mon.is_some_and(|mon| mon.runs() && !mon.node.is_some_and(|node| gone.contains(node)))
    });
    if may_serve.count() >= majority(map.len()) {
        return open();
    }
    let lost = Lost { map: &map, missing: &missing, answered: &sockets.answered, seen: &seen, gone: &gone };
    Ok(Answered::judged(vec![lost.finding(facts, asked.err().map(|unknown| Evidence::unknown(&unknown)))?]))
}

/// Nodes that are not Ready. If nodes cannot be read none is called gone, and the question stays open.
fn gone_nodes<'s>(facts: &Facts<'s>) -> Result<BTreeSet<&'s str>, Gap> {
    let Ok(nodes) = facts.nodes().settled()? else { return Ok(BTreeSet::new()) };
    Ok(nodes.iter().filter(|node| !node.is_ready()).map(|node| node.name.as_str()).collect())
}

struct Lost<'l> {
    map: &'l [&'l str],
    missing: &'l [&'l str],
    answered: &'l [&'l MonStatus],
    seen: &'l [Mon<'l>],
    gone: &'l BTreeSet<&'l str>,
}

impl Lost<'_> {
    fn finding(&self, facts: &Facts<'_>, asked: Option<Evidence>) -> Result<Finding, Gap> {
        let cluster = facts.cluster()?;
        let assigned = assigned_nodes(facts)?;
        let node_of = |id: &str| {
            let seen = self.seen.iter().find(|mon| mon.id == id).and_then(|mon| mon.node);
            seen.map(str::to_owned).or_else(|| assigned.get(id).cloned())
        };
        let nodes: BTreeSet<String> = self.missing.iter().filter_map(|id| node_of(id)).collect();
        let lost: BTreeSet<&str> = nodes.iter().map(String::as_str).filter(|node| self.gone.contains(node)).collect();
        let far = self.missing.iter().filter(|id| node_of(id).is_some_and(|node| self.gone.contains(node.as_str())));
        let far_majority = far.count() >= majority(self.map.len());
        let summary = say!(
            "no quorum: {} of {} monitors answer ({}), {} are needed; missing: {}",
            self.answered.len(),
            self.map.len(),
            self.states(),
            majority(self.map.len()),
            if self.missing.is_empty() { "none".to_owned() } else { list(self.missing.iter().copied()) }
        );
        let pods = self.seen.iter().filter(|mon| self.missing.contains(&mon.id));
        let places = self.map.iter().map(|id| daemon(id)).chain(nodes.iter().map(Place::node));
        Ok(Finding::critical(ObjectRef::cluster(cluster), summary, self.remedy(&cluster.ns, &lost, far_majority))
            .at(places)
            .evidence(
                self.answered.iter().map(|status| Evidence::socket(&format!("mon.{}", status.name), state(status))),
            )
            .evidence(pods.map(|mon| Evidence::pod_row(mon.pod, &cluster.ns)))
            .evidence(asked))
    }

    fn states(&self) -> String {
        let states = self.answered.iter().map(|status| format!("mon.{} {}", status.name, status.state));
        states.collect::<Vec<_>>().join(", ")
    }

    fn remedy(&self, ns: &str, lost: &BTreeSet<&str>, far_majority: bool) -> Remedy {
        let pods = format!("kubectl -n {ns} get pods -l app=rook-ceph-mon -o wide");
        if lost.is_empty() {
            return Remedy::guided(say!("bring {} back and look again in two minutes: as soon as {} monitors reach each other the quorum forms by itself, then mgr, OSDs, PGs, MDS and consumers follow; no monitor is lost, so do not restore the quorum by hand, delete a monitor or change the monmap", self.whom(), majority(self.map.len()))).command(pods);
        }
        let names = lost.iter().copied().collect::<Vec<_>>().join(" ");
        Remedy::guided(self.with_lost_nodes(&names, far_majority))
            .command(format!("kubectl get node {names} -o wide"))
            .command(pods)
    }

    fn with_lost_nodes(&self, nodes: &str, far_majority: bool) -> Text {
        let survivor = self.answered.first().map_or("", |status| status.name.as_str());
        let far = if far_majority {
            "the side out of reach holds the majority of the monitors: they may be in quorum and serve over there"
        } else {
            "monitors out of reach are not proved dead"
        };
        say!(
            "first bring {} back (power, console): its monitors return with their disks and nothing is lost; {}. Only if it is lost for good: prove it powered off, never let it boot again with its old data directory, back up /var/lib/rook/mon-{} on the survivor, and only then run `kubectl rook-ceph mons restore-quorum {}`, which destroys what the other monitors hold; never both",
            nodes,
            far,
            survivor,
            survivor
        )
    }

    fn whom(&self) -> String {
        if self.missing.is_empty() {
            "the network between the monitors".to_owned()
        } else {
            list(self.missing.iter().copied())
        }
    }
}

fn state(status: &MonStatus) -> String {
    format!(
        "state {}, quorum {:?}, monmap of {} (epoch {})",
        status.state,
        status.quorum,
        status.monmap.mons.len(),
        status.monmap.epoch
    )
}
