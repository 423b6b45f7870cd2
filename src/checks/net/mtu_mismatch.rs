use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{StorageNetwork, daemon_place, storage_networks};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy, Severity};
use crate::checks::ceph::osds_of;
use crate::checks::osd::{OsdPods, by_osd};
use crate::facts::tables::PodRow;
use crate::facts::{Facts, Gap, both, kinds};
use crate::lang::listed;
use crate::objects::ceph::Health;
use crate::objects::kube::Pod;
use crate::objects::multus::{NETWORK_STATUS, NetworkAttachment, Plugin, interfaces};
use crate::say;

check! {
    /// # What it looks at
    /// While heartbeats are slow or requests hang: the MTU that OSD pods of different nodes have on one
    /// network, as network-status tells it (plugins of CNI 1.1 and later). And at all times NADs with different `mtu`
    /// over the same interface and the same addresses as a storage network. Public and cluster network may differ.
    ///
    /// # Why it matters
    /// Small packets pass everywhere, so pings are fine and monitors content; full ones are dropped where the MTU is
    /// smaller. Ceph pads its heartbeats to 2000 bytes to notice: they slow down or fail, peering stops halfway, and
    /// OSDs are reported down while they run. Pods keep the MTU that they started with, so an edited NAD makes two kinds.
    ///
    /// # Confirm by hand
    /// In two OSD pods `ip link show net1`, and between two hosts `ping -M do -s 8972 <storage address>` for 9000. The
    /// MTU of switches and of the hosts' own interfaces cannot be seen from the API.
    ///
    /// # Fix
    /// One MTU along the network: hosts, switch ports, NAD; then restart the pods that have the other, by failure domain.
    ///
    /// # References
    /// Ceph: `osd_heartbeat_min_size`, health codes OSD_SLOW_PING_TIME_*; containernetworking/plugins: macvlan, `mtu`.
    "NET021" "mtu-mismatch" Net,
    needs: [Discovery, CephClusters, NetworkAttachments, CephHealth, OsdPods, Objects],
    explained_by: [],
}

/// What large packets that get lost look like.
const SIGNS: &[&str] = &["OSD_SLOW_PING_TIME_FRONT", "OSD_SLOW_PING_TIME_BACK", "SLOW_OPS"];

/// OSD pods by the MTU that they have on one network.
type Sizes<'s> = BTreeMap<u64, Vec<&'s Pod>>;

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let networks = storage_networks(facts)?;
    if networks.is_empty() {
        return Ok(Answered::NotApplicable("the cluster's network provider is not Multus"));
    }
    let (health, attachments) = both(facts.ceph_health(), facts.network_attachments())?;
    let suspicious = SIGNS.iter().find_map(|code| health.raised(code));
    let slow = SIGNS[..2].iter().any(|code| health.raised(code).is_some());
    let severity = if slow { Severity::Warning } else { Severity::Info };
    let mut findings: Vec<Finding> =
        networks.iter().flat_map(|network| beside(network, attachments, severity)).collect();
    let Some(sign) = suspicious else { return Ok(Answered::judged(findings)) };
    let opened = facts.each(sample(facts.osd_pods()?, health), |facts, row| facts.pod(&row.ns, &row.name))?;
    let pods: Vec<&Pod> = opened.seen.iter().map(|(_, pod)| *pod).collect();
    for network in &networks {
        let sizes = sizes(network, &pods);
        if sizes.len() > 1 {
            findings.push(apart(network, &sizes).evidence([Evidence::ceph("health detail", &sign.summary.message)]));
        }
    }
    Ok(Answered::judged(findings).blind(opened.blind))
}

/// At most this many pods are opened: what differs, differs by node, and heartbeats name the OSDs.
const SAMPLE: usize = 8;

/// The OSDs that slow heartbeats name, then one of each node.
fn sample<'r>(rows: &'r [PodRow], health: &Health) -> Vec<&'r PodRow> {
    let pings = SIGNS[..2].iter().filter_map(|code| health.checks.get(*code));
    let named: Vec<i64> = pings.flat_map(osds_of).collect();
    let osds = by_osd(rows);
    let pod_of = |osd: &OsdPods<'r>| osd.rows.iter().copied().find(|row| row.status == "Running");
    let first = named.iter().filter_map(|id| osds.get(id)).chain(osds.values()).filter_map(pod_of);
    let mut nodes = BTreeSet::new();
    first.filter(|row| nodes.insert(row.node.as_str())).take(SAMPLE).collect()
}

fn sizes<'s>(network: &StorageNetwork<'_>, pods: &[&'s Pod]) -> Sizes<'s> {
    let mut sizes = Sizes::new();
    for pod in pods {
        // A status that cannot be read tells nothing of the size.
        let all = interfaces(pod).ok().flatten().unwrap_or_default();
        let it = all.iter().find(|interface| interface.name == network.selection.full_name());
        if let Some(mtu) = it.and_then(|interface| interface.mtu.as_u64()).filter(|mtu| *mtu > 0) {
            sizes.entry(mtu).or_default().push(pod);
        }
    }
    sizes
}

/// Pods of one network with different sizes. Those that differ from the NAD, or else from most, are to change.
fn apart(network: &StorageNetwork<'_>, sizes: &Sizes<'_>) -> Finding {
    let wanted = network.attachment.and_then(mtu).filter(|mtu| sizes.contains_key(mtu));
    let most = sizes.iter().max_by_key(|(_, pods)| pods.len()).map(|(mtu, _)| *mtu);
    let right = wanted.or(most).unwrap_or_default();
    let wrong = || {
        sizes.iter().filter(|(mtu, _)| **mtu != right).flat_map(|(mtu, pods)| pods.iter().map(move |pod| (mtu, *pod)))
    };
    let list = wrong().map(|(mtu, pod)| say!("{} on {} has {}", pod.stable_name(), pod.spec.node_name, mtu));
    let summary = say!(
        "the MTU differs along the {} network {}: {}, the others {}",
        network.role,
        network.selection.full_name(),
        listed(list),
        right
    );
    let mut remedy = Remedy::guided(say!(
        "set one MTU along the network: on the hosts' interface, the switch and the NAD; then delete the pods that have another, one failure domain at a time and only when ceph osd ok-to-stop agrees"
    ));
    for (_, pod) in wrong().take(4) {
        remedy = remedy.command(format!("kubectl -n {} delete pod {}", pod.metadata.namespace, pod.metadata.name));
    }
    let shown = sizes.values().filter_map(|pods| pods.first());
    Finding::warning(network.object(), summary, remedy)
        .also(wrong().map(|(_, pod)| ObjectRef::pod(pod)))
        .at([network.place()])
        .at(wrong().filter_map(|(_, pod)| daemon_place(pod)))
        .evidence(shown.map(|pod| {
            let status = pod.metadata.annotations.get(NETWORK_STATUS).map_or("", String::as_str);
            Evidence::field(&ObjectRef::pod(pod), NETWORK_STATUS, status.split_whitespace().collect::<String>())
        }))
}

/// Other NADs over the same interface and the same addresses, with another size.
fn beside(network: &StorageNetwork<'_>, attachments: &[NetworkAttachment], severity: Severity) -> Option<Finding> {
    let nad = network.attachment?;
    let ours = mtu(nad)?;
    let others: Vec<(&NetworkAttachment, u64)> = attachments
        .iter()
        .filter(|other| other.full_name() != nad.full_name() && are_one_network(nad, other))
        .filter_map(|other| Some((other, mtu(other)?)))
        .filter(|(_, mtu)| *mtu != ours)
        .collect();
    let names: Vec<String> = others.iter().map(|(other, mtu)| format!("{} ({mtu})", other.full_name())).collect();
    if names.is_empty() {
        return None;
    }
    let object = network.object();
    let summary = say!(
        "the {} network {} has an MTU of {}, and {} over the same interface and addresses another",
        network.role,
        network.selection.full_name(),
        ours,
        names.join(", ")
    );
    let remedy = Remedy::guided(say!(
        "give the NADs of one network one MTU, that of the hosts' interface and the switch; pods take it when they restart"
    ));
    let remedy = others.iter().fold(remedy, |remedy, (other, _)| {
        remedy.command(format!("kubectl -n {} edit net-attach-def {}", other.metadata.namespace, other.metadata.name))
    });
    let evidence = |nad: &NetworkAttachment, mtu: u64| {
        let object = ObjectRef::new(kinds::NETWORK_ATTACHMENT, &nad.metadata.namespace, &nad.metadata.name);
        Evidence::field(&object, "spec.config mtu", mtu)
    };
    Some(
        Finding::new(severity, object, summary, remedy)
            .detail("nad")
            .at([network.place()])
            .evidence([evidence(nad, ours)])
            .evidence(others.iter().map(|(other, mtu)| evidence(other, *mtu))),
    )
}

/// The size that a NAD sets; without one an interface takes that of its master. A later plugin has the last word.
fn mtu(nad: &NetworkAttachment) -> Option<u64> {
    let plugins: Vec<Plugin> = nad.plugins().unwrap_or_default();
    plugins.iter().filter_map(|plugin| plugin.mtu.as_u64()).rfind(|mtu| *mtu > 0)
}

/// The same interface of the hosts, the same VLAN, and addresses that overlap.
fn are_one_network(a: &NetworkAttachment, b: &NetworkAttachment) -> bool {
    let first = |nad: &NetworkAttachment| nad.plugins().ok()?.into_iter().next();
    let (Some(a), Some(b)) = (first(a), first(b)) else { return false };
    let link = |plugin: &Plugin| -> Option<(String, u64)> {
        let name = [&plugin.master, &plugin.bridge].into_iter().find_map(Value::as_str)?;
        Some((name.to_owned(), plugin.vlan.as_u64().unwrap_or_default()))
    };
    let (mine, theirs) = (a.ipam.subnets(), b.ipam.subnets());
    let overlap = mine.iter().any(|mine| theirs.iter().any(|it| it.contains(mine) || mine.contains(it)));
    link(&a).is_some() && link(&a) == link(&b) && overlap
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_nads_are_one_network_by_interface_vlan_and_addresses() {
        let nad = |text: &str| {
            let config = format!(r#"{{"type": "macvlan", {text}}}"#);
            NetworkAttachment { spec: crate::objects::multus::NetworkAttachmentSpec { config }, ..Default::default() }
        };
        let ours = nad(r#""master": "eth1", "mtu": 9000, "ipam": {"type": "whereabouts", "range": "10.1.0.0/24"}"#);
        for (text, one) in [
            (r#""master": "eth1", "ipam": {"type": "whereabouts", "range": "10.1.0.128/25"}"#, true),
            (r#""master": "eth2", "ipam": {"type": "whereabouts", "range": "10.1.0.128/25"}"#, false),
            (r#""master": "eth1", "ipam": {"type": "whereabouts", "range": "10.2.0.0/24"}"#, false),
            (r#""bridge": "eth1", "vlan": 5, "ipam": {"type": "host-local", "subnet": "10.1.0.0/24"}"#, false),
        ] {
            assert_eq!(are_one_network(&ours, &nad(text)), one, "{text}");
        }
        assert_eq!(mtu(&ours), Some(9000));
    }
}
