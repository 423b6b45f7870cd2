//! What is needed where. Most of it is derived: the rows of the table of reads say what is read ahead, and a capture
//! lists every kind that there is. Only what is opened on suspicion and what fixes change is written down here.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{Places, Reach};
use crate::capture::{CRDS, WITHIN};
use crate::facts::live::Permission;
use crate::facts::{Cluster, Fact, Facts, Kind, Row, Store, kinds};

/// Where something is read or changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Where {
    /// In all namespaces, or in none.
    Everywhere,
    OfCluster,
    OfOperator,
    /// In both of these.
    Own,
    Ground,
    /// In all that matter.
    All,
    /// As [`Self::All`], and where the server puts what is said of objects without a namespace.
    Events,
}

/// Kinds of which checks and plans open single objects.
const OPENED: &[(Kind, Where)] = &[
    // Whose volume is stuck, whose address leaked, who has the port: pods of anybody.
    (kinds::POD, Where::Everywhere),
    (kinds::CLAIM, Where::Everywhere),
    // A webhook that stands in the way may be of anybody.
    (kinds::SERVICE, Where::Everywhere),
    (kinds::NODE, Where::Everywhere),
    (kinds::NAMESPACE, Where::Everywhere),
    (kinds::CSI_NODE, Where::Everywhere),
    (kinds::CONFIG_MAP, Where::All),
    (kinds::LEASE, Where::All),
    (kinds::DEPLOYMENT, Where::All),
    (kinds::DAEMON_SET, Where::Own),
    (kinds::REPLICA_SET, Where::Own),
    (kinds::JOB, Where::Own),
    (kinds::BLOCK_POOL, Where::OfCluster),
    (kinds::FILESYSTEM, Where::OfCluster),
    (kinds::OBJECT_STORE, Where::OfCluster),
    (kinds::OBJECT_ZONE, Where::OfCluster),
    (kinds::CEPH_CONNECTION, Where::OfOperator),
];

/// What fixes change, and how: the verbs on a kind. Who patches an object reads it anew before.
const CHANGED: &[(Kind, &str, &[&str], Where)] = &[
    (kinds::POD, "", &["delete"], Where::All),
    (kinds::POD, "eviction", &["create"], Where::All),
    // Whether a pod would come back unchanged.
    (kinds::DAEMON_SET, "", &["get"], Where::All),
    (kinds::CEPH_CLUSTER, "", &["get", "patch"], Where::OfCluster),
    (kinds::FILESYSTEM, "", &["get", "patch"], Where::OfCluster),
    (kinds::DEPLOYMENT, "", &["get", "patch"], Where::Own),
    (kinds::CONFIG_MAP, "", &["get", "patch"], Where::OfOperator),
    (kinds::NETWORK_ATTACHMENT, "", &["get", "patch"], Where::OfCluster),
    (kinds::IP_POOL, "", &["get", "patch"], Where::Ground),
    // What is deleted and has no owner can be brought back.
    (kinds::IP_RESERVATION, "", &["get", "delete", "create"], Where::Ground),
    (kinds::VALIDATING_WEBHOOKS, "", &["get", "delete", "create"], Where::Everywhere),
    (kinds::MUTATING_WEBHOOKS, "", &["get", "delete", "create"], Where::Everywhere),
    (kinds::LEASE, "", &["get", "create", "update", "delete"], Where::OfCluster),
    (kinds::EVENT, "", &["create"], Where::Events),
];

/// What a diagnosis and a capture read, beside what Ceph says.
pub(super) fn read(places: &Places) -> BTreeSet<Permission> {
    let mut all: BTreeSet<Permission> = Row::ALL.iter().flat_map(|row| of_row(*row, places, Reach::Cluster)).collect();
    all.retain(|permission| permission.part.is_empty());
    for &kind in kinds::ALL {
        all.extend(wherever(kind, places).into_iter().map(|ns| of_kind("list", kind, ns)));
    }
    for (kind, place) in OPENED {
        all.extend(namespaces(*place, places).into_iter().map(|ns| of_kind("get", *kind, ns)));
        // What a capture must see of strangers, it looks for in their lists.
        if *place == Where::Everywhere {
            all.insert(of_kind("list", *kind, ""));
        }
    }
    let (group, _, plural, _) = CRDS;
    let (group, plural, ns) = (group.to_owned(), plural.to_owned(), String::new());
    all.insert(Permission { verb: "list", group, plural, part: "", ns });
    all.extend(places.all().into_iter().map(|ns| of_pod("get", "log", ns)));
    all
}

/// Commands in the pods of the cluster and of its operator. Servers ask for one verb or the other, by their version
/// and the protocol.
pub(super) fn exec(places: &Places) -> BTreeSet<Permission> {
    places.own().into_iter().flat_map(|ns| ["create", "get"].map(|verb| of_pod(verb, "exec", ns))).collect()
}

/// What plans change, beyond what is read anyway.
pub(super) fn fix(places: &Places) -> BTreeSet<Permission> {
    let read = read(places);
    let mut all = BTreeSet::new();
    for (kind, part, verbs, place) in CHANGED {
        for ns in namespaces(*place, places) {
            all.extend(verbs.iter().map(|&verb| Permission { part, ..of_kind(verb, *kind, ns) }));
        }
    }
    all.retain(|one| !read.iter().any(|other| super::covers(other, one)));
    all
}

fn namespaces(place: Where, places: &Places) -> Vec<&str> {
    match place {
        Where::Everywhere => vec![""],
        Where::OfCluster => vec![&places.cluster],
        Where::OfOperator => vec![&places.operator],
        Where::Own => places.own(),
        Where::Ground => places.ground.iter().map(String::as_str).collect(),
        Where::All => places.all(),
        Where::Events => places.all().into_iter().chain(["default"]).collect(),
    }
}

/// Where a kind is read: most of the objects of some belong to strangers.
fn wherever(kind: Kind, places: &Places) -> Vec<&str> {
    if WITHIN.contains(&kind) { places.all() } else { vec![""] }
}

/// What a row of the table of reads needs; nothing for those that are read on suspicion.
pub(super) fn of_row(row: Row, places: &Places, reach: Reach) -> Vec<Permission> {
    // Who looks at one namespace only looks for CephClusters there.
    let namespace = (reach == Reach::Namespaces).then_some(places.cluster.as_str());
    let cluster = Cluster {
        ns: places.cluster.clone(),
        name: String::new(),
        operator_ns: places.operator.clone(),
        external: false,
    };
    let store = Store::default();
    let fact = row.fact(&Facts::new(&store, Some(&cluster), Timestamp::UNIX_EPOCH, namespace));
    fact.map(|fact| of_fact(&fact, places)).unwrap_or_default()
}

fn of_fact(fact: &Fact, places: &Places) -> Vec<Permission> {
    match fact {
        // Kubernetes lets everybody ask what it serves.
        Fact::Discovery => Vec::new(),
        Fact::Rows { kind, ns, .. } => vec![of_kind("list", *kind, ns)],
        Fact::List { kind, ns, .. } => vec![of_kind("list", *kind, ns.as_deref().unwrap_or_default())],
        Fact::Object { kind, ns, .. } | Fact::Whole { kind, ns, .. } => vec![of_kind("get", *kind, ns)],
        Fact::Log { ns, .. } => vec![of_pod("get", "log", ns)],
        Fact::Ceph { .. } | Fact::OkToStop { .. } | Fact::Socket { .. } => exec(places).into_iter().collect(),
    }
}

fn of_kind(verb: &'static str, kind: Kind, ns: &str) -> Permission {
    Permission { verb, group: kind.group.to_owned(), plural: kind.plural.to_owned(), part: "", ns: ns.to_owned() }
}

fn of_pod(verb: &'static str, part: &'static str, ns: &str) -> Permission {
    Permission { part, ..of_kind(verb, kinds::POD, ns) }
}

/// The kind that a permission is about, if checks know it.
pub fn kind(permission: &Permission) -> Option<Kind> {
    kinds::ALL.iter().find(|kind| kind.group == permission.group && kind.plural == permission.plural).copied()
}

pub(super) fn is_namespaced(permission: &Permission) -> bool {
    kind(permission).is_some_and(|kind| kind.namespaced)
}
