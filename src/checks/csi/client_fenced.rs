use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::SignedDuration;

use super::errors::Cause;
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy};
use crate::facts::tables::NodeRow;
use crate::facts::{Facts, Gap, Select, both, kinds};
use crate::lang::listed;
use crate::objects::ceph::{OsdDump, host};
use crate::objects::csi_addons::NetworkFence;
use crate::objects::kube::{Event, Pod};
use crate::say;

/// The kubelet tries again every two minutes; an older event says nothing of now.
const CURRENT: SignedDuration = SignedDuration::from_mins(15);

check! {
    /// # What it looks at
    /// NetworkFences in state Fenced whose addresses hold those of a node that is Ready; and FailedMount events of
    /// the last fifteen minutes, of pods that still wait, in which Ceph refuses a node as blocklisted. On that
    /// suspicion the blocklist of `ceph osd dump` is read for the node's address. A blocklist is never empty on a
    /// healthy cluster: each MDS or mgr that fails over leaves an entry for an hour, with a nonce.
    ///
    /// # Why it matters
    /// Ceph refuses every read and write of a fenced client. Fencing is right while a lost node may still write;
    /// left over after the node came back it keeps every volume from it. Lifting it while an old mount still
    /// holds unwritten data of before can damage a filesystem: the node must have been rebooted since.
    ///
    /// # Confirm by hand
    /// `kubectl get networkfences.csiaddons.openshift.io`, `ceph osd blocklist ls`: an entry that blocks a whole
    /// node is a range, or ends in `:0/0`.
    ///
    /// # Fix
    /// Reboot the node (or make sure that it was rebooted after the fence). Then set the NetworkFence to Unfenced,
    /// and delete it once its result is Succeeded; remove an entry without a NetworkFence with
    /// `ceph osd blocklist rm`. Take away the taint `node.kubernetes.io/out-of-service` as well.
    ///
    /// # References
    /// Rook: Storage-Configuration/Block-Storage-RBD/rbd-async-disaster-recovery-failover-failback; Rook 1.12 to
    /// 1.19 fence nodes with the taint out-of-service (`ROOK_WATCH_FOR_NODE_FAILURE`); csi-addons: NetworkFence.
    "CSI013" "client-fenced" Csi,
    needs: [Discovery, Nodes, MountEvents, OsdDump, Objects],
    explained_by: [],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let fences = if facts.installed(kinds::NETWORK_FENCE)? {
        facts.list::<NetworkFence>(None, Select::all())
    } else {
        Ok(&[][..])
    };
    let (fences, (nodes, events)) = both(fences, both(facts.nodes(), facts.mount_events()))?;
    let fenced = fences.iter().filter(|fence| fence.spec.fence_state == "Fenced");
    let mut findings: Vec<Finding> = fenced.filter_map(|fence| by_fence(fence, nodes)).collect();
    let is_current = |event: &&Event| event.last_seen().is_some_and(|seen| facts.now().duration_since(seen) <= CURRENT);
    let refused = events.iter().filter(is_current).filter(|event| Cause::of(&event.message) == Cause::Fenced);
    let pods = facts.each(refused, |facts, event| {
        facts.object::<Pod>(&event.involved_object.namespace, &event.involved_object.name)
    })?;
    let mut by_node: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
    for (event, pod) in pods.seen {
        if let Some(pod) = pod.filter(|pod| pod.status.phase == "Pending") {
            by_node.entry(&pod.spec.node_name).or_default().push(event);
        }
    }
    by_node.retain(|name, _| nodes.iter().any(|node| node.name == *name && node.is_ready()));
    // One finding for each node: the fence that is seen explains its errors too.
    by_node.retain(|name, _| !findings.iter().any(|finding| finding.at.contains(&Place::node(*name))));
    if !by_node.is_empty() {
        let dump = facts.osd_dump()?;
        findings.extend(by_node.iter().filter_map(|(name, events)| {
            let node = nodes.iter().find(|node| node.name == *name)?;
            by_error(node, events, dump)
        }));
    }
    Ok(Answered::judged(findings).blind(pods.blind))
}

/// Nodes that are Ready and whose address the fence holds.
fn by_fence(fence: &NetworkFence, nodes: &[NodeRow]) -> Option<Finding> {
    let holds =
        |node: &&NodeRow| node.is_ready() && fence.spec.cidrs.iter().any(|range| contains(range, &node.address));
    let held: Vec<&NodeRow> = nodes.iter().filter(holds).collect();
    let names = listed(held.iter().map(|node| &node.name));
    let object = ObjectRef::of::<NetworkFence>(&fence.metadata);
    let name = &fence.metadata.name;
    let summary = say!("{} is Ready and still fenced by NetworkFence {}: Ceph refuses all it asks", names, name);
    let remedy = Remedy::guided(say!(
        "make sure that {} was rebooted after the fence was set (an old mount may hold data of before), then lift the fence, and delete it once its result is Succeeded",
        names
    ))
    .command(format!("kubectl patch networkfences.csiaddons.openshift.io {name} --type merge -p '{{\"spec\":{{\"fenceState\":\"Unfenced\"}}}}'"))
    .command(format!("kubectl get networkfences.csiaddons.openshift.io {name} -o jsonpath='{{.status.result}}'"));
    let addresses = held.iter().map(|node| Evidence::field(&ObjectRef::node(&node.name), "InternalIP", &node.address));
    let finding = Finding::critical(object.clone(), summary, remedy)
        .also(held.iter().map(|node| ObjectRef::node(&node.name)))
        .at(held.iter().map(|node| Place::node(&node.name)))
        .since(fence.metadata.creation_timestamp)
        .evidence([
            Evidence::field(&object, "spec.fenceState", "Fenced"),
            Evidence::field(&object, "spec.cidrs", fence.spec.cidrs.join(", ")),
        ])
        .evidence(addresses);
    (!held.is_empty()).then_some(finding)
}

fn by_error(node: &NodeRow, events: &[&Event], dump: &OsdDump) -> Option<Finding> {
    let newest = events.iter().max_by_key(|event| event.last_seen())?;
    let name = &node.name;
    let whole = |entry: &str| entry.ends_with(":0/0") && host(entry) == node.address;
    let single = dump.blocklist.keys().find(|entry| whole(entry));
    // `10.0.0.0:0/24` means `10.0.0.0/24`, which is also what the command takes.
    let mut ranges = dump.range_blocklist.keys().map(|entry| entry.replacen(":0/", "/", 1));
    let range = ranges.find(|range| contains(range, &node.address));
    let summary = say!("Ceph refuses {} as blocklisted, although the node is Ready", name);
    let remedy = Remedy::guided(say!(
        "find out who fenced {} and why; only if it was rebooted since (an old mount may hold data of before), remove the entry of its address; without an entry for the whole node a reboot gives its clients new identities",
        name
    ))
    .command("ceph osd blocklist ls");
    let remedy = match (&range, single) {
        (Some(range), _) => remedy.command(format!("ceph osd blocklist range rm {range}")),
        (None, Some(entry)) => remedy.command(format!("ceph osd blocklist rm {entry}")),
        (None, None) => remedy,
    };
    let entry = range.as_ref().or(single).map(|entry| Evidence::ceph("osd dump", format!("blocklist: {entry}")));
    Some(
        Finding::critical(ObjectRef::node(name), summary, remedy)
            .at([Place::node(name)])
            .since(events.iter().filter_map(|event| event.first_seen()).min())
            .evidence([Evidence::event(newest)])
            .evidence(entry),
    )
}

/// Whether `10.0.0.0/24` (or a bare address) holds the address.
fn contains(range: &str, address: &str) -> bool {
    let (base, bits) = range.split_once('/').map_or((range, None), |(base, bits)| (base, bits.parse::<u32>().ok()));
    let bits = |width: u32| width - bits.unwrap_or(width).min(width);
    match (base.parse(), address.parse()) {
        (Ok(IpAddr::V4(base)), Ok(IpAddr::V4(address))) => {
            let free = bits(32);
            u64::from(base.to_bits()) >> free == u64::from(address.to_bits()) >> free
        }
        (Ok(IpAddr::V6(base)), Ok(IpAddr::V6(address))) => {
            let shift = |it: u128| it.checked_shr(bits(128)).unwrap_or(0);
            shift(base.to_bits()) == shift(address.to_bits())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_what_its_bits_say() {
        for (range, address, expected) in [
            ("10.0.0.0/24", "10.0.0.7", true),
            ("10.0.0.0/24", "10.0.1.7", false),
            ("10.0.0.7", "10.0.0.7", true),
            ("10.0.0.7/32", "10.0.0.8", false),
            ("0.0.0.0/0", "10.0.0.8", true),
            ("fd00::/64", "fd00::7", true),
            ("::/0", "fd00::7", true),
            ("fd00::/64", "10.0.0.7", false),
            ("nonsense", "10.0.0.7", false),
        ] {
            assert_eq!(contains(range, address), expected, "{range} {address}");
        }
    }
}
