use super::namespace;
use crate::check;
use crate::check::{Answered, Finding, ObjectRef, Place, Remedy};
use crate::checks::net::{down, status_evidence, trouble};
use crate::facts::{Facts, Gap};
use crate::objects::kube::Pod;
use crate::say;

check! {
    /// # What it looks at
    /// The pods of Kube-OVN's VPC NAT gateways (label `ovn.kubernetes.io/vpc-nat-gw=true`): not Ready, or
    /// crashing.
    ///
    /// # Why it matters
    /// A tenant's VPC reaches the outside only through its gateway. The gateway needs Multus and the pod
    /// network of its node, so it is a victim of either; Ceph does not use it.
    ///
    /// # Confirm by hand
    /// `kubectl -n kube-system get pods -l ovn.kubernetes.io/vpc-nat-gw=true -o wide`.
    ///
    /// # Fix
    /// Mend what it hangs below; it then starts by itself. If it does not, delete its pod.
    ///
    /// # References
    /// Kube-OVN: user guide, "VPC internal gateway".
    "OVN006" "vpc-nat-gateway-failing" Ovn,
    needs: [Discovery, DaemonSets, PodTables, Objects],
    explained_by: [
        (node::node_not_ready, Node), (node::node_rebooted, Node), (node::cni_not_ready, Node),
        (node::image_pull_failing, Node), (net::sandbox_failing, Node), (net::nad_range_exhausted, Node),
        (net::nad_master_missing, Node), (net::cni_plugin_missing, Node), (net::multus_init_crash, Node),
        (net::multus_daemon_down, Node), (ovn::ovn_central_down, Cluster), (ovn::ovs_ovn_unhealthy, Node),
        (ovn::kube_ovn_cni_unhealthy, Node), (ovn::kube_ovn_controller_unhealthy, Cluster),
        (ovn::stale_after_reboot, Node), (ovn::stale_chassis, Node),
    ],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let ns = namespace(facts)?;
    let pods = facts.pods_where(ns, "ovn.kubernetes.io/vpc-nat-gw=true")?;
    if pods.is_empty() {
        return Ok(Answered::NotApplicable("there are no VPC NAT gateways"));
    }
    let down = down(facts, pods)?;
    let findings = down.seen.iter().map(|(_, pod)| finding(pod)).collect();
    Ok(Answered::judged(findings).blind(down.blind))
}

fn finding(pod: &Pod) -> Finding {
    let (ns, name, node) = (&pod.metadata.namespace, &pod.metadata.name, &pod.spec.node_name);
    let (how, status) = trouble(pod);
    let summary = if node.is_empty() {
        say!("the VPC NAT gateway pod {} on no node {}", name, how)
    } else {
        say!("the VPC NAT gateway pod {} on {} {}", name, node, how)
    };
    let remedy = Remedy::advice(say!("see the pod's events; once the node's network works it starts by itself"))
        .command(format!("kubectl -n {ns} describe pod {name}"));
    Finding::warning(ObjectRef::pod(pod), summary, remedy)
        .at(Some(node).filter(|node| !node.is_empty()).map(Place::node))
        .since(pod.unready_since())
        .evidence(status.map(|status| status_evidence(pod, status)))
}
