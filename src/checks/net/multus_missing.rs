use std::collections::{BTreeMap, BTreeSet};

use super::{daemon_rows, multus_daemon_sets, multus_pods};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity};
use crate::facts::tables::PodRow;
use crate::facts::{Facts, Gap, both, kinds};
use crate::objects::kube::Pod;
use crate::objects::multus::interfaces;
use crate::say;

check! {
    /// # What it looks at
    /// Where the CephCluster's network provider is `multus`: the NetworkAttachmentDefinition CRD, a DaemonSet
    /// of Multus (by its shape, as every distribution names it differently), and a pod of it on every node
    /// that carries Ceph daemons.
    ///
    /// # Why it matters
    /// Without Multus nobody reads the annotation that asks for the storage network. Pods start with the pod
    /// network only, and OSDs and MDS then find no address in Ceph's public network and do not start.
    ///
    /// # Confirm by hand
    /// `kubectl get crd network-attachment-definitions.k8s.cni.cncf.io` and
    /// `kubectl get daemonsets -A | grep -i multus`; on the node, `ls /etc/cni/net.d` shows `00-multus.conf`.
    ///
    /// # Fix
    /// Install Multus from its upstream manifest, or let its DaemonSet tolerate the taints of the storage
    /// nodes. Pods that started without it must be deleted, so that they start again with their interface.
    ///
    /// # References
    /// Rook: CRDs/Cluster/network-providers, "Multus"; k8snetworkplumbingwg/multus-cni, docs/quickstart.
    "NET001" "multus-missing" Net,
    needs: [Discovery, CephClusters, DaemonSets, PodTables, MonPods, MgrPods, MdsPods, RgwPods, OsdPods, Objects],
    explained_by: [(node::node_not_ready, Node)],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.ceph_cluster()?;
    if cluster.spec.network.provider != "multus" {
        return Ok(Answered::NotApplicable("the cluster's network provider is not Multus"));
    }
    let cluster = ObjectRef::cluster(facts.cluster()?);
    let provider = Evidence::field(&cluster, "spec.network.provider", "multus");
    if !facts.installed(kinds::NETWORK_ATTACHMENT)? {
        let summary = say!("the cluster's networks are NetworkAttachmentDefinitions, and their CRD is not installed");
        return Ok(Answered::judged(vec![Finding::critical(cluster, summary, install()).evidence([provider])]));
    }
    let (daemon_sets, daemons) = both(multus_daemon_sets(facts), daemon_rows(facts))?;
    if daemon_sets.is_empty() {
        return without_daemon_set(facts, &daemons, cluster, provider);
    }
    let present: BTreeSet<&str> = multus_pods(facts)?.iter().map(|pod| pod.node.as_str()).collect();
    let mut bare: BTreeMap<&str, Vec<&PodRow>> = BTreeMap::new();
    for daemon in daemons.into_iter().filter(|row| !row.node.is_empty() && !present.contains(row.node.as_str())) {
        bare.entry(&daemon.node).or_default().push(daemon);
    }
    let daemon_set = ObjectRef::of::<crate::objects::kube::DaemonSet>(&daemon_sets[0].metadata);
    Ok(Answered::judged(bare.iter().map(|(node, daemons)| uncovered(node, daemons, &daemon_set)).collect()))
}

/// Multus may have been put on the nodes by other means; then the daemons have their interfaces all the same.
fn without_daemon_set(
    facts: &Facts<'_>,
    daemons: &[&PodRow],
    cluster: ObjectRef,
    provider: Evidence,
) -> Result<Answered, Gap> {
    // One that has not started shows nothing.
    let mut daemons = daemons.to_vec();
    daemons.sort_by_key(|row| !row.is_well());
    let opened = facts.each(daemons.iter().take(3), |facts, row| facts.pod(&row.ns, &row.name))?;
    let attached = |pod: &Pod| interfaces(pod).is_ok_and(|interfaces| interfaces.is_some());
    if opened.seen.iter().any(|(_, pod)| attached(pod)) {
        return Ok(Answered::passed());
    }
    // A pod that could not be read may be the one that has its interface.
    if let Some(unknown) = opened.blind.into_iter().next() {
        return Err(Gap::Unknown(unknown));
    }
    let nodes: BTreeSet<&str> = daemons.iter().map(|row| row.node.as_str()).filter(|node| !node.is_empty()).collect();
    let summary = say!("the cluster's networks need Multus, and no DaemonSet of it exists in any namespace");
    let finding =
        Finding::critical(cluster, summary, install()).at(nodes.into_iter().map(Place::node)).evidence([provider]);
    Ok(Answered::judged(vec![finding]))
}

fn uncovered(node: &str, daemons: &[&PodRow], daemon_set: &ObjectRef) -> Finding {
    let names: Vec<&str> = daemons.iter().map(|row| row.name.as_str()).collect();
    let severity = if daemons.iter().all(|row| row.is_well()) { Severity::Warning } else { Severity::Critical };
    let remedy = Remedy::guided(say!(
        "let the DaemonSet run on node {}: see its tolerations and node selector against the node's taints and labels; then delete the pods that started without their interface, one by one",
        node
    ))
    .command(format!("kubectl -n {} get daemonset {} -o yaml", daemon_set.namespace, daemon_set.name))
    .command(format!("kubectl get node {node} -o jsonpath='{{.spec.taints}}{{\"\\n\"}}{{.metadata.labels}}{{\"\\n\"}}'"));
    let summary = say!("node {} carries Ceph daemons ({}) and has no Multus pod", node, names.join(", "));
    Finding::new(severity, daemon_set.clone(), summary, remedy)
        .detail(node)
        .at([Place::node(node)])
        .evidence(daemons.iter().take(3).map(|row| Evidence::pod_row(row, &row.ns)))
}

fn install() -> Remedy {
    Remedy::guided(say!(
        "install Multus (thick, v4.2.3 or later) and restart the Ceph pods that started without it, monitors one by one"
    ))
    .command("kubectl apply -f https://raw.githubusercontent.com/k8snetworkplumbingwg/multus-cni/v4.2.3/deployments/multus-daemonset-thick.yml")
}
