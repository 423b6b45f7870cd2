use super::ends::failed_with;
use super::{EXTERNAL, by_id, daemon, deployment, failing_over, flag, list};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity, Text};
use crate::checks::opr::{OPERATOR_CONFIG, operator};
use crate::facts::{Facts, Gap, Settled, both};
use crate::objects::kube::ConfigMap;
use crate::objects::rook::CephCluster;
use crate::say;

check! {
    /// # What it looks at
    /// Whether the monitors are on the network that the CephCluster asks for: `hostNetwork` of their Deployments against
    /// `spec.network` (and `ROOK_ENFORCE_HOST_NETWORK`), a monitor on the pod network that tells clients the address of a
    /// node, and one on the host network that ends since its address is not on its node.
    ///
    /// # Why it matters
    /// The address of a monitor is its identity in the monmap and does not change with the setting: a monitor keeps its
    /// network until it is failed over. Until then clients that reach only the new network find no monitor, and a
    /// monitor that was moved with its old address serves nobody.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> get deploy -l app=rook-ceph-mon -o custom-columns=NAME:.metadata.name,HOST:.spec.template.spec.hostNetwork`
    /// against `spec.network` of the CephCluster, and `ceph mon dump`.
    ///
    /// # Fix
    /// Let Rook fail the monitors over one by one: recent versions do it by themselves while all are in quorum. Otherwise scale
    /// one monitor's Deployment to 0, wait until its successor is in quorum, and take the next. If one cannot start any more,
    /// give the setting or the node's address back first. Never change the monmap of a cluster that has a quorum.
    ///
    /// # References
    /// Rook: CRDs/Cluster/network-providers; Storage-Configuration/Advanced/ceph-mon-health; issue 6206.
    "MON010" "mon-network-changed" Mon,
    needs: [Discovery, CephClusters, Operators, MonDeployments, MonPods, Nodes, Objects, Logs],
    explained_by: [(opr::operator_down, Cluster)],
}

/// Puts every pod of Rook on the host network.
const ENFORCE: &str = "ROOK_ENFORCE_HOST_NETWORK";
/// A monitor on the host network binds the address that it is known by.
const ABSENT: &[&str] = &["(99) Cannot assign requested address"];

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    if facts.cluster()?.external {
        return Ok(Answered::NotApplicable(EXTERNAL));
    }
    let cluster = facts.ceph_cluster()?;
    let (deployments, nodes) = both(facts.mon_deployments(), facts.nodes().settled())?;
    let mut findings = Vec::new();
    let mut blind = Vec::new();
    let deployments = by_id(deployments);
    let host = cluster.spec.network.is_host();
    let other = deployments.iter().filter(|(_, it)| it.spec.template.spec.host_network != host);
    let other: Vec<&str> = other.map(|(id, _)| *id).collect();
    if !other.is_empty() {
        match enforced(facts).settled()? {
            // The operator's own setting goes before that of the CephCluster.
            Ok(true) if !host => {}
            Ok(_) => {
                let under_way = cluster.status.phase != "Ready" || failing_over(facts, &deployments);
                findings.push(left_behind(cluster, host, &other, under_way));
            }
            Err(unknown) => blind.push(unknown),
        }
    }
    match nodes {
        Ok(nodes) => {
            for (id, it) in deployments.iter().filter(|(_, it)| !it.spec.template.spec.host_network) {
                let public = flag(&it.spec.template.spec, "--public-addr");
                if let Some(node) = nodes.iter().find(|node| Some(node.address.as_str()) == public) {
                    let what = say!("the address of node {}, though its pod is on the pod network", node.name);
                    let told = Evidence::field(
                        &deployment(&cluster.metadata.namespace, id),
                        "spec.template arguments",
                        format!("--public-addr={}, hostNetwork false", node.address),
                    );
                    findings.push(cut_off(cluster, id, &node.address, &what).evidence([told]));
                }
            }
        }
        Err(unknown) => blind.push(unknown),
    }
    let ended = failed_with(facts, ABSENT)?;
    for (failed, words) in ended.seen.into_iter().filter(|(failed, _)| failed.pod.spec.host_network) {
        let Some(public) = flag(&failed.pod.spec, "--public-addr") else { continue };
        let what = say!("no address of node {} any more", failed.mon.pod.node);
        let finding = cut_off(cluster, failed.mon.id, public, &what).at([Place::node(&failed.mon.pod.node)]);
        findings.push(finding.evidence([words]));
    }
    Ok(Answered::judged(findings).blind(blind).blind(ended.blind))
}

/// The operator's ConfigMap goes before its environment.
fn enforced(facts: &Facts<'_>) -> Result<bool, Gap> {
    let ns = &facts.cluster()?.operator_ns;
    let (config, operator) = both(facts.object::<ConfigMap>(ns, OPERATOR_CONFIG), operator(facts))?;
    if let Some(setting) = config.and_then(|config| config.data.get(ENFORCE)) {
        return Ok(setting == "true");
    }
    let mut variables =
        operator.into_iter().flat_map(|it| &it.spec.template.spec.containers).flat_map(|container| &container.env);
    Ok(variables.any(|variable| variable.name == ENFORCE && variable.value == "true"))
}

/// Monitors that keep the network of before until they are failed over.
fn left_behind(cluster: &CephCluster, host: bool, ids: &[&str], under_way: bool) -> Finding {
    let ns = &cluster.metadata.namespace;
    let names = list(ids.iter().copied());
    let object = ObjectRef::of::<CephCluster>(&cluster.metadata);
    let severity = if under_way { Severity::Info } else { Severity::Warning };
    let summary = if host {
        say!("the CephCluster wants the host network, and {} are still on the pod network", names)
    } else {
        say!("the CephCluster wants the pod network, and {} are still on the host network", names)
    };
    let remedy = Remedy::guided(say!("let Rook fail these monitors over one by one: recent versions do so by themselves while all are in quorum; otherwise scale the Deployment of one to 0, wait until its successor is in quorum (ten minutes and a free node), and take the next; or take the setting back"))
        .command(format!("kubectl -n {ns} get deploy -l app=rook-ceph-mon -o custom-columns=NAME:.metadata.name,HOST:.spec.template.spec.hostNetwork"))
        .command(format!("kubectl -n {ns} get cephcluster {} -o jsonpath='{{.spec.network}}'", cluster.metadata.name));
    let spec = &cluster.spec.network;
    let asked = format!("provider {:?}, hostNetwork {}", spec.provider, spec.host_network);
    let has = |id: &&str| Evidence::field(&deployment(ns, id), "spec.template.spec.hostNetwork", !host);
    let evidence = [Evidence::field(&object, "spec.network", asked)];
    Finding::new(severity, object, summary, remedy)
        .at(ids.iter().map(|id| daemon(id)))
        .evidence(evidence)
        .evidence(ids.iter().map(has))
}

/// A monitor whose address leads nowhere.
fn cut_off(cluster: &CephCluster, id: &str, address: &str, what: &Text) -> Finding {
    let ns = &cluster.metadata.namespace;
    let summary = say!("mon.{} is known by {}, which is {}", id, address, what);
    let remedy = Remedy::guided(say!("give the earlier setting of the network or the node's earlier address back, so that mon.{} serves again; then change the network by failing the monitors over one at a time while the others hold the quorum; without a quorum do not touch the monmap before the old address was tried", id))
        .command(format!("kubectl -n {ns} get pods -l app=rook-ceph-mon -o wide"))
        .command(format!("kubectl -n {ns} get svc -l app=rook-ceph-mon"))
        .command(format!("kubectl -n {ns} logs deploy/rook-ceph-mon-{id} -c mon --tail=50"));
    Finding::warning(deployment(ns, id), summary, remedy).at([daemon(id)])
}
