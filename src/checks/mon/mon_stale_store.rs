use super::ends::failed_with;
use super::{EXTERNAL, Mon, daemon, deployment, flag, mons, severity_of_one};
use crate::check;
use crate::check::{Answered, Evidence, Finding, Place, Remedy};
use crate::facts::{Each, Facts, Gap, MonPod, Settled, both};
use crate::objects::kube::Pod;
use crate::objects::rook::CephCluster;
use crate::say;

check! {
    /// # What it looks at
    /// Monitors whose data directory belongs to another Ceph cluster: one that ends with `The keyring does not match
    /// the existing keyring` or `cluster_uuid file exists with value`, and one that runs outside the quorum and tells on its admin
    /// socket a monmap with another fsid than the `--fsid` that Rook starts it with.
    ///
    /// # Why it matters
    /// The first start of a monitor leaves a directory that is not empty as it is. After a cluster was deleted and made
    /// anew the monitors so look for the members of the old one: they never join, and a new cluster gets no further. If the
    /// directory is the right one, the Secret `rook-ceph-mon` is wrong, and deleting data would destroy the cluster.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> exec <pod> -c mon -- ceph --admin-daemon /run/ceph/ceph-mon.<id>.asok mon_status`:
    /// `monmap.fsid` against `--fsid` in the arguments of the pod.
    ///
    /// # Fix
    /// Find out first which cluster is wanted. If the old one: restore its Secret `rook-ceph-mon` and ConfigMap
    /// `rook-ceph-mon-endpoints`, and delete nothing. Only if nobody needs the old one any more: delete the CephCluster,
    /// clean `dataDirHostPath` (and the OSDs' disks) on every node as the guide says, and create it again.
    ///
    /// # References
    /// Rook: Troubleshooting/ceph-common-issues, "Failing mon pod"; Storage-Configuration/ceph-teardown; Ceph: ceph_mon.cc.
    "MON005" "mon-stale-store" Mon,
    needs: [Discovery, CephClusters, MonPods, CephStatus, MonSockets, Objects, Logs],
    explained_by: [],
}

/// What a monitor or its start says when its directory holds something else.
const FOREIGN: &[&str] = &["keyring does not match the existing keyring", "cluster_uuid file exists with value"];

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    if facts.cluster()?.external {
        return Ok(Answered::NotApplicable(EXTERNAL));
    }
    let cluster = facts.ceph_cluster()?;
    let (ended, strangers) = both(failed_with(facts, FOREIGN), strangers(facts))?;
    let ends = ended.seen.iter().map(|(failed, words)| finding(cluster, &failed.mon, failed.pod, words.clone()));
    let others = strangers.seen.iter().map(|((mon, pod), told)| finding(cluster, mon, pod, told.clone()));
    Ok(Answered::judged(ends.chain(others).collect()).blind(ended.blind).blind(strangers.blind))
}

/// Monitors that run and are no members of the quorum that answers, with a map of another cluster.
fn strangers<'s>(facts: &Facts<'s>) -> Result<Each<(Mon<'s>, &'s Pod), Evidence>, Gap> {
    let ns = facts.cluster()?.ns.as_str();
    let (status, mons) = both(facts.ceph_status().settled(), mons(facts))?;
    // Without an answer of Ceph every monitor is asked.
    let inside = status.map_or(&[][..], |status| &status.quorum_names);
    let running = mons.into_iter().filter(|mon| mon.runs() && !inside.iter().any(|id| id == mon.id));
    let opened = facts.each(running, |facts, mon| {
        both(facts.mon_socket(&MonPod { id: mon.id, pod: &mon.pod.name }), facts.pod(ns, &mon.pod.name))
    })?;
    let seen = opened.seen.into_iter().filter_map(|(mon, (status, pod))| {
        let ours = flag(&pod.spec, "--fsid")?;
        let theirs = status.monmap.fsid.as_str();
        let differs = !theirs.is_empty() && theirs != ours;
        let told = format!("state {}, monmap.fsid {theirs}; it was started with --fsid={ours}", status.state);
        differs.then(|| ((mon.clone(), pod), Evidence::socket(&format!("mon.{}", mon.id), told)))
    });
    Ok(Each { seen: seen.collect(), blind: opened.blind })
}

fn finding(cluster: &CephCluster, mon: &Mon<'_>, pod: &Pod, evidence: Evidence) -> Finding {
    let ns = &cluster.metadata.namespace;
    let path = pod.spec.volumes.iter().filter(|volume| volume.name == "ceph-daemon-data");
    let path = path.filter_map(|volume| volume.host_path.as_ref()).map(|path| path.path.as_str()).next();
    let place = match path {
        Some(path) => say!("{} on node {}", path, mon.pod.node),
        None => say!("its volume (on node {} now)", mon.pod.node),
    };
    let summary = say!("mon.{} finds the data of another cluster in {}", mon.id, place);
    let remedy = Remedy::guided(say!("find out which cluster is wanted before anything else: if the data is the wanted one, restore its Secret rook-ceph-mon and ConfigMap rook-ceph-mon-endpoints and delete nothing; only if nobody needs the earlier cluster, delete the CephCluster, clean dataDirHostPath on every node by the teardown guide and create it again; deleting {} of a cluster that is wanted destroys it", place))
        .command(format!("kubectl -n {ns} logs {} -c mon --tail=50", mon.pod.name))
        .command(format!("kubectl -n {ns} get configmap rook-ceph-mon-endpoints -o yaml"));
    Finding::new(severity_of_one(cluster), deployment(ns, mon.id), summary, remedy)
        .at([daemon(mon.id), Place::node(&mon.pod.node)])
        .evidence([evidence, Evidence::pod_row(mon.pod, ns)])
}
