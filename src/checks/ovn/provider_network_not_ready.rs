use jiff::SignedDuration;

use super::{namespace, network};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity};
use crate::checks::net::storage_networks;
use crate::facts::{Facts, Gap, both, kinds};
use crate::objects::kube_ovn::{NodeCondition, ProviderNetwork, Subnet};
use crate::say;

check! {
    /// # What it looks at
    /// Where a Subnet is on a VLAN: the `notReadyNodes` of Kube-OVN's ProviderNetworks, and the condition of each such
    /// node (reason `InitOVSBridgeFailed`) with kube-ovn-cni's own words. A condition needs two minutes to count.
    ///
    /// # Why it matters
    /// On such a node the bridge of the underlay was not made: pods of its Subnets have no network there. The card
    /// itself is put into that bridge, so a try that stops half-way can cut the node off. A ProviderNetwork that no
    /// Subnet uses is information.
    ///
    /// # Confirm by hand
    /// `kubectl get provider-networks.kubeovn.io -o yaml`, and on the node `ip link` and `ovs-vsctl show`.
    ///
    /// # Fix
    /// Mostly the card has another name on that node, or is missing: name it in `customInterfaces`, or exclude the
    /// node in `excludeNodes`. Then delete the kube-ovn-cni pod of that node if it does not try again by itself.
    ///
    /// # References
    /// Kube-OVN: start, "Underlay installation"; pkg/daemon/controller.go, pkg/controller/provider_network.go.
    "OVN012" "provider-network-not-ready" Ovn,
    needs: [Discovery, DaemonSets, Subnets, ProviderNetworks, Nodes, CephClusters, NetworkAttachments],
    explained_by: [
        (node::node_not_ready, Node), (node::node_rebooted, Node), (ovn::ovs_ovn_unhealthy, Node),
        (ovn::kube_ovn_cni_unhealthy, Node), (ovn::stale_after_reboot, Node), (ovn::stale_chassis, Node),
    ],
}

/// Longer than a node takes to make its bridge.
const SETTLED: SignedDuration = SignedDuration::from_mins(2);

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let ns = namespace(facts)?;
    let subnets = facts.subnets()?;
    if subnets.iter().all(|subnet| subnet.spec.vlan.is_empty()) {
        return Ok(Answered::NotApplicable("no Subnet is on a VLAN"));
    }
    let (all, (nodes, storage)) = both(facts.provider_networks(), both(facts.nodes(), storage_networks(facts)))?;
    let mut findings = Vec::new();
    for provider in all.iter().filter(|it| it.metadata.deletion_timestamp.is_none()) {
        let uses = |subnet: &&Subnet| provider.status.vlans.contains(&subnet.spec.vlan);
        let users: Vec<&Subnet> = subnets.iter().filter(uses).collect();
        let vital = |subnet: &&Subnet| {
            subnet.spec.default || storage.iter().any(|it| it.place() == network(&subnet.spec.provider))
        };
        let severity = match users.len() {
            0 => Severity::Info,
            _ if users.iter().any(vital) => Severity::Critical,
            _ => Severity::Warning,
        };
        let exists = |name: &&String| nodes.iter().any(|node| node.name == **name);
        for node in provider.status.not_ready_nodes.iter().filter(exists) {
            let mut conditions = provider.status.conditions.iter();
            let condition = conditions.find(|it| it.node == *node && it.kind == "Ready");
            let since = condition.and_then(|it| it.last_transition_time);
            if since.is_none_or(|since| facts.now().duration_since(since) >= SETTLED) {
                findings.push(finding(ns, provider, node, condition, &users, severity));
            }
        }
    }
    Ok(Answered::judged(findings))
}

fn finding(
    ns: &str,
    provider: &ProviderNetwork,
    node: &str,
    condition: Option<&NodeCondition>,
    users: &[&Subnet],
    severity: Severity,
) -> Finding {
    let name = &provider.metadata.name;
    let who = users.iter().map(|subnet| subnet.metadata.name.as_str()).collect::<Vec<_>>().join(", ");
    let who = if who.is_empty() { say!("no Subnet uses it") } else { say!("pods of {} have no network there", who) };
    let said = condition.map_or_else(|| say!("kube-ovn-cni does not say why"), |it| say!("{}", it.message));
    let summary = say!("the ProviderNetwork {} is not ready on {} ({}): {}", name, node, said, who);
    let remedy = Remedy::guided(say!("see that the network card exists on {} under the name that the ProviderNetwork has for it; name another one in customInterfaces, or exclude the node", node))
        .command(format!("kubectl get provider-networks.kubeovn.io {name} -o yaml"))
        .command(format!("kubectl -n {ns} get pods -l app=kube-ovn-cni -o wide --field-selector spec.nodeName={node}"));
    let object = ObjectRef::new(kinds::PROVIDER_NETWORK, "", name);
    let shown = condition.map(|it| {
        let said = format!("{}: {}", it.reason, it.message);
        Evidence::field(&object, format!("status.conditions[{node}]"), said).at(it.last_transition_time)
    });
    let list = Evidence::field(&object, "status.notReadyNodes", provider.status.not_ready_nodes.join(", "));
    Finding::new(severity, object, summary, remedy)
        .detail(node)
        .at([Place::node(node)])
        .since(condition.and_then(|it| it.last_transition_time))
        .evidence([list])
        .evidence(shown)
}
