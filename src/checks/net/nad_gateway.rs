use std::net::IpAddr;

use super::{StorageNetwork, daemon_rows, nad_default_route, storage_networks};
use crate::check;
use crate::check::{Answered, Evidence, Finding, Remedy, Severity};
use crate::facts::tables::PodRow;
use crate::facts::{Cluster, Facts, Gap, Settled, both};
use crate::fix::plans::nad_routes::{Mend, mend};
use crate::objects::multus::Plugin;
use crate::say;

check! {
    /// # What it looks at
    /// Gateways in the NetworkAttachmentDefinitions that the CephCluster names: `isDefaultGateway` of a bridge,
    /// which gives every pod a default route over it, and a gateway that is not in the network's own subnet.
    ///
    /// # Why it matters
    /// A bare gateway does nothing by itself. `isDefaultGateway` does what a default route in the NAD does
    /// (NET007): answers to the operator and to Services leave by the storage network and are lost. A gateway
    /// out of the subnet cannot be reached, so the first route that uses it keeps pods from starting. The
    /// gateway of a default route that is written out belongs to NET007.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> get net-attach-def <name> -o jsonpath='{.spec.config}'`, and inside a Ceph pod
    /// `ip route`.
    ///
    /// # Fix
    /// Take the gateway out (a bridge that is the default gateway stays a plain one, with its address); a storage
    /// network needs specific routes at most. Then restart the pods that carry the interface, monitors one by one.
    /// `fix` does so for `isDefaultGateway`, under the conditions of NET007.
    ///
    /// # References
    /// containernetworking/plugins: bridge, host-local; Rook: CRDs/Cluster/network-providers.
    "NET008" "nad-gateway" Net,
    needs: [
        Discovery, CephClusters, NetworkAttachments, OsdPods, MonPods, MgrPods, MdsPods, RgwPods, CephStatus, Nodes,
        CsiDeployments, DaemonSets, DeploymentTables, Volumes, StorageClasses, Objects,
    ],
    fix: nad_routes,
    explained_by: [(net::nad_default_route, Network)],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let networks = storage_networks(facts)?;
    if networks.is_empty() {
        return Ok(Answered::NotApplicable("the cluster's network provider is not Multus"));
    }
    let cluster = facts.cluster()?;
    let mut findings = Vec::new();
    for network in &networks {
        // A configuration that cannot be read is NET006's to report.
        let plugins = network.attachment.and_then(|nad| nad.plugins().ok()).unwrap_or_default();
        let is_default = |plugin: &Plugin| plugin.kind == "bridge" && plugin.is_default_gateway;
        if plugins.iter().any(is_default) && !nad_default_route::is_by_source(&plugins) {
            let found =
                both(nad_default_route::severity(facts), both(mend(facts, network), daemon_rows(facts).settled()))?;
            let (severity, (mend, rows)) = found;
            // Without the pods the remedy names none of them.
            let rows = rows.unwrap_or_else(|_unread| Vec::new());
            findings.push(default_gateway(cluster, network, severity, &mend, &rows));
        }
        findings.extend(
            plugins.iter().flat_map(outside).map(|(gateway, subnets)| out_of_subnet(network, &gateway, &subnets)),
        );
    }
    Ok(Answered::judged(findings))
}

fn default_gateway(
    cluster: &Cluster,
    network: &StorageNetwork<'_>,
    severity: Severity,
    mend: &Mend,
    rows: &[&PodRow],
) -> Finding {
    let summary = say!(
        "the {} network {} makes its bridge the default gateway of every Ceph pod",
        network.role,
        network.selection.full_name()
    );
    let text = say!(
        "make isDefaultGateway of the NAD a plain isGateway{}; then restart the pods that carry the interface: monitors one by one, each back in quorum before the next, then mgr, MDS and gateways, at last OSDs by failure domain",
        nad_default_route::before_restarts(network, mend, rows)
    );
    let remedy = nad_default_route::remedy(cluster, network, text, mend, rows);
    finding(network, Finding::new(severity, network.object(), summary, remedy), "isDefaultGateway", "true")
}

fn out_of_subnet(network: &StorageNetwork<'_>, gateway: &str, subnets: &str) -> Finding {
    let summary = say!(
        "the {} network {} has the gateway {} out of its subnet {}",
        network.role,
        network.selection.full_name(),
        gateway,
        subnets
    );
    let (ns, name) = (&network.selection.ns, &network.selection.name);
    let remedy = Remedy::guided(say!(
        "take the gateway out of the NAD, or write the right one; pods that run have no route by it, so none needs to restart for that"
    ))
    .command(format!("kubectl -n {ns} get net-attach-def {name} -o yaml > {name}.backup.yaml"))
    .command(format!("kubectl -n {ns} edit net-attach-def {name}"));
    finding(network, Finding::warning(network.object(), summary, remedy), "ipam gateway", gateway)
}

/// Gateways that no subnet of the plugin holds, with the subnets.
fn outside(plugin: &Plugin) -> Vec<(String, String)> {
    let subnets = plugin.ipam.subnets();
    let beyond = |gateway: &&str| {
        let address = gateway.parse::<IpAddr>().ok();
        // Every interface has a link-local address, and routers of IPv6 are known by theirs.
        let address = address.filter(|it| !matches!(it, IpAddr::V6(it) if it.is_unicast_link_local()));
        address.is_some_and(|address| !subnets.is_empty() && !subnets.iter().any(|subnet| subnet.contains(&address)))
    };
    let written = subnets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    plugin.ipam.gateways().into_iter().filter(beyond).map(|gateway| (gateway.to_owned(), written.clone())).collect()
}

fn finding(network: &StorageNetwork<'_>, finding: Finding, key: &str, value: &str) -> Finding {
    finding.detail(key.replace(' ', "-")).at([network.place()]).evidence([Evidence::field(
        &network.object(),
        format!("spec.config {key}"),
        value,
    )])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_held_against_its_subnets() {
        let outside = |ipam: &str| {
            let plugin: Plugin = serde_json::from_str(&format!(r#"{{"type":"macvlan","ipam":{ipam}}}"#)).unwrap();
            outside(&plugin).len()
        };
        assert_eq!(outside(r#"{"subnet":"10.0.0.0/24","gateway":"10.0.0.1"}"#), 0);
        assert_eq!(outside(r#"{"range":"10.0.0.0/24","gateway":"10.0.1.1"}"#), 1);
        assert_eq!(outside(r#"{"type":"kube-ovn","gateway":"10.0.1.1"}"#), 0);
        assert_eq!(outside(r#"{"range":"fd00::/64","gateway":"fe80::1"}"#), 0);
        assert_eq!(
            outside(
                r#"{"ranges":[[{"subnet":"10.0.0.0/24","gateway":"10.9.0.1"}],[{"subnet":"fd00::/64","gateway":"fd00::1"}]]}"#
            ),
            1
        );
    }
}
