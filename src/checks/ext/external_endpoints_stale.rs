use std::collections::BTreeSet;

use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy, Severity};
use crate::facts::{Facts, Gap, both, kinds};
use crate::objects::ceph::{MonMap, host};
use crate::objects::kube::ConfigMap;
use crate::objects::rook::CephCluster;
use crate::say;

const ENDPOINTS: &str = "rook-ceph-mon-endpoints";

check! {
    /// # What it looks at
    /// The addresses in `data` of ConfigMap `rook-ceph-mon-endpoints` in the namespace of an external CephCluster
    /// against the monmap that the provider's Ceph reports (`ceph quorum_status`), by host; and whether the
    /// operator follows the monitors (`healthCheck.daemonHealth.mon.disabled`).
    ///
    /// # Why it matters
    /// Operator and CSI know the provider only by these addresses. The operator adds and drops monitors by
    /// itself as long as one of the listed answers; if all of them are replaced at once it can find none, and
    /// everything ends though Ceph is well. A node that was removed from a Proxmox VE cluster is a typical way.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> get configmap rook-ceph-mon-endpoints -o jsonpath='{.data.data}'` and, at the provider,
    /// `ceph mon dump`.
    ///
    /// # Fix
    /// Let the operator follow the monitors (it looks every 45 seconds), or restart it. Only if none of the
    /// listed monitors exists any more, write the new ones into `data`, as `name=address:port`, by running the
    /// import script again; the operator then writes the configuration of CSI.
    ///
    /// # References
    /// Rook: CRDs/Cluster/external-cluster; pkg/operator/ceph/cluster/mon/health.go (external monitors).
    "EXT004" "external-endpoints-stale" Ext,
    needs: [Discovery, CephClusters, QuorumStatus, Objects],
    explained_by: [(opr::operator_down, Cluster)],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.ceph_cluster()?;
    if !cluster.spec.external.enable {
        return Ok(Answered::NotApplicable("the cluster is not external"));
    }
    let ns = &cluster.metadata.namespace;
    let (map, quorum) = both(facts.object::<ConfigMap>(ns, ENDPOINTS), facts.quorum_status())?;
    let data = map.and_then(|map| map.data.get("data")).map_or("", String::as_str);
    let listed: Vec<(&str, &str)> = data.split(',').filter_map(|mon| mon.split_once('=')).collect();
    let monmap = hosts(&quorum.monmap);
    if listed.is_empty() || monmap.is_empty() {
        // A missing import is the affair of EXT001.
        return Ok(Answered::passed());
    }
    let stale: Vec<String> = listed
        .iter()
        .filter(|(_, address)| !monmap.contains(host(address)))
        .map(|(name, address)| format!("{name}={address}"))
        .collect();
    if stale.is_empty() {
        return Ok(Answered::passed());
    }
    let unwatched = cluster.spec.health_check.daemon_health.mon.disabled;
    let object = ObjectRef::new(kinds::CONFIG_MAP, ns, ENDPOINTS);
    let all = stale.len() == listed.len();
    let severity = if all { Severity::Critical } else { Severity::Warning };
    let summary = if all {
        say!("none of the monitors that the external cluster is known by is in the provider's monmap")
    } else {
        say!(
            "{} of {} monitors that the external cluster is known by are not in the provider's monmap: {}",
            stale.len(),
            listed.len(),
            stale.join(", ")
        )
    };
    let operator_ns = &facts.cluster()?.operator_ns;
    let remedy = if all {
        Remedy::guided(say!("run the import again at the provider and here: the operator cannot find new monitors when it knows none of them"))
            .command(format!("kubectl -n {ns} get configmap {ENDPOINTS} -o jsonpath='{{.data.data}}'"))
    } else if unwatched {
        Remedy::guided(say!("let the operator follow the monitors: the health check of the monitors is disabled in the CephCluster"))
            .command(format!(
                "kubectl -n {ns} patch cephcluster {} --type merge -p '{{\"spec\":{{\"healthCheck\":{{\"daemonHealth\":{{\"mon\":{{\"disabled\":false}}}}}}}}}}'",
                cluster.metadata.name
            ))
    } else {
        Remedy::guided(say!("the operator drops monitors that left the quorum by itself: if its log does not say so within minutes, restart it"))
            .command(format!("kubectl -n {operator_ns} logs deployment/rook-ceph-operator | grep 'external'"))
            .command(format!("kubectl -n {operator_ns} rollout restart deployment rook-ceph-operator"))
    };
    let known: Vec<&str> = monmap.into_iter().collect();
    let setting = unwatched.then(|| {
        Evidence::field(
            &ObjectRef::of::<CephCluster>(&cluster.metadata),
            "spec.healthCheck.daemonHealth.mon.disabled",
            true,
        )
    });
    let finding = Finding::new(severity, object.clone(), summary, remedy)
        .evidence([
            Evidence::field(&object, "data.data", data),
            Evidence::ceph("quorum_status", format!("monmap: {}", known.join(", "))),
        ])
        .evidence(setting);
    Ok(Answered::judged(vec![finding]))
}

fn hosts(monmap: &MonMap) -> BTreeSet<&str> {
    let addresses = monmap.mons.iter().flat_map(|mon| &mon.public_addrs.addrvec);
    addresses.map(|address| address.host()).collect()
}
