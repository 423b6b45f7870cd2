use std::collections::BTreeMap;

use super::sandbox::{Blame, Failure, WHEREABOUTS_FULL, attachments, failures};
use super::whereabouts::{Book, books};
use super::{StorageNetwork, daemon_rows, storage_networks};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity};
use crate::facts::{Cluster, Facts, Gap, Settled, both, known};
use crate::objects::multus::NetworkAttachment;
use crate::say;

check! {
    /// # What it looks at
    /// Pods that hang because host-local or whereabouts has no free address, in the plugin's own words; and the
    /// IPPools of whereabouts behind the cluster's storage networks, against the ranges that their NADs give. A
    /// Subnet of Kube-OVN that is used up is the matter of OVN008.
    ///
    /// # Why it matters
    /// Every Ceph daemon takes an address of the public network, every OSD one more of the cluster network, and
    /// the operator's canary job one for each reconcile. Without a free one a daemon that restarts stays away, and
    /// the reconcile stops. whereabouts counts for the whole cluster, host-local on each node for itself.
    ///
    /// # Confirm by hand
    /// `kubectl get ippools.whereabouts.cni.cncf.io -A -o yaml` against `range`, `range_start` and `range_end` of
    /// the NAD; for host-local, the files below `/var/lib/cni/networks/<network>` on the node.
    ///
    /// # Fix
    /// Free what belongs to pods that are gone (NET015), or widen the range within its subnet: running daemons
    /// keep their addresses. For host-local, delete on the node the files of containers that no longer exist.
    ///
    /// # References
    /// whereabouts: README, "Core Parameters"; containernetworking/plugins: host-local. Rook:
    /// CRDs/Cluster/network-providers.
    "NET009" "nad-range-exhausted" Net,
    needs: [
        Discovery, CephClusters, NetworkAttachments, SandboxEvents, IpPools, MonPods, MgrPods, MdsPods, RgwPods,
        OsdPods, Objects,
    ],
    explained_by: [(net::address_leak, Network)],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.cluster()?;
    let (failures, attachments) = both(failures(facts), attachments(facts))?;
    let mut blind = failures.blind.clone();
    let networks = if attachments.is_empty() { Vec::new() } else { storage_networks(facts)? };
    let books = known(books(facts, &networks).settled()?, &mut blind).unwrap_or_default();
    // whereabouts has one pool for all nodes, so their failures are one fault.
    let mut faults: BTreeMap<String, (Option<&NetworkAttachment>, Vec<Failure<'_>>)> = BTreeMap::new();
    for failure in failures.blamed_on(Blame::RangeExhausted) {
        let network = failure.network(attachments);
        let shared = network.filter(|_| failure.error.contains(WHEREABOUTS_FULL));
        let key = shared.map_or_else(|| format!("{} {}", failure.node, failure.error), NetworkAttachment::full_name);
        faults.entry(key).or_insert((network, Vec::new())).1.push(failure);
    }
    let faults = faults.into_iter().filter_map(|(key, (network, all))| Some((key, failing(cluster, all, network)?)));
    let mut told: BTreeMap<String, Finding> = faults.collect();
    for book in books {
        let full = book.network.selection.full_name();
        let known = told.remove(&full).or_else(|| book.is_full().then(|| full_pool(&book)));
        if let Some(finding) = known {
            told.insert(full, finding.evidence([book.counted(), needed(facts, book.network)?]));
        }
    }
    Ok(Answered::judged(told.into_values().collect()).blind(blind))
}

/// Pods that got no address.
fn failing(cluster: &Cluster, all: Vec<Failure<'_>>, network: Option<&NetworkAttachment>) -> Option<Finding> {
    let nodes: Vec<Place> = all.iter().filter(|it| !it.node.is_empty()).map(|it| Place::node(&it.node)).collect();
    let failure = all.into_iter().reduce(|mut one, more| {
        one.events.extend(more.events);
        one.pods.extend(more.pods);
        one
    })?;
    let place = network.map(|nad| Place::Network(nad.full_name()));
    let finding = if failure.error.contains(WHEREABOUTS_FULL) {
        let full = network.map_or_else(|| say!("a network"), |nad| say!("{}", nad.full_name()));
        let summary = say!("the range of {} has no free address: {} cannot start", full, failure.victims(cluster));
        let object = network.map_or_else(|| failure.object(), |nad| ObjectRef::of::<NetworkAttachment>(&nad.metadata));
        let remedy = widen(network.map(|nad| (nad.metadata.namespace.as_str(), nad.metadata.name.as_str())));
        failure.finding(cluster, object, summary, remedy)
    } else {
        on_a_node(cluster, &failure, network)
    };
    Some(finding.at(nodes).at(place))
}

/// host-local counts on each node for itself.
fn on_a_node(cluster: &Cluster, failure: &Failure<'_>, network: Option<&NetworkAttachment>) -> Finding {
    let (node, name) = (failure.node_name(), &failure.node);
    let named = network.map_or_else(|| say!("the network of host-local"), |nad| say!("{}", nad.full_name()));
    let summary =
        say!("{} has no free address left on {}: {} cannot start there", named, node, failure.victims(cluster));
    let mut remedy = Remedy::guided(say!(
        "compare the files below /var/lib/cni/networks on {} with the pods that run there, delete those of containers that are gone, or give the network a larger range",
        node
    ));
    if !failure.node.is_empty() {
        remedy = remedy
            .command(format!("kubectl debug node/{name} -it --image=busybox -- ls /host/var/lib/cni/networks"))
            .command(format!("kubectl get pods -A -o wide --field-selector spec.nodeName={name}"));
    }
    let kept = network.map_or_else(|| "host-local".to_owned(), NetworkAttachment::full_name);
    failure.finding(cluster, failure.object(), summary, remedy).detail(kept)
}

/// Nothing hangs yet.
fn full_pool(book: &Book<'_>) -> Finding {
    let StorageNetwork { role, selection, .. } = book.network;
    let summary = say!(
        "the {} network {} has no free address: all {} are given out, and the next new pod cannot start",
        role,
        selection.full_name(),
        book.span.size()
    );
    let remedy = widen(Some((&selection.ns, &selection.name)));
    Finding::new(Severity::Warning, book.network.object(), summary, remedy).at([book.network.place()])
}

/// How many addresses Ceph takes of a network: only OSDs are put on the cluster network.
fn needed(facts: &Facts<'_>, network: &StorageNetwork<'_>) -> Result<Evidence, Gap> {
    let is_on = |name: &str| network.role == "public" || name.starts_with("rook-ceph-osd-");
    let daemons = daemon_rows(facts)?.into_iter().filter(|row| !row.is_replaced() && is_on(&row.name)).count();
    let excerpt = format!("{daemons} Ceph daemons need an address each, and the operator's canary job one more");
    Ok(Evidence::field(&network.object(), "addresses needed", excerpt))
}

fn widen(network: Option<(&str, &str)>) -> Remedy {
    let remedy = Remedy::guided(say!(
        "free the allocations of pods that are gone, or widen the range of the NAD within its subnet; pods that hang try again by themselves, and running ones keep their addresses"
    ))
    .command("kubectl get ippools.whereabouts.cni.cncf.io -A -o yaml")
    .command("kubectl get overlappingrangeipreservations.whereabouts.cni.cncf.io -A");
    match network {
        Some((ns, name)) => remedy
            .command(format!("kubectl -n {ns} get net-attach-def {name} -o yaml > {name}.backup.yaml"))
            .command(format!("kubectl -n {ns} edit net-attach-def {name}")),
        None => remedy,
    }
}
