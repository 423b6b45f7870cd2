use std::collections::BTreeSet;
use std::net::IpAddr;

use super::nad_default_route::severity;
use super::own_networks::{Own, own_networks};
use super::{StorageNetwork, daemon_rows, storage_networks};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy, Severity, Text};
use crate::facts::tables::PodRow;
use crate::facts::{Facts, Gap, both};
use crate::lang::listed;
use crate::say;

check! {
    /// # What it looks at
    /// The ranges of the cluster's storage networks against what is recorded of the cluster's own: the Service
    /// range that the API server or kubeadm was given, the addresses of Services, the default network's Subnets
    /// of Kube-OVN, the pod ranges of nodes whose pods really live in them, addresses of pods, and addresses of
    /// nodes. A node may lie in the subnet of a storage network, as long as it is outside of what is handed out.
    ///
    /// # Why it matters
    /// The subnet of a NAD becomes a route over the storage interface inside every Ceph pod. If pods or Services
    /// live in it as well, packets for them take that interface: monitors' Service addresses and the API server
    /// are out of reach. An address that a node has and a pod gets is on the network twice.
    ///
    /// # Confirm by hand
    /// `kubectl cluster-info dump | grep -m1 service-cluster-ip-range`, `kubectl get pods,nodes -A -o wide`, and
    /// inside a Ceph pod `ip route`.
    ///
    /// # Fix
    /// Give the NAD a subnet that nothing else uses, or exclude the nodes' addresses from its range; then restart
    /// the daemons one failure domain at a time.
    ///
    /// # References
    /// Rook: CRDs/Cluster/network-providers, "Multus Prerequisites". whereabouts: README, `exclude`.
    "NET010" "nad-overlaps-cluster-network" Net,
    needs: [
        Discovery, CephClusters, NetworkAttachments, Nodes, MonPods, MgrPods, MdsPods, RgwPods, OsdPods,
        OperatorPods, CephStatus, Objects,
    ],
    explained_by: [],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let networks = storage_networks(facts)?;
    if networks.is_empty() {
        return Ok(Answered::NotApplicable("the cluster's network provider is not Multus"));
    }
    let ranged: Vec<_> =
        networks.iter().filter_map(|network| Some((network, network.attachment?.ipam().spans()))).collect();
    if ranged.iter().all(|(_, spans)| spans.is_empty()) {
        return Ok(Answered::NotApplicable("the NADs name no range: their addresses come from elsewhere"));
    }
    let (nodes, (rows, operators)) = both(facts.nodes(), both(daemon_rows(facts), facts.operator_pods()))?;
    // A pod on the host network has the node's address.
    let hosts: BTreeSet<&str> = nodes.iter().map(|node| node.address.as_str()).collect();
    let rows = rows.into_iter().chain(operators).filter(|row| !row.is_done() && !hosts.contains(row.ip.as_str()));
    let rows: Vec<&PodRow> = rows.collect();
    let (own, blind) = own_networks(facts, &rows)?;
    let mut findings = Vec::new();
    for (network, spans) in &ranged {
        let meets =
            |own: &&Own| spans.iter().any(|span| span.subnet.contains(&own.net) || own.net.contains(&span.subnet));
        let met: Vec<&Own> = own.iter().filter(meets).collect();
        if !met.is_empty() {
            findings.push(routed(network, &met, severity(facts)?));
            continue;
        }
        let taken = |address: &str| address.parse::<IpAddr>().is_ok_and(|ip| spans.iter().any(|span| span.holds(ip)));
        let taken: Vec<_> = nodes.iter().filter(|node| taken(&node.address)).collect();
        if !taken.is_empty() {
            let taken: Vec<(&str, &str)> =
                taken.iter().map(|node| (node.name.as_str(), node.address.as_str())).collect();
            findings.push(given_away(network, &taken));
        }
    }
    Ok(Answered::judged(findings).blind(blind))
}

/// The subnet is a route inside every Ceph pod.
fn routed(network: &StorageNetwork<'_>, met: &[&Own], severity: Severity) -> Finding {
    let what = met.iter().take(1).map(|own| &own.what);
    let what = match met.len() {
        0 | 1 => say!("{}", listed(what)),
        count => say!("{} and {} more", listed(what), count - 1),
    };
    let summary = say!(
        "the {} network {} overlaps the cluster's own network: {} lies in the subnet that Ceph pods reach over the storage interface",
        network.role,
        network.selection.full_name(),
        what
    );
    finding(network, severity, summary, Remedy::guided(say!(
        "give the NAD a subnet that neither pods, Services nor nodes use, then restart the daemons one failure domain at a time, monitors first"
    ))).evidence(met.iter().take(4).map(|own| own.evidence.clone()))
}

/// Nodes may share the subnet, but not what is handed out of it.
fn given_away(network: &StorageNetwork<'_>, taken: &[(&str, &str)]) -> Finding {
    let all = taken.iter().map(|(node, address)| say!("{} of {}", address, node));
    let summary = say!(
        "the {} network {} may give a daemon an address that a node has: {}",
        network.role,
        network.selection.full_name(),
        listed(all)
    );
    let remedy = Remedy::guided(say!(
        "exclude the nodes' addresses from the range of the NAD (exclude, or its start and end); daemons that already have one of them get another by a restart"
    ));
    finding(network, Severity::Warning, summary, remedy).evidence(
        taken
            .iter()
            .take(4)
            .map(|(node, address)| Evidence::field(&ObjectRef::node(node), "status.addresses", address)),
    )
}

fn finding(network: &StorageNetwork<'_>, severity: Severity, summary: Text, remedy: Remedy) -> Finding {
    let (ns, name) = (&network.selection.ns, &network.selection.name);
    let object = network.object();
    let ranges = network.attachment.map_or_else(Vec::new, |nad| nad.ipam().spans());
    let range = ranges.iter().map(|span| {
        Evidence::field(&object, "spec.config ipam", format!("{} to {} in {}", span.first, span.last, span.subnet))
    });
    let remedy = remedy
        .command(format!("kubectl -n {ns} get net-attach-def {name} -o yaml > {name}.backup.yaml"))
        .command(format!("kubectl -n {ns} edit net-attach-def {name}"));
    Finding::new(severity, object.clone(), summary, remedy).at([network.place()]).evidence(range)
}
