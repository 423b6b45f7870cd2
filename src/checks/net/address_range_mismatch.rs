use std::net::IpAddr;

use ipnet::IpNet;

use super::{StorageNetwork, storage_networks};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy};
use crate::checks::opr::reconcile_failing::error_of_cluster;
use crate::facts::{Facts, Gap, Settled};
use crate::objects::ceph::Osd;
use crate::objects::rook::CephCluster;
use crate::say;

check! {
    /// # What it looks at
    /// `spec.network.addressRanges` of the CephCluster, which becomes Ceph's `public_network` and
    /// `cluster_network`, against the ranges of the NADs and against the addresses that the OSDs have. And the
    /// canary job with which the operator finds these ranges itself where they are not given.
    ///
    /// # Why it matters
    /// A daemon takes its address from the ranges that Ceph knows. With none there it does not start
    /// (`unable to find any IPv4 address in networks`); what runs stays well until its next restart. While the canary
    /// job fails no reconcile gets past it: nothing is created and no change takes effect. Monitors, mgr and object
    /// gateways are on Service addresses and not in the NAD: that is Rook's design, not a mismatch. On the host network
    /// daemons take any of the host's networks where `addressRanges` names none; `ceph osd dump` shows which.
    ///
    /// # Confirm by hand
    /// `ceph config dump | grep _network`, `ceph osd dump | grep ^osd`, and the NAD's `ipam`. Each node must reach each
    /// OSD's address: that is NET018's.
    ///
    /// # Fix
    /// Make addressRanges hold the NAD's subnets, or leave it out so that Rook finds them; then restart daemons
    /// with other addresses one failure domain at a time. If the canary job fails, its pod says why: an image, a
    /// node, a network that gives no address.
    ///
    /// # References
    /// Rook: CRDs/Cluster/network-providers, "Ceph public and cluster networks", pkg/operator/ceph/controller/network.go.
    "NET017" "address-range-mismatch" Net,
    needs: [Discovery, CephClusters, NetworkAttachments, ClusterEvents, OsdDump, Objects],
    explained_by: [
        (net::nad_missing, Network), (net::nad_invalid, Network), (net::nad_range_exhausted, Network),
        (net::nad_master_missing, Network), (net::cni_plugin_missing, Network), (net::multus_missing, Cluster),
        (net::multus_init_crash, Cluster), (net::multus_daemon_down, Cluster), (net::attachment_missing, Daemon),
    ],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.ceph_cluster()?;
    let network = &cluster.spec.network;
    if network.provider != "multus" && !network.is_host() {
        return Ok(Answered::NotApplicable("the daemons are on the pod network, whose ranges Rook does not set"));
    }
    let networks = storage_networks(facts)?;
    let mut findings = Vec::new();
    let mut blind = Vec::new();
    for (role, texts) in &network.address_ranges {
        // Rook refuses a list with a text that is no range.
        let ranges: Result<Vec<IpNet>, _> = texts.iter().map(|text| text.parse()).collect();
        let Some(ranges) = ranges.ok().filter(|ranges| !ranges.is_empty()) else { continue };
        // One NAD for both roles is listed once.
        let of_role = networks.iter().find(|it| it.role == role).or(networks.first());
        let outside = of_role.filter(|_| network.selectors.contains_key(role)).and_then(|it| nad_outside(it, &ranges));
        if let (Some(network), Some(subnet)) = (of_role, outside) {
            findings.push(mismatch(cluster, role, &ranges, network, subnet));
            continue;
        }
        let outside: Vec<(&Osd, &str)> =
            facts.osd_dump()?.osds.iter().filter_map(|osd| osd_outside(osd, role, &ranges)).collect();
        if !outside.is_empty() {
            findings.push(not_taken(cluster, role, &ranges, &outside));
        }
    }
    if network.provider == "multus" {
        match error_of_cluster(facts).settled()? {
            Ok(error) => findings.extend(error.and_then(|error| canary(cluster, &networks, error))),
            Err(unknown) => blind.push(unknown),
        }
    }
    Ok(Answered::judged(findings).blind(blind))
}

/// A subnet of the NAD that none of the ranges holds. Only families that the ranges have count: with one
/// family given Ceph uses that one, however many addresses the NAD gives.
fn nad_outside(network: &StorageNetwork<'_>, ranges: &[IpNet]) -> Option<IpNet> {
    let of_family = |a: &IpNet, b: &IpNet| a.addr().is_ipv4() == b.addr().is_ipv4();
    let spans = network.attachment?.ipam().spans();
    let mut asked = spans.iter().filter(|span| ranges.iter().any(|range| of_family(range, &span.subnet)));
    let held = |range: &IpNet, ip: IpAddr| range.contains(&ip);
    asked
        .find(|span| ![span.first, span.last].into_iter().all(|ip| ranges.iter().any(|range| held(range, ip))))
        .map(|span| span.subnet)
}

/// An OSD that is up with an address outside of the ranges, and the address.
fn osd_outside<'o>(osd: &'o Osd, role: &str, ranges: &[IpNet]) -> Option<(&'o Osd, &'o str)> {
    let addresses = if role == "cluster" { &osd.cluster_addrs } else { &osd.public_addrs };
    let hosts: Vec<&str> = addresses.addrvec.iter().map(crate::objects::ceph::Address::host).collect();
    let within = |host: &str| host.parse::<IpAddr>().is_ok_and(|ip| ranges.iter().any(|range| range.contains(&ip)));
    let known = hosts.iter().find(|host| host.parse::<IpAddr>().is_ok_and(|ip| !ip.is_unspecified()))?;
    (osd.up == 1 && !hosts.iter().any(|host| within(host))).then_some((osd, *known))
}

fn list(ranges: &[IpNet]) -> String {
    ranges.iter().map(IpNet::to_string).collect::<Vec<_>>().join(", ")
}

fn edit(cluster: &CephCluster) -> String {
    format!("kubectl -n {} edit cephcluster {}", cluster.metadata.namespace, cluster.metadata.name)
}

fn mismatch(
    cluster: &CephCluster,
    role: &str,
    ranges: &[IpNet],
    network: &StorageNetwork<'_>,
    subnet: IpNet,
) -> Finding {
    let full = network.selection.full_name();
    let summary = say!(
        "addressRanges.{} ({}) does not hold the addresses that {} gives (of {}): daemons find no address of theirs when they start",
        role,
        list(ranges),
        full,
        subnet
    );
    let remedy = Remedy::guided(say!(
        "write {} into addressRanges.{}, or leave that out so that Rook finds the range itself",
        subnet,
        role
    ));
    let object = ObjectRef::of::<CephCluster>(&cluster.metadata);
    let field = Evidence::field(&object, format!("spec.network.addressRanges.{role}"), list(ranges));
    let ipam = Evidence::field(&network.object(), "spec.config ipam", subnet);
    Finding::warning(object, summary, remedy.command(edit(cluster)))
        .detail(role)
        .at([network.place()])
        .evidence([field, ipam])
}

/// The range is right or is meant to be, and these still run with what was before.
fn not_taken(cluster: &CephCluster, role: &str, ranges: &[IpNet], outside: &[(&Osd, &str)]) -> Finding {
    let named: Vec<String> =
        outside.iter().take(5).map(|(osd, address)| format!("osd.{} {address}", osd.osd)).collect();
    let named = match outside.len() - named.len() {
        0 => say!("{}", named.join(", ")),
        more => say!("{} and {} more", named.join(", "), more),
    };
    let summary = match outside.len() {
        1 => say!("1 OSD runs with an address outside of addressRanges.{} ({}): {}", role, list(ranges), named),
        count => {
            say!("{} OSDs run with an address outside of addressRanges.{} ({}): {}", count, role, list(ranges), named)
        }
    };
    let remedy = Remedy::guided(say!(
        "see that the range is the one of the network that the nodes or the NAD have; if it is, restart these OSDs one failure domain at a time, each after ceph osd ok-to-stop"
    ))
    .command("ceph config dump")
    .command(edit(cluster));
    let object = ObjectRef::of::<CephCluster>(&cluster.metadata);
    let field = Evidence::field(&object, format!("spec.network.addressRanges.{role}"), list(ranges));
    let map = outside
        .iter()
        .take(5)
        .map(|(osd, address)| Evidence::ceph("osd dump", format!("osd.{} up {address}", osd.osd)));
    Finding::warning(object, summary, remedy)
        .detail(format!("{role}-osds"))
        .at(outside.iter().map(|(osd, _)| Place::daemon("osd", osd.osd)))
        .evidence([field])
        .evidence(map)
}

/// The operator did not get the ranges from its canary job.
fn canary(cluster: &CephCluster, networks: &[StorageNetwork<'_>], error: Evidence) -> Option<Finding> {
    if !error.excerpt.contains("failed to discover network CIDRs") {
        return None;
    }
    let of_role = |network: &&StorageNetwork<'_>| error.excerpt.contains(&format!("ceph \"{}\" network", network.role));
    let network = networks.iter().find(of_role);
    let ns = &cluster.metadata.namespace;
    let reason = error.excerpt.trim_end_matches('.').rsplit(": ").next().unwrap_or_default().to_owned();
    let role = network.map_or("storage", |network| network.role);
    let summary = match network {
        Some(_) => say!(
            "the operator cannot find the range of the {} network, and no reconcile gets past that: {}",
            role,
            reason
        ),
        None => say!(
            "the operator cannot find the range of the storage network, and no reconcile gets past that: {}",
            reason
        ),
    };
    let remedy = Remedy::guided(say!(
        "see why the pod of the canary job does not end; the operator makes it again at the next try. If the network is well, addressRanges.{} saves the job",
        role
    ))
    .command(format!("kubectl -n {ns} describe pods -l app=rook-ceph-network-canary"))
    .command(format!("kubectl -n {ns} get events --field-selector reason=FailedCreatePodSandBox"));
    Some(
        Finding::warning(ObjectRef::of::<CephCluster>(&cluster.metadata), summary, remedy)
            .detail("canary")
            .at(network.map(StorageNetwork::place))
            .since(error.at)
            .evidence([error]),
    )
}
