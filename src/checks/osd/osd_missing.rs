use std::collections::BTreeSet;

use super::{OsdPods, by_osd, deployment, names, osd_of_deployment};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity};
use crate::checks::ceph::{ceph_command, is_new};
use crate::checks::img::is_rolling;
use crate::facts::{Cluster, Facts, Gap, Settled, both};
use crate::lang::listed;
use crate::objects::ceph::TreeNode;
use crate::objects::rook::{Device, Storage, StorageNode};
use crate::say;

check! {
    /// # What it looks at
    /// How many OSDs are expected and how many are there: the devices that the CephCluster names by node (with
    /// `osdsPerDevice`), the counts of its device sets, and the OSDs that `ceph osd tree` counts as in, against the Deployments.
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
    explained_by: [
        (osd::storage_selection_empty, Node), (osd::osd_prepare_failed, Node), (osd::device_skipped, Node),
        (osd::osd_pvc_pending, Cluster), (node::node_not_ready, Node),
    ],
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
    let object = facts.ceph_cluster()?;
    let osds = by_osd(pods);
    // While the operator is at work the OSDs are still on their way.
    let at_work = is_new(object, facts.now()) || is_rolling(object, facts.now());
    let severity = if at_work { Severity::Info } else { Severity::Warning };
    let few = too_few(cluster, &object.spec.storage, deployed.len(), &osds.values().collect::<Vec<_>>(), severity);
    match tree {
        Ok(tree) => {
            // A destroyed one waits for its new disk, which OSD013 tells.
            let gone = tree.osds().filter(|osd| osd.reweight > 0.0 && osd.status != "destroyed");
            let gone = gone.filter(|osd| !deployed.contains(&osd.id));
            let gone: Vec<&TreeNode> = gone.collect();
            Ok(Answered::judged(few.into_iter().chain(without_deployment(cluster, &gone)).collect()))
        }
        Err(unknown) => Ok(Answered::judged(few.into_iter().collect()).blind([unknown])),
    }
}

/// How many OSDs the devices that are named for a node make.
fn expected_on(storage: &Storage, node: &StorageNode) -> usize {
    // A node without a selection of its own has that of the whole cluster.
    let devices = if node.devices.is_empty() && !node.selects() { &storage.devices } else { &node.devices };
    let per_device = |device: &Device| {
        let configs = [&device.config, &node.config, &storage.config];
        let told = configs.iter().find_map(|config| config.get("osdsPerDevice"));
        told.and_then(|told| told.as_str().map_or_else(|| told.as_u64(), |text| text.parse().ok())).unwrap_or(1)
    };
    total(devices.iter().map(|device| usize::try_from(per_device(device)).unwrap_or(1)))
}

/// The numbers are the administrator's, who may write any.
fn total(numbers: impl Iterator<Item = usize>) -> usize {
    numbers.fold(0, usize::saturating_add)
}

/// Fewer OSDs than the CephCluster names devices and claims.
fn too_few(
    cluster: &Cluster,
    storage: &Storage,
    present: usize,
    osds: &[&OsdPods<'_>],
    severity: Severity,
) -> Option<Finding> {
    let on = |node: &str| osds.iter().filter(|osd| osd.node() == Some(node)).count();
    let nodes = storage.nodes.iter().map(|node| (node, on(&node.name), expected_on(storage, node)));
    let nodes: Vec<(&StorageNode, usize, usize)> = nodes.collect();
    let claims = storage.claims();
    let expected = total(nodes.iter().map(|(.., expected)| *expected).chain([claims]));
    let lacking = total(nodes.iter().map(|(_, here, expected)| expected.saturating_sub(*here)));
    let elsewhere = present.saturating_sub(total(nodes.iter().map(|(_, here, _)| *here)));
    // More OSDs on one node do not make up for another, except those that may belong there: OSDs whose pod has
    // no node now. Those of claims may run on any node.
    let missing = if claims == 0 { lacking.saturating_sub(elsewhere) } else { expected.saturating_sub(present) };
    if missing == 0 {
        return None;
    }
    let short: Vec<_> = nodes.into_iter().filter(|(_, here, expected)| here < expected).collect();
    let object = ObjectRef::cluster(cluster);
    let lists = short.iter().map(|(node, here, expected)| {
        Evidence::field(&object, "spec.storage.nodes", format!("{}: {here} OSDs of {expected}", node.name))
    });
    let sets = storage.storage_class_device_sets.iter().filter(|_| short.is_empty());
    let sets = sets.map(|set| {
        Evidence::field(&object, "spec.storage.storageClassDeviceSets", format!("{}: count {}", set.name, set.count))
    });
    let remedy = Remedy::guided(say!("see why the prepare jobs left the devices out"))
        .command(format!("kubectl -n {} logs -l app=rook-ceph-osd-prepare -c provision --tail=-1", cluster.ns));
    let summary = if short.is_empty() {
        say!("{} of {} expected OSDs are there", present, expected)
    } else {
        let hosts = short.iter().map(|(node, here, expected)| say!("{} has {} of {}", node.name, here, expected));
        say!("{} of {} expected OSDs are missing: {}", missing, expected, listed(hosts))
    };
    let finding = Finding::new(severity, object.clone(), summary, remedy);
    Some(finding.at(short.iter().map(|(node, ..)| Place::node(&node.name))).evidence(lists).evidence(sets))
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn absurd_numbers_are_only_large() {
        let device = json!({"name": "sdb", "config": {"osdsPerDevice": u64::MAX.to_string()}});
        let sets = [json!({"name": "a", "count": usize::MAX}), json!({"name": "b", "count": 2})];
        let storage = json!({"nodes": [{"name": "w1", "devices": [device, device]}], "storageClassDeviceSets": sets});
        let storage: Storage = serde_json::from_value(storage).unwrap();
        assert_eq!(storage.claims(), usize::MAX);
        assert_eq!(expected_on(&storage, &storage.nodes[0]), usize::MAX);
        let cluster = Cluster { ns: "n".into(), name: "c".into(), operator_ns: "n".into(), external: false };
        assert!(too_few(&cluster, &storage, 1, &[], Severity::Warning).is_some());
    }
}
