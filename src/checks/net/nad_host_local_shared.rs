use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{StorageNetwork, daemon_place, daemon_rows, storage_networks};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy};
use crate::facts::tables::PodRow;
use crate::facts::{Facts, Gap, Settled, both};
use crate::lang::clauses;
use crate::objects::ceph::Osd;
use crate::objects::kube::Pod;
use crate::objects::multus::{NETWORK_STATUS, interfaces};
use crate::say;

check! {
    /// # What it looks at
    /// Storage networks whose addresses come from `host-local` while Ceph daemons run on several nodes, and
    /// the addresses that the daemons got: one that two pods have.
    ///
    /// # Why it matters
    /// host-local keeps its book in files of each node, so every node hands out the same range from the same
    /// start. Two daemons with one address take each other's traffic in turn: OSDs are marked down and say
    /// that they were wrongly so, heartbeats are slow. Until that happens it is a risk that each new pod takes.
    ///
    /// # Confirm by hand
    /// `kubectl -n rook-ceph get pods -o yaml | grep -A3 net1`, or `ceph osd dump`: two OSDs with one address.
    ///
    /// # Fix
    /// At once, if two share an address: delete one of the pods, so that it gets the next address. For good:
    /// change the NAD to whereabouts with a range above what is in use, then restart the daemons one failure
    /// domain at a time.
    ///
    /// # References
    /// containernetworking/plugins: host-local; Rook: CRDs/Cluster/network-providers, "IPAM"; whereabouts.
    "NET012" "nad-host-local-shared" Net,
    needs: [
        Discovery, CephClusters, NetworkAttachments, MonPods, MgrPods, MdsPods, RgwPods, OsdPods, OsdDump, Objects,
    ],
    explained_by: [],
}

/// An address and the pods that have it.
type Double<'p> = (IpAddr, Vec<&'p Pod>);

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let networks = storage_networks(facts)?;
    if networks.is_empty() {
        return Ok(Answered::NotApplicable("the cluster's network provider is not Multus"));
    }
    let local: Vec<_> = networks.iter().filter(|network| is_host_local(network)).collect();
    if local.is_empty() {
        return Ok(Answered::passed());
    }
    let (mut rows, dump) = both(daemon_rows(facts), facts.osd_dump().settled())?;
    let local = local.into_iter().filter(|network| is_shared(network, &rows));
    let local: Vec<_> = local.map(|network| (network, nodes_on(network, &rows))).collect();
    if local.is_empty() {
        return Ok(Answered::passed());
    }
    // Ceph's own map may be older than the pods; it says which of them to open first.
    let osds: &[Osd] = match dump {
        Ok(dump) => &dump.osds,
        Err(_unread) => &[],
    };
    let suspects = shared_in(osds);
    rows.sort_by_key(|row| !row.daemon_id("rook-ceph-osd-").is_some_and(|id| suspects.contains(id)));
    let opened =
        facts.each(rows.into_iter().filter(|row| row.is_well()), |facts, row| facts.pod(&row.ns, &row.name))?;
    let findings = local.iter().map(|(network, nodes)| finding(network, nodes, &doubles(network, &opened.seen), osds));
    let findings = findings.collect();
    Ok(Answered::judged(findings).blind(opened.blind))
}

/// Whether several nodes hand out the addresses of this network, each for itself.
pub(crate) fn is_shared(network: &StorageNetwork<'_>, rows: &[&PodRow]) -> bool {
    is_host_local(network) && nodes_on(network, rows).len() > 1
}

fn is_host_local(network: &StorageNetwork<'_>) -> bool {
    // A configuration that cannot be read is NET006's to report.
    let plugins = network.attachment.and_then(|nad| nad.plugins().ok()).unwrap_or_default();
    plugins.first().is_some_and(|plugin| plugin.ipam.kind == "host-local")
}

/// The nodes on which the daemons of this network run: only OSDs are put on the cluster network.
fn nodes_on<'s>(network: &StorageNetwork<'_>, rows: &[&'s PodRow]) -> BTreeSet<&'s str> {
    let is_on = |row: &&&PodRow| network.role == "public" || row.name.starts_with("rook-ceph-osd-");
    rows.iter().filter(is_on).map(|row| row.node.as_str()).filter(|node| !node.is_empty()).collect()
}

/// OSDs whose address another OSD has as well.
fn shared_in(osds: &[Osd]) -> BTreeSet<String> {
    let mut owners: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for osd in osds {
        for host in hosts(osd) {
            owners.entry(host).or_default().insert(osd.osd.to_string());
        }
    }
    owners.into_values().filter(|osds| osds.len() > 1).flatten().collect()
}

/// The addresses of an OSD in the map, without ports.
fn hosts(osd: &Osd) -> impl Iterator<Item = &str> {
    let all = osd.public_addrs.addrvec.iter().chain(&osd.cluster_addrs.addrvec);
    all.filter_map(|address| Some(address.addr.rsplit_once(':')?.0.trim_matches(['[', ']'])))
}

/// Addresses of this network that more than one running pod has.
fn doubles<'p>(network: &StorageNetwork<'_>, pods: &[(&PodRow, &'p Pod)]) -> Vec<Double<'p>> {
    let name = network.selection.full_name();
    let mut owners: BTreeMap<IpAddr, Vec<&Pod>> = BTreeMap::new();
    for (_, pod) in pods {
        let all = interfaces(pod).ok().flatten().unwrap_or_default();
        for address in all.iter().filter(|interface| interface.name == name).flat_map(|interface| interface.addresses())
        {
            owners.entry(address).or_default().push(pod);
        }
    }
    owners.into_iter().filter(|(_, pods)| pods.len() > 1).collect()
}

fn finding(network: &StorageNetwork<'_>, nodes: &BTreeSet<&str>, doubles: &[Double<'_>], osds: &[Osd]) -> Finding {
    let object = network.object();
    let full = network.selection.full_name();
    let ipam = Evidence::field(&object, "spec.config ipam.type", "host-local");
    let change = format!("kubectl -n {} edit net-attach-def {}", network.selection.ns, network.selection.name);
    let Some((address, pods)) = doubles.first() else {
        let summary = say!(
            "the {} network {} gives addresses by host-local on {} nodes: each hands out the same range, so two daemons will get one address",
            network.role,
            full,
            nodes.len()
        );
        let remedy = Remedy::guided(say!(
            "change the ipam of the NAD to whereabouts, with a range above the addresses in use; daemons take it when they restart"
        ));
        return Finding::warning(object, summary, remedy.command(change)).at([network.place()]).evidence([ipam]);
    };
    let who = |pod: &&Pod| say!("{} on {}", pod.metadata.name, pod.spec.node_name);
    let summary = say!(
        "the address {} of the {} network {} belongs to {} pods ({}), as host-local counts on every node for itself",
        address,
        network.role,
        full,
        pods.len(),
        clauses(pods.iter().map(who))
    );
    let of = |pod: &Pod| osds.iter().find(|osd| daemon_place(pod) == Some(Place::daemon("osd", osd.osd)));
    let down = pods.iter().find(|pod| of(pod).is_some_and(|osd| osd.up == 0)).or(pods.last());
    let mut remedy = Remedy::guided(say!(
        "delete the pod whose daemon is down (of an OSD after ceph osd ok-to-stop), so that it gets another address; then change the ipam of the NAD to whereabouts with a range above the addresses in use, and restart the daemons one failure domain at a time"
    ));
    if let Some(Pod { metadata, .. }) = down {
        remedy = remedy.command(format!("kubectl -n {} delete pod {}", metadata.namespace, metadata.name));
    }
    let all = || doubles.iter().flat_map(|(address, pods)| pods.iter().map(move |pod| (address.to_string(), *pod)));
    let status =
        all().map(|(address, pod)| Evidence::field(&ObjectRef::pod(pod), NETWORK_STATUS, format!("{full} {address}")));
    let map = all().filter_map(|(address, pod)| {
        let osd = of(pod).filter(|osd| hosts(osd).any(|host| host == address))?;
        let up = if osd.up == 0 { "down" } else { "up" };
        Some(Evidence::ceph("osd dump", format!("osd.{} {up} {address}", osd.osd)))
    });
    Finding::critical(object, summary, remedy.command(change))
        .at([network.place()])
        .at(all().filter_map(|(_, pod)| daemon_place(pod)))
        .evidence([ipam])
        .evidence(status)
        .evidence(map)
}
