use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{StorageNetwork, storage_networks};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity};
use crate::checks::ceph::ceph_command;
use crate::checks::csi::errors::Cause;
use crate::checks::csi::mount_failing::{Failing, failing_mounts};
use crate::checks::csi::plugins;
use crate::facts::tables::NodeRow;
use crate::facts::{Cluster, Facts, Gap, both};
use crate::objects::ceph::Status;
use crate::objects::kube::Event;
use crate::objects::multus::{NetworkAttachment, Plugin};
use crate::say;

check! {
    /// # What it looks at
    /// Nodes where mounts of Ceph volumes hang although Ceph serves and the node plugin is well, while the public
    /// network is a NAD and the node plugins use the host's network. A warning if the NAD's configuration has neither
    /// the node's address in its subnets nor any route, so that the OSDs' answers do not leave by it; else only a hint:
    /// what addresses and routes the host has cannot be seen from the API.
    ///
    /// # Why it matters
    /// Mounts are made in the host's network, not in a pod with the NAD. The monitors answer there, at their Service
    /// addresses, but OSDs and MDS listen in the NAD. A host without an address and a route in that network waits for
    /// ever, and a host under macvlan does not reach its own pods without a shim. Shims set by hand are gone after a boot.
    ///
    /// # Confirm by hand
    /// On the node `ip addr`, `ip route get <public address of an OSD>` and `ping` to it (`ceph osd dump` names it), or
    /// `rook multus validation run --host-check-only` in the operator's pod. That test needs a ServiceAccount that may
    /// use the host network (on OpenShift that of Rook's example multus-validation-test-openshift.yaml).
    ///
    /// # Fix
    /// Give every node an address on an interface in the public network and a route to the pods' range, lasting over
    /// boots, and the NAD a route back to the nodes' range.
    ///
    /// # References
    /// Rook: CRDs/Cluster/network-providers, "Multus Prerequisites"; rook #17639.
    "NET018" "host-off-public-network" Net,
    needs: [
        Discovery, CephClusters, NetworkAttachments, CsiDeployments, DaemonSets, CsiPods, MountEvents,
        AttachEvents, Volumes, StorageClasses, Objects, CephStatus, Nodes,
    ],
    explained_by: [],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let (networks, plugins) = both(storage_networks(facts), plugins(facts))?;
    let public = networks.iter().find(|network| network.role == "public");
    let Some((public, nad)) = public.and_then(|public| Some((public, public.attachment?))) else {
        return Ok(Answered::NotApplicable("the public network is not a NetworkAttachmentDefinition"));
    };
    let on_host: Vec<_> = plugins.iter().filter(|it| it.is_node_plugin() && it.template.spec.host_network).collect();
    if on_host.is_empty() {
        return Ok(Answered::NotApplicable("no node plugin of CSI is on the host network"));
    }
    let mounts = failing_mounts(facts)?;
    let mut hanging: BTreeMap<&str, Vec<&Failing<'_>>> = BTreeMap::new();
    for ((node, cause), group) in &mounts.groups {
        if matches!(cause, Cause::Unreachable | Cause::Hangs) {
            hanging.entry(node).or_default().extend(group);
        }
    }
    if hanging.is_empty() {
        return Ok(Answered::passed().blind(mounts.blind));
    }
    let (status, (nodes, rows)) = both(facts.ceph_status(), both(facts.nodes(), facts.csi_pods()))?;
    if !serves(status) {
        return Ok(Answered::passed().blind(mounts.blind));
    }
    // A node that is lost, or whose plugin is, has a fault of its own.
    let plugin_is_sick = |node: &str| {
        rows.iter().any(|row| row.node == node && !row.is_well() && on_host.iter().any(|plugin| plugin.owns(row)))
    };
    let cluster = facts.cluster()?;
    let found = hanging.iter().filter_map(|(name, group)| {
        let node = nodes.iter().find(|node| node.name == *name && node.is_ready() && !plugin_is_sick(name))?;
        Some(finding(cluster, public, nad, node, group))
    });
    Ok(Answered::judged(found.collect()).blind(mounts.blind))
}

/// Whether nothing within Ceph keeps a mount waiting.
fn serves(status: &Status) -> bool {
    let states = &status.pgmap.pgs_by_state;
    let up = status.osdmap.num_up_osds > 0 && status.osdmap.num_up_osds == status.osdmap.num_osds;
    !status.quorum.is_empty() && up && states.iter().all(|state| state.state_name.split('+').any(|it| it == "active"))
}

/// Whether the NAD tells pods no way to the node at all: no route, and the node's address in none of its subnets.
fn tells_no_way(nad: &NetworkAttachment, address: &str) -> bool {
    // A configuration that cannot be read is NET006's; DHCP brings routes that are not written here.
    let plugins: Vec<Plugin> = nad.plugins().unwrap_or_default();
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    let subnets: Vec<IpNet> = plugins.iter().flat_map(|plugin| plugin.ipam.subnets()).collect();
    let routes = plugins.iter().any(|plugin| !plugin.ipam.routes.is_empty());
    let layer_two = plugins.first().is_some_and(|plugin| ["macvlan", "ipvlan"].contains(&plugin.kind.as_str()));
    layer_two && !routes && !subnets.is_empty() && !subnets.iter().any(|subnet| subnet.contains(&address))
}

fn finding(
    cluster: &Cluster,
    public: &StorageNetwork<'_>,
    nad: &NetworkAttachment,
    node: &NodeRow,
    group: &[&Failing<'_>],
) -> Finding {
    let no_way = tells_no_way(nad, &node.address);
    let (object, name) = (public.object(), &node.name);
    let (severity, summary) = if no_way {
        let summary = say!(
            "mounts on {} hang though Ceph serves: the public network {} has no route to the node's address {}, and CSI mounts in the host's network",
            name,
            public.selection.full_name(),
            node.address
        );
        (Severity::Warning, summary)
    } else {
        let summary = say!(
            "mounts on {} hang though Ceph serves: CSI mounts in the host's network, so see whether the host has an address and a route in the public network {}",
            name,
            public.selection.full_name()
        );
        (Severity::Info, summary)
    };
    let (ns, nad_name) = (&public.selection.ns, &public.selection.name);
    let remedy = Remedy::guided(say!(
        "see on {} whether it reaches a public address of an OSD; if not, give the host an interface (under macvlan a shim) with an address and a route to the pods' range, lasting over boots, and the NAD a route to the hosts' range; OSDs take a new route when they restart, one failure domain at a time",
        name
    ))
    .command(ceph_command(cluster, "osd dump"))
    .command(format!("kubectl debug node/{name} -it --profile=sysadmin --image=busybox -- ip route"))
    .command(format!("kubectl -n {ns} get net-attach-def {nad_name} -o yaml"));
    let events: Vec<&Event> = group.iter().flat_map(|failing| failing.events.iter().copied()).collect();
    Finding::new(severity, ObjectRef::node(name), summary, remedy)
        .also([object.clone()])
        .at([Place::node(name), public.place()])
        .since(events.iter().filter_map(|event| event.first_seen()).min())
        .evidence(events.iter().take(3).map(|event| Evidence::event(event)))
        .evidence([Evidence::field(&object, "spec.config", nad.spec.config.split_whitespace().collect::<String>())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nad_tells_a_way_by_subnet_or_route() {
        let nad = |ipam: &str| {
            let config = format!(r#"{{"type": "macvlan", "master": "eth1", "ipam": {ipam}}}"#);
            NetworkAttachment { spec: crate::objects::multus::NetworkAttachmentSpec { config }, ..Default::default() }
        };
        for (ipam, no_way) in [
            (r#"{"type": "whereabouts", "range": "192.168.140.0/24"}"#, true),
            (r#"{"type": "whereabouts", "range": "192.168.140.0/24", "routes": [{"dst": "10.9.0.0/24"}]}"#, false),
            (r#"{"type": "whereabouts", "range": "172.22.0.0/16"}"#, false),
            (r#"{"type": "dhcp"}"#, false),
        ] {
            assert_eq!(tells_no_way(&nad(ipam), "172.22.8.15"), no_way, "{ipam}");
        }
    }
}
