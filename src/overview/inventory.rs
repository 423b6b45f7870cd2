//! What Rook should have made of the custom resources, against what is there.
//!
//! A plain function of [`Facts`], like a check: it wants what it lacks, and what could not be read is unknown.
//! Which layout a cluster has is seen from its objects, never from version numbers.

use std::collections::BTreeSet;

use super::{Listing, Overview};
use crate::checks::csi::{Plugin, is_ceph_driver, plugins};
use crate::checks::opr::{operator, reconcile_stalled};
use crate::checks::osd::osd_of_deployment;
use crate::facts::tables::{DeploymentRow, PodRow};
use crate::facts::{Facts, Gap, PodRowTable, Row, Select, Settled, Unknown, both};
use crate::lang::Text;
use crate::objects::kube::Service;
use crate::objects::rook::{CephCluster, Filesystem, ObjectStore};
use crate::say;

pub static OVERVIEW: Overview = Overview {
    name: "inventory",
    title: "INVENTORY: WHAT ROOK SHOULD HAVE MADE",
    beside: &reconcile_stalled::CHECK,
    columns: &["what", "there", "expected", ""],
    needs: &[Row::CephClusters, Row::Operators, Row::DaemonDeployments, Row::CsiDeployments, Row::DaemonSets],
    run: |facts| Ok(listing(inventory(facts)?)),
};

fn listing(items: Vec<Item>) -> Listing {
    let number = |count: Option<usize>, none: Text| count.map_or(none, |count| say!("{}", count));
    let mut listing = Listing::default();
    for item in items {
        let (expected, word) = match item.state {
            State::Present => (say!("any"), say!("")),
            State::Missing => (say!("any"), say!("missing")),
            State::Surplus => (say!("any"), say!("more than asked for")),
            State::Unknown(unknown) => {
                listing.blind.push(unknown);
                (say!("?"), say!("unknown"))
            }
        };
        listing.rows.push(vec![item.what, number(item.present, say!("?")), number(item.expected, expected), word]);
    }
    listing.blind.sort();
    listing.blind.dedup();
    listing
}

/// One kind of thing that Rook makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// `monitors`, `metadata servers of CephFilesystem shared`
    pub what: Text,
    /// None where the custom resources give no number, or it could not be read.
    pub expected: Option<usize>,
    /// None if it could not be read.
    pub present: Option<usize>,
    pub state: State,
}

/// How the two compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// As many as expected, or any number where none is expected.
    Present,
    Missing,
    /// More than the custom resources ask for.
    Surplus,
    /// A read failed.
    Unknown(Unknown),
}

/// What is read, or why it is not known.
type Known<T> = Result<T, Unknown>;

impl Item {
    fn new(what: Text, expected: Known<Option<usize>>, present: Known<usize>) -> Self {
        match (expected, present) {
            (Ok(expected), Ok(present)) => {
                let state = match expected {
                    Some(expected) if present < expected => State::Missing,
                    Some(expected) if present > expected => State::Surplus,
                    _ => State::Present,
                };
                Self { what, expected, present: Some(present), state }
            }
            (Err(unknown), Ok(present)) => {
                Self { what, expected: None, present: Some(present), state: State::Unknown(unknown) }
            }
            (Ok(expected), Err(unknown)) => Self { what, expected, present: None, state: State::Unknown(unknown) },
            (Err(unknown), Err(_)) => Self { what, expected: None, present: None, state: State::Unknown(unknown) },
        }
    }
}

/// Everything that the inventory counts from, each known or not.
struct Sight<'s> {
    deployments: Known<&'s [DeploymentRow]>,
    services: Known<&'s [Service]>,
    filesystems: Known<&'s [Filesystem]>,
    stores: Known<&'s [ObjectStore]>,
    /// The OSDs that Ceph counts.
    osds: Known<usize>,
    /// The nodes with a daemon on them.
    nodes: Known<BTreeSet<&'s str>>,
    /// Whether monitors have the addresses of their nodes, whatever made them so.
    on_host: Known<bool>,
}

/// What this Rook should have made, in the order in which it makes it.
pub fn inventory(facts: &Facts<'_>) -> Result<Vec<Item>, Gap> {
    let cluster = facts.ceph_cluster()?;
    let (operator, csi) = both(operator(facts).settled(), csi(facts))?;
    let mut items = vec![Item::new(say!("operator"), Ok(Some(1)), operator.map(|it| usize::from(it.is_some())))];
    if !cluster.spec.external.enable {
        let sight = look(facts)?;
        items.extend(daemons(cluster, &sight));
        items.extend(collectors(cluster, &sight));
        items.extend(services(cluster, &sight));
    }
    items.extend(csi);
    Ok(items)
}

fn look<'s>(facts: &Facts<'s>) -> Result<Sight<'s>, Gap> {
    let ns = facts.cluster()?.ns.as_str();
    let services = facts.list::<Service>(Some(ns), Select::label(format!("rook_cluster={ns}"))).settled();
    let resources = both(
        if_installed(facts.filesystems()).settled(),
        if_installed(facts.list::<ObjectStore>(Some(ns), Select::all())).settled(),
    );
    let objects = both(both(facts.daemon_deployments().settled(), services), resources);
    let live = both(facts.ceph_status().settled(), both(nodes(facts), on_host(facts)));
    let (((deployments, services), (filesystems, stores)), (status, (nodes, on_host))) = both(objects, live)?;
    let osds = status.map(|status| usize::try_from(status.osdmap.num_osds).unwrap_or(usize::MAX));
    Ok(Sight { deployments, services, filesystems, stores, osds, nodes, on_host })
}

/// A kind that is not installed has no objects.
fn if_installed<T>(list: Result<&[T], Gap>) -> Result<&[T], Gap> {
    match list {
        Err(Gap::NotInstalled(_)) => Ok(&[]),
        list => list,
    }
}

/// The nodes that run a daemon; one table that cannot be read leaves all of them open.
fn nodes<'s>(facts: &Facts<'s>) -> Result<Known<BTreeSet<&'s str>>, Gap> {
    type Table<'s> = fn(&Facts<'s>) -> Result<PodRowTable<'s>, Gap>;
    let tables: [Table<'s>; 5] = [Facts::mon_pods, Facts::mgr_pods, Facts::osd_pods, Facts::mds_pods, Facts::rgw_pods];
    let mut tables = facts.each(tables, |facts, table| table(facts))?;
    if let Some(unknown) = tables.blind.pop() {
        return Ok(Err(unknown));
    }
    let pods = tables.seen.iter().flat_map(|(_, rows)| rows.iter());
    Ok(Ok(pods.filter(|pod| is_counted(pod)).map(|pod| pod.node.as_str()).collect()))
}

/// A pod that cannot end because its node is lost still has its node.
fn is_counted(pod: &PodRow) -> bool {
    let is_left = pod.is_replaced() && pod.status != "Terminating";
    !pod.node.is_empty() && !pod.is_done() && !is_left && !pod.name.contains("-canary-")
}

fn on_host(facts: &Facts<'_>) -> Result<Known<bool>, Gap> {
    if facts.ceph_cluster()?.spec.network.is_host() {
        return Ok(Ok(true));
    }
    let (mons, nodes) = match both(facts.mon_pods(), facts.nodes()).settled()? {
        Ok(tables) => tables,
        Err(unknown) => return Ok(Err(unknown)),
    };
    let address = |name: &str| nodes.iter().find(|node| node.name == name).map(|node| node.address.as_str());
    Ok(Ok(mons.iter().any(|mon| !mon.ip.is_empty() && address(&mon.node) == Some(mon.ip.as_str()))))
}

fn daemons(cluster: &CephCluster, sight: &Sight<'_>) -> Vec<Item> {
    let spec = &cluster.spec;
    // Rook's defaults where nothing is set.
    let mons = if spec.mon.count == 0 { 3 } else { spec.mon.count };
    let mgrs = spec.mgr.count.max(1);
    let mut items = vec![
        Item::new(say!("monitors"), Ok(Some(mons)), count(sight, |name| is_daemon(name, "rook-ceph-mon-"))),
        Item::new(say!("managers"), Ok(Some(mgrs)), count(sight, |name| is_daemon(name, "rook-ceph-mgr-"))),
        Item::new(say!("OSDs"), sight.osds.clone().map(Some), count(sight, |name| osd_of_deployment(name).is_some())),
    ];
    match &sight.filesystems {
        Ok(filesystems) => items.extend(filesystems.iter().map(|filesystem| {
            let (name, spec) = (&filesystem.metadata.name, &filesystem.spec);
            let prefix = format!("rook-ceph-mds-{name}-");
            let present = count(sight, |deployment| is_daemon(deployment, &prefix));
            // One on standby for each that is active.
            let expected = Some(spec.metadata_server.active_count.saturating_mul(2));
            Item::new(say!("metadata servers of CephFilesystem {}", name), Ok(expected), present)
        })),
        Err(unknown) => items.push(unread(say!("metadata servers"), unknown)),
    }
    match &sight.stores {
        Ok(stores) => items.extend(stores.iter().map(|store| {
            let name = &store.metadata.name;
            let prefix = format!("rook-ceph-rgw-{name}-");
            let present = count(sight, |deployment| is_daemon(deployment, &prefix));
            Item::new(say!("gateway Deployments of CephObjectStore {}", name), Ok(Some(gateways(store))), present)
        })),
        Err(unknown) => items.push(unread(say!("gateway Deployments"), unknown)),
    }
    items
}

/// All instances of a gateway are replicas of one Deployment.
fn gateways(store: &ObjectStore) -> usize {
    usize::from(store.spec.gateway.external_rgw_endpoints.is_empty())
}

fn unread(what: Text, unknown: &Unknown) -> Item {
    Item::new(what, Err(unknown.clone()), Err(unknown.clone()))
}

/// The one letter, or few, that Rook counts daemons with: not a canary, nor what stands in for one in maintenance.
fn is_daemon(deployment: &str, prefix: &str) -> bool {
    let id = deployment.strip_prefix(prefix);
    id.is_some_and(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_lowercase()))
}

fn count(sight: &Sight<'_>, is_it: impl Fn(&str) -> bool) -> Known<usize> {
    let rows = sight.deployments.clone()?;
    Ok(rows.iter().filter(|row| is_it(&row.name)).count())
}

/// One of each on every node with a daemon.
fn collectors(cluster: &CephCluster, sight: &Sight<'_>) -> [Item; 2] {
    let nodes = || sight.nodes.as_ref().map(|nodes| Some(nodes.len())).map_err(Clone::clone);
    let crash = if cluster.spec.crash_collector.disable { Ok(Some(0)) } else { nodes() };
    let exporters = count(sight, |name| name.starts_with("rook-ceph-exporter-"));
    // Older Rook makes no exporters; where neither they nor their Service are there, none are expected.
    let makes_them = exporters.as_ref().is_ok_and(|count| *count > 0)
        || sight.services.as_ref().is_ok_and(|all| has(all, "rook-ceph-exporter"));
    let expected = match (cluster.spec.monitoring.metrics_disabled, makes_them) {
        (true, _) => Ok(Some(0)),
        (false, true) => nodes(),
        (false, false) => Ok(None),
    };
    [
        Item::new(say!("crash collectors"), crash, count(sight, |name| name.starts_with("rook-ceph-crashcollector-"))),
        Item::new(say!("exporters"), expected, exporters),
    ]
}

fn has(services: &[Service], name: &str) -> bool {
    services.iter().any(|service| service.metadata.name == name)
}

fn services(cluster: &CephCluster, sight: &Sight<'_>) -> Vec<Item> {
    let there = |name: &str| sight.services.clone().map(|all| usize::from(has(all, name)));
    let mut items = vec![Item::new(say!("Service {}", "rook-ceph-mgr"), Ok(Some(1)), there("rook-ceph-mgr"))];
    if cluster.spec.dashboard.enabled {
        items.push(Item::new(
            say!("Service {}", "rook-ceph-mgr-dashboard"),
            Ok(Some(1)),
            there("rook-ceph-mgr-dashboard"),
        ));
    }
    if !matches!(sight.on_host, Ok(true)) {
        let mons = count(sight, |name| is_daemon(name, "rook-ceph-mon-"));
        let expected = sight.on_host.clone().and(mons).map(Some);
        let present = sight.services.clone();
        let present = present.map(|all| all.iter().filter(|it| is_daemon(&it.metadata.name, "rook-ceph-mon-")).count());
        items.push(Item::new(say!("Services of monitors"), expected, present));
    }
    for store in sight.stores.iter().copied().flatten().filter(|store| gateways(store) > 0) {
        let name = format!("rook-ceph-rgw-{}", store.metadata.name);
        items.push(Item::new(say!("Service {}", name), Ok(Some(1)), there(&name)));
    }
    items
}

/// A controller and a node plugin for each driver that is registered, whichever operator made them.
fn csi(facts: &Facts<'_>) -> Result<Vec<Item>, Gap> {
    let ns = &facts.cluster()?.operator_ns;
    let (drivers, plugins) = both(facts.csi_driver_objects().settled(), plugins(facts).settled())?;
    let drivers = match drivers {
        Ok(drivers) => drivers.iter().map(|driver| driver.metadata.name.as_str()),
        Err(unknown) => return Ok(vec![unread(say!("CSI plugins"), &unknown)]),
    };
    let served = |driver: &str| plugins.iter().flatten().any(|plugin| plugin.driver() == driver);
    let is_ours = |driver: &&str| driver.starts_with(&format!("{ns}.")) || served(driver);
    let ours = drivers.filter(|driver| is_ceph_driver(driver)).filter(is_ours);
    let items = ours.flat_map(|driver| {
        let serves =
            |plugin: &Plugin<'_>| plugin.driver() == driver || family(driver).is_some_and(|it| plugin.is_of_family(it));
        let number = |is_it: &dyn Fn(&Plugin<'_>) -> bool| match &plugins {
            Ok(plugins) => Ok(plugins.iter().filter(|plugin| is_it(plugin) && serves(plugin)).count()),
            Err(unknown) => Err(unknown.clone()),
        };
        [
            Item::new(say!("controller of {}", driver), Ok(Some(1)), number(&|plugin| plugin.is_controller())),
            Item::new(say!("node plugin of {}", driver), Ok(Some(1)), number(&|plugin| plugin.is_node_plugin())),
        ]
    });
    Ok(items.collect())
}

fn family(driver: &str) -> Option<&'static str> {
    ["rbd", "cephfs", "nfs"].into_iter().find(|family| driver.ends_with(&format!("{family}.csi.ceph.com")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples;
    use crate::facts::archive::Tree;
    use crate::facts::bundle::Bundle;
    use crate::facts::{Cluster, Fact, Source, Store, kinds};

    /// The inventory of a recorded cluster, each fact read as it is wanted.
    fn take(example: &str, (operator_ns, ns, name): (&str, &str, &str), without: &[&str]) -> Vec<Item> {
        let example = examples::ALL.iter().find(|it| it.name == example).unwrap();
        let bundle = Bundle::from_tree(Tree::from_archive(example.name, example.archive).unwrap()).unwrap();
        let cluster = Cluster { ns: ns.into(), name: name.into(), operator_ns: operator_ns.into(), external: false };
        let mut store = Store::default();
        loop {
            let wanted = match inventory(&Facts::new(&store, Some(&cluster), bundle.now(), None)) {
                Ok(items) => return items,
                Err(Gap::Wanted(wanted)) => wanted,
                Err(gap) => panic!("{gap:?}"),
            };
            for fact in wanted {
                let is_lost = without.iter().any(|text| fact.to_string().starts_with(text));
                let answer = if is_lost {
                    Err(crate::facts::Why::Timeout)
                } else {
                    futures::executor::block_on(bundle.fetch(&fact))
                };
                store.put(fact, answer);
            }
        }
    }

    fn told(items: &[Item]) -> Vec<String> {
        let number = |count: Option<usize>| count.map_or("?".to_owned(), |count| count.to_string());
        let line = |item: &Item| format!("{} {}/{}", item.what.english(), number(item.present), number(item.expected));
        items.iter().map(line).collect()
    }

    fn state<'i>(items: &'i [Item], what: &str) -> &'i State {
        &items.iter().find(|item| item.what.english() == what).unwrap_or_else(|| panic!("{what} in {items:#?}")).state
    }

    const USUAL: (&str, &str, &str) = ("rook-ceph", "rook-ceph", "rook-ceph");

    #[test]
    fn healthy_clusters_have_what_they_should() {
        for (name, cluster, least) in [
            ("healthy-classic-podnet", USUAL, 14),
            ("healthy-csi-operator", USUAL, 12),
            ("healthy-multus-kubeovn", USUAL, 12),
            ("healthy-hostnet-120", ("rook-system", "storage", "larch-ceph"), 13),
            ("healthy-external", ("rook-ceph", "rook-ceph-external", "rook-ceph-external"), 5),
            // The operator's own setting puts all on the host network.
            ("story2c-csi-operator-port", USUAL, 11),
        ] {
            let items = take(name, cluster, &[]);
            let other: Vec<_> = items.iter().filter(|item| item.state != State::Present).collect();
            assert!(other.is_empty(), "{name}: {other:#?}");
            assert!(items.len() >= least, "{name}: {:#?}", told(&items));
        }
    }

    #[test]
    fn what_is_not_there_yet_is_missing() {
        let items = take("story1-nad-default-route", USUAL, &[]);
        assert_eq!(state(&items, "managers"), &State::Missing, "{:?}", told(&items));
        assert_eq!(state(&items, "operator"), &State::Present);
    }

    #[test]
    fn a_failed_read_is_unknown() {
        let items = take("healthy-classic-podnet", USUAL, &["deployments.apps (rook_cluster", "ceph status"]);
        let lost = |fact: &Fact| matches!(fact, Fact::Rows { kind, .. } if *kind == kinds::DEPLOYMENT);
        assert!(matches!(state(&items, "monitors"), State::Unknown(unknown) if lost(&unknown.fact)), "{items:#?}");
        assert!(matches!(state(&items, "OSDs"), State::Unknown(_)));
        assert_eq!(state(&items, "Service rook-ceph-mgr"), &State::Present);
    }

    #[test]
    fn daemons_are_told_from_their_helpers() {
        for (name, expected) in [
            ("rook-ceph-mon-a", true),
            ("rook-ceph-mon-ab", true),
            ("rook-ceph-mon-d-canary", false),
            ("rook-ceph-mon-a-maintenance", false),
            ("rook-ceph-mon-", false),
        ] {
            assert_eq!(is_daemon(name, "rook-ceph-mon-"), expected, "{name}");
        }
    }
}
