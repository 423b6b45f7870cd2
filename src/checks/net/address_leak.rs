use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::json;

use super::whereabouts::{Book, Given, books};
use super::{StorageNetwork, daemon_rows, storage_networks};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy, Severity};
use crate::checks::ceph::quoted;
use crate::facts::tables::PodRow;
use crate::facts::{Fact, Facts, Gap, Select, Unknown, Why, both, kinds};
use crate::objects::ceph::Addresses;
use crate::objects::kube::Pod;
use crate::objects::multus::interfaces;
use crate::objects::whereabouts::Reservation;
use crate::{plural, say};

check! {
    /// # What it looks at
    /// The IPPools of whereabouts behind the cluster's storage networks: allocations whose pod no longer exists.
    /// Each is told only if all nodes are Ready, since a lost node runs its pods on, and if neither a pod's
    /// network-status nor Ceph's own maps (OSDs, monitors, MDS) still have the address.
    ///
    /// # Why it matters
    /// A node that goes down without a clean stop never releases the addresses of its pods. whereabouts looks for
    /// such leaks once a day, at 04:30. With a small range the pods that come back find no free address until
    /// then. While addresses are left it is information.
    ///
    /// # Confirm by hand
    /// `kubectl get ippools.whereabouts.cni.cncf.io -A -o yaml`, and for each `podref` `kubectl get pod`.
    ///
    /// # Fix
    /// Look twice, ten minutes apart: a pod that is just being deleted releases its address by itself. Then take
    /// away the allocation, with a test that it is still the same one, and the reservation of the address with it.
    /// `kubectl rookdoctor fix NET015` remembers what it sees; asked again ten minutes later, it releases what it still
    /// finds. Or let whereabouts do it: set `cron-expression` in its ConfigMap `whereabouts-config` closer.
    ///
    /// # References
    /// whereabouts: ip-control-loop, issues 176 and 207; objects IPPool and OverlappingRangeIPReservation.
    "NET015" "address-leak" Net,
    needs: [
        Discovery, CephClusters, NetworkAttachments, IpPools, Nodes, MonPods, MgrPods, MdsPods, RgwPods, OsdPods,
        OsdDump, FsDump, QuorumStatus, PodTables, Objects,
    ],
    fix: release_addresses,
    explained_by: [],
}

/// What is leaked, for each of the books.
pub(crate) struct Leaks<'n> {
    pub books: Vec<(Book<'n>, Vec<Given<'n>>)>,
    pub reservations: &'n [Reservation],
}

/// What was found, or why there is nothing to tell.
enum Looked<'n> {
    Leaks(Leaks<'n>),
    Nothing(Answered),
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let ours = facts.cluster()?.ns.as_str();
    let networks = storage_networks(facts)?;
    let Leaks { books, reservations } = match look(facts, &networks)? {
        Looked::Leaks(leaks) => leaks,
        Looked::Nothing(answered) => return Ok(answered),
    };
    // Two ranges of one pool are one finding.
    let mut findings: BTreeMap<&str, Finding> = BTreeMap::new();
    for (book, leaks) in books.iter().filter(|(_, leaks)| !leaks.is_empty()) {
        let finding = findings.remove(book.pool.metadata.name.as_str());
        let finding = finding.unwrap_or_else(|| finding_of(ours, book, leaks, reservations)).at([book.network.place()]);
        findings.insert(&book.pool.metadata.name, finding);
    }
    Ok(Answered::judged(findings.into_values().collect()))
}

/// The leaks, with the same proofs as the finding has; none where one of them could not be had.
pub(crate) fn leaks<'n>(facts: &Facts<'n>, networks: &'n [StorageNetwork<'n>]) -> Result<Option<Leaks<'n>>, Gap> {
    match look(facts, networks)? {
        Looked::Leaks(leaks) => Ok(Some(leaks)),
        Looked::Nothing(Answered::Judged { blind, .. }) => match blind.into_iter().next() {
            Some(unknown) => Err(Gap::Unknown(unknown)),
            None => Ok(None),
        },
        Looked::Nothing(Answered::NotApplicable(_)) => Ok(None),
    }
}

fn look<'n>(facts: &Facts<'n>, networks: &'n [StorageNetwork<'n>]) -> Result<Looked<'n>, Gap> {
    let books = books(facts, networks)?;
    if books.is_empty() {
        return Ok(Looked::Nothing(Answered::NotApplicable(
            "whereabouts gives no address of the cluster's storage networks",
        )));
    }
    let rows = daemon_rows(facts)?;
    let mut suspects: Vec<Vec<Given<'n>>> = books.iter().map(|book| book.named().collect()).collect();
    let ours = facts.cluster()?.ns.as_str();
    let is_daemon = |leak: &Given<'_>| leak.ns == ours && rows.iter().any(|row| row.name == leak.pod);
    suspects.iter_mut().for_each(|leaks| leaks.retain(|leak| !is_daemon(leak)));
    // Other pods may be on these networks: one table of each namespace tells.
    let namespaces: BTreeSet<&str> = suspects.iter().flatten().map(|leak| leak.ns).collect();
    let tables = facts.each(namespaces, |facts, ns| facts.pods_where(ns, ""))?;
    let gone = |leak: &Given<'_>| {
        let table = tables.seen.iter().find(|(ns, _)| *ns == leak.ns);
        table.is_some_and(|(_, rows)| rows.iter().all(|row| row.name != leak.pod))
    };
    suspects.iter_mut().for_each(|leaks| leaks.retain(gone));
    if suspects.iter().all(Vec::is_empty) {
        return Ok(Looked::Nothing(Answered::passed().blind(tables.blind)));
    }
    let nodes = facts.nodes()?;
    if !nodes.iter().all(|node| node.is_ready()) {
        return Ok(Looked::Nothing(Answered::NotApplicable(
            "a node is not Ready: pods that are gone from the API may run on there",
        )));
    }
    let hosts: BTreeSet<&str> = nodes.iter().map(|node| node.address.as_str()).collect();
    let others = tables.seen.iter().flat_map(|(_, rows)| rows.iter());
    let others = others.filter(|row| !row.is_done() && !row.ip.is_empty() && !hosts.contains(row.ip.as_str()));
    let unbooked = unbooked(&books, rows.into_iter().chain(others));
    let used = both(in_ceph(facts), in_pods(facts, &unbooked))?;
    let (mut used, (in_pods, mut blind)) = used;
    used.extend(in_pods);
    blind.extend(tables.blind);
    let all = suspects.iter().flatten().filter(|leak| !used.contains(&leak.address));
    let looked = facts.each(all, |facts, leak| facts.object::<Pod>(leak.ns, leak.pod))?;
    let sure: BTreeSet<(&str, IpAddr)> =
        looked.seen.iter().filter(|(_, pod)| pod.is_none()).map(|(leak, _)| (leak.pod, leak.address)).collect();
    blind.extend(looked.blind);
    suspects.iter_mut().for_each(|leaks| leaks.retain(|leak| sure.contains(&(leak.pod, leak.address))));
    // Where an address may be in use and nobody can tell, no allocation is called a leak.
    if !blind.is_empty() || suspects.iter().all(Vec::is_empty) {
        return Ok(Looked::Nothing(Answered::passed().blind(blind)));
    }
    let reservations: &[Reservation] =
        if facts.installed(kinds::IP_RESERVATION)? { facts.list(None, Select::all())? } else { &[] };
    Ok(Looked::Leaks(Leaks { books: books.into_iter().zip(suspects).collect(), reservations }))
}

/// Pods that may have an address without an allocation of their own.
fn unbooked<'p>(books: &[Book<'_>], rows: impl Iterator<Item = &'p PodRow>) -> Vec<&'p PodRow> {
    let booked: BTreeSet<&str> =
        books.iter().flat_map(Book::given).map(|(.., allocation)| allocation.podref.as_str()).collect();
    let mut seen = BTreeSet::new();
    rows.filter(|row| !booked.contains(format!("{}/{}", row.ns, row.name).as_str()))
        .filter(|row| seen.insert((&row.ns, &row.name)))
        .collect()
}

/// Addresses that Ceph's maps hold.
fn in_ceph(facts: &Facts<'_>) -> Result<BTreeSet<IpAddr>, Gap> {
    let (osds, (mons, filesystems)) = both(facts.osd_dump(), both(facts.quorum_status(), facts.fs_dump()))?;
    let osds = osds.osds.iter().flat_map(|osd| [&osd.public_addrs, &osd.cluster_addrs]);
    let mons = mons.monmap.mons.iter().map(|mon| &mon.public_addrs);
    let active = filesystems.filesystems.iter().flat_map(|filesystem| filesystem.mdsmap.info.values());
    let mds = active.chain(&filesystems.standbys).map(|mds| &mds.addrs);
    let all = osds.chain(mons).chain(mds).flat_map(|Addresses { addrvec }| addrvec);
    Ok(all.filter_map(|address| address.host().parse().ok()).collect())
}

/// Addresses in the network-status of these pods, and what keeps from telling.
fn in_pods(facts: &Facts<'_>, rows: &[&PodRow]) -> Result<(BTreeSet<IpAddr>, Vec<Unknown>), Gap> {
    let opened = facts.each(rows, |facts, row| facts.object::<Pod>(&row.ns, &row.name))?;
    let (mut addresses, mut blind) = (BTreeSet::new(), opened.blind);
    for (row, pod) in opened.seen.iter().filter_map(|(row, pod)| Some((row, (*pod)?))) {
        match interfaces(pod) {
            Ok(all) => addresses.extend(all.iter().flatten().flat_map(|interface| interface.addresses())),
            Err(error) => {
                let fact = Fact::Object { kind: kinds::POD, ns: row.ns.clone(), name: row.name.clone() };
                blind.push(Unknown { fact, why: Why::Malformed(format!("network-status: {error}")) });
            }
        }
    }
    Ok((addresses, blind))
}

fn finding_of(ours: &str, book: &Book<'_>, leaks: &[Given<'_>], reservations: &[Reservation]) -> Finding {
    let severity = if book.is_full() { Severity::Warning } else { Severity::Info };
    let object = book.object();
    let summary = say!(
        "the {} network {} still keeps {} for pods that no longer exist, {} first",
        book.network.role,
        book.network.selection.full_name(),
        plural!(leaks.len(), "1 address", "{} addresses"),
        leaks.first().map_or("", |leak| leak.pod)
    );
    let (ns, pool) = (&book.pool.metadata.namespace, &book.pool.metadata.name);
    let mut remedy = Remedy::guided(say!(
        "look again ten minutes from now: what this finds then as well, with the same id and podref, is leaked. Take each such allocation away together with its reservation; the tests in the patch keep it from touching one that changed, and where a patch fails leave the reservation, too"
    ))
    .command(format!("kubectl rookdoctor diagnose -n {} --only NET015", ours))
    .command(format!("kubectl -n {ns} get ippools.whereabouts.cni.cncf.io {pool} -o jsonpath='{{.spec.allocations}}'"));
    let mut evidence = vec![book.counted()];
    for Given { address, key, allocation, ns: of, pod } in leaks.iter().take(10) {
        let path = format!("/spec/allocations/{key}");
        let patch = json!([
            {"op": "test", "path": format!("{path}/id"), "value": allocation.id},
            {"op": "test", "path": format!("{path}/podref"), "value": allocation.podref},
            {"op": "remove", "path": path},
        ]);
        remedy = remedy.command(format!(
            "kubectl -n {ns} patch ippools.whereabouts.cni.cncf.io {pool} --type json -p {}",
            quoted(&patch.to_string())
        ));
        evidence.push(Evidence::field(&object, format!("spec.allocations[{key}]"), format!("{address} {of}/{pod}")));
        if let Some(reservation) = reservation_of(*address, &allocation.podref, reservations) {
            let (ns, name) = (&reservation.metadata.namespace, &reservation.metadata.name);
            let kind = "overlappingrangeipreservations.whereabouts.cni.cncf.io";
            remedy = remedy.command(format!("kubectl -n {ns} get {kind} {name} -o jsonpath='{{.spec.podref}}'"));
            remedy = remedy.command(format!("kubectl -n {ns} delete {kind} {name}"));
            let object = ObjectRef::of::<Reservation>(&reservation.metadata);
            let made = reservation.metadata.creation_timestamp;
            evidence.push(Evidence::field(&object, "spec.podref", &reservation.spec.podref).at(made));
        }
    }
    Finding::new(severity, object, summary, remedy).evidence(evidence)
}

/// What keeps the address of this pod from being given out of another range.
pub(crate) fn reservation_of<'r>(address: IpAddr, podref: &str, all: &'r [Reservation]) -> Option<&'r Reservation> {
    let name = address.to_string().replace(':', "-");
    all.iter().find(|it| it.metadata.name.ends_with(&name) && it.spec.podref == podref)
}

/// An allocation as it is remembered: the same place, container and pod.
pub(crate) fn sight(book: &Book<'_>, given: &Given<'_>) -> String {
    let pool = &book.pool.metadata;
    format!("{}/{} {} {} {}", pool.namespace, pool.name, given.address, given.allocation.id, given.allocation.podref)
}
