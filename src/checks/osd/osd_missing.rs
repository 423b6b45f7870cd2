use std::collections::BTreeSet;

use super::{OsdPods, by_osd, deployment, names, osd_of_deployment};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy};
use crate::checks::ceph::ceph_command;
use crate::facts::{Cluster, Facts, Gap, Settled, both};
use crate::objects::ceph::TreeNode;
use crate::objects::rook::Storage;
use crate::say;

check! {
    /// # What it looks at
    /// How many OSDs are expected and how many are there: the devices that the CephCluster names by node, the
    /// counts of its device sets, and the OSDs that `ceph osd tree` counts as in, against the Deployments.
    ///
    /// # Why it matters
    /// A cluster with fewer OSDs than planned is healthy for Ceph and fills up sooner than anybody expects; an
    /// OSD that Ceph counts and nobody runs is a copy of data that is gone. With `useAllDevices` or filters no
    /// number is expected.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> get deployments -l app=rook-ceph-osd` against `spec.storage` of the CephCluster and
    /// `ceph osd tree`.
    ///
    /// # Fix
    /// See the findings about devices and prepare jobs of that node. For an OSD without a Deployment restart
    /// the operator, which makes it again from its disk.
    ///
    /// # References
    /// Rook: CRDs/Cluster, "Storage Selection Settings"; "Ceph OSD Management".
    "OSD005" "osd-missing" Osd,
    needs: [Discovery, CephClusters, OsdPods, PrepareJobs, DaemonDeployments, OsdTree],
    explained_by: [(osd::osd_prepare_failed, Node), (osd::device_skipped, Node), (node::node_not_ready, Node)],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.cluster()?;
    if cluster.external {
        return Ok(Answered::NotApplicable("the OSDs of an external cluster live elsewhere"));
    }
    let rows = both(both(facts.daemon_deployments(), facts.osd_pods()), facts.prepare_jobs());
    let (((deployments, pods), jobs), tree) = both(rows, facts.osd_tree().settled())?;
    let deployed: BTreeSet<i64> = deployments.iter().filter_map(|row| osd_of_deployment(&row.name)).collect();
    if deployed.is_empty() && jobs.is_empty() {
        // The operator has not reached the OSDs, which OSD001 reports.
        return Ok(Answered::passed());
    }
    let storage = &facts.ceph_cluster()?.spec.storage;
    let osds = by_osd(pods);
    let few = too_few(cluster, storage, deployed.len(), &osds.values().collect::<Vec<_>>());
    match tree {
        Ok(tree) => {
            let gone = tree.osds().filter(|osd| osd.reweight > 0.0 && !deployed.contains(&osd.id));
            let gone: Vec<&TreeNode> = gone.collect();
            Ok(Answered::judged(few.into_iter().chain(without_deployment(cluster, &gone)).collect()))
        }
        Err(unknown) => Ok(Answered::judged(few.into_iter().collect()).blind([unknown])),
    }
}

/// Fewer OSDs than the CephCluster names devices and claims.
fn too_few(cluster: &Cluster, storage: &Storage, present: usize, osds: &[&OsdPods<'_>]) -> Option<Finding> {
    let named: usize = storage.nodes.iter().map(|node| node.devices.len()).sum();
    let claims: usize = storage.storage_class_device_sets.iter().map(|set| set.count).sum();
    let expected = named + claims;
    if present >= expected {
        return None;
    }
    let on = |node: &str| osds.iter().filter(|osd| osd.node() == Some(node)).count();
    let short: Vec<_> = storage.nodes.iter().filter(|node| on(&node.name) < node.devices.len()).collect();
    let object = ObjectRef::cluster(cluster);
    let lists = short.iter().map(|node| {
        let (here, listed) = (on(&node.name), node.devices.len());
        Evidence::field(&object, "spec.storage.nodes", format!("{}: {here} OSDs of {listed} devices", node.name))
    });
    let sets = storage.storage_class_device_sets.iter().filter(|_| short.is_empty());
    let sets = sets.map(|set| {
        Evidence::field(&object, "spec.storage.storageClassDeviceSets", format!("{}: count {}", set.name, set.count))
    });
    let remedy = Remedy::guided(say!("see why the prepare jobs left the devices out"))
        .command(format!("kubectl -n {} logs -l app=rook-ceph-osd-prepare -c provision --tail=-1", cluster.ns));
    let summary = say!("{} of {} expected OSDs are there", present, expected);
    let finding = Finding::warning(object.clone(), summary, remedy);
    Some(finding.at(short.iter().map(|node| Place::node(&node.name))).evidence(lists).evidence(sets))
}

/// OSDs that Ceph counts as in and that no Deployment runs.
fn without_deployment(cluster: &Cluster, gone: &[&TreeNode]) -> Option<Finding> {
    let first = gone.first()?;
    let names = names(gone.iter().map(|osd| osd.id));
    let remedy = Remedy::guided(say!(
        "restart the operator, which makes the Deployment again from the disk; purge an OSD only if its data is safe"
    ))
    .command(format!("kubectl -n {} rollout restart deployment rook-ceph-operator", cluster.operator_ns))
    .command(ceph_command(cluster, &format!("osd safe-to-destroy {}", first.id)));
    let summary = say!("{} is in Ceph's map and has no Deployment", names);
    let finding = Finding::warning(deployment(&cluster.ns, first.id), summary, remedy);
    let lines = gone.iter().map(|osd| Evidence::ceph("osd tree", format!("{} {}, in", osd.name, osd.status)));
    let rest = gone.iter().skip(1).map(|osd| deployment(&cluster.ns, osd.id));
    Some(finding.also(rest).at(gone.iter().map(|osd| Place::daemon("osd", osd.id))).evidence(lines))
}
