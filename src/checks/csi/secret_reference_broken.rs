use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;

use super::{ceph_classes, class_objects};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy};
use crate::facts::tables::{ClaimRow, VolumeRow};
use crate::facts::{Facts, Gap, both};
use crate::objects::kube::{Event, Pod, StorageClass};
use crate::say;

/// Claims and mounts are tried again every few minutes; an older event says nothing of now.
const CURRENT: SignedDuration = SignedDuration::from_mins(15);

check! {
    /// # What it looks at
    /// ProvisioningFailed and FailedMount events of the last fifteen minutes, of claims that are Pending and of
    /// pods that wait, in which the provisioner or the kubelet says that the Secret a StorageClass names does not
    /// exist (that of a namespace that does not exist does not either) or has not the keys that CSI wants.
    /// Secrets themselves are never read.
    ///
    /// # Why it matters
    /// CSI has no key of its own: it logs in to Ceph with the Secret that the class names for each step. Rook
    /// makes `rook-csi-*` in the namespace of the CephCluster once Ceph answers; an external cluster gets them
    /// from the import script, with names that carry the pool or cluster where restricted users were asked for.
    ///
    /// # Confirm by hand
    /// `kubectl get storageclass <name> -o jsonpath='{.parameters}'`, `kubectl -n <namespace> get secrets`
    ///
    /// # Fix
    /// Where the class names a wrong Secret or namespace make it anew: its parameters cannot be changed, and
    /// volumes keep the names they were made with. Where the Secret is gone let the operator make it anew, or
    /// run the import script again.
    ///
    /// # References
    /// ceph-csi internal/util/credentials.go; Rook: Storage-Configuration/Block-Storage-RBD/block-storage; from
    /// Rook 1.18 the CephFS Secrets hold userID and userKey, before that adminID and adminKey.
    "CSI008" "secret-reference-broken" Csi,
    needs: [Discovery, CephClusters, ProvisionEvents, MountEvents, Claims, Volumes, StorageClasses, Objects],
    explained_by: [
        (opr::operator_down, Cluster), (mon::quorum_lost, Cluster), (mon::all_mons_down, Cluster),
        (ext::external_not_connected, Cluster),
    ],
}

/// What is wrong with a Secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Flaw {
    Absent,
    Keys,
}

/// An event, the class it is about, and the Secret's namespace and name (empty if the words do not tell).
struct Complaint<'s> {
    event: &'s Event,
    class: &'s StorageClass,
    flaw: Flaw,
    secret: (String, String),
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let ((provisions, mounts), (claims, classes)) =
        both(both(facts.provision_events(), facts.mount_events()), both(facts.claims(), ceph_classes(facts)))?;
    let is_current = |event: &&Event| event.last_seen().is_some_and(|seen| facts.now().duration_since(seen) <= CURRENT);
    let waits = |event: &&Event| waits(claims, event);
    let mut complaints: Vec<Complaint<'_>> = provisions
        .iter()
        .filter(is_current)
        .filter(waits)
        .filter_map(|event| complaint(event, quoted(&event.message, "StorageClass \"")?, &classes))
        .collect();
    let mut refused = mounts.iter().filter(is_current).filter(|event| flaw(&event.message).is_some()).peekable();
    let mut blind = Vec::new();
    if refused.peek().is_some() {
        let volumes = facts.volumes()?;
        let of_ceph = refused.filter_map(|event| complaint(event, class_of(event, volumes)?, &classes));
        let pods = facts.each(of_ceph, |facts, complaint| {
            let about = &complaint.event.involved_object;
            facts.object::<Pod>(&about.namespace, &about.name)
        })?;
        let waiting = pods.seen.into_iter().filter(|(_, pod)| pod.is_some_and(|pod| pod.status.phase == "Pending"));
        complaints.extend(waiting.map(|(complaint, _)| complaint));
        blind = pods.blind;
    }
    let mut by_secret: BTreeMap<(Flaw, (String, String)), Vec<Complaint<'_>>> = BTreeMap::new();
    for complaint in complaints {
        by_secret.entry((complaint.flaw, complaint.secret.clone())).or_default().push(complaint);
    }
    let cluster = facts.ceph_cluster()?;
    let (home, external) = (&cluster.metadata.namespace, cluster.spec.external.enable);
    let findings = by_secret.iter().filter_map(|((flaw, secret), group)| finding(*flaw, secret, group, home, external));
    Ok(Answered::judged(findings.collect()).blind(blind))
}

/// The row of a claim does not say its namespace; its name must do.
fn waits(claims: &[ClaimRow], event: &Event) -> bool {
    claims.iter().any(|row| row.name == event.involved_object.name && row.status == "Pending")
}

fn class_of<'v>(event: &Event, volumes: &'v [VolumeRow]) -> Option<&'v str> {
    let name = quoted(&event.message, "for volume \"")?;
    volumes.iter().find(|row| row.name == name).map(|row| row.storage_class.as_str())
}

fn flaw(message: &str) -> Option<Flaw> {
    let keys =
        ["provided secret is empty", "missing ID field 'userID' in secrets", "missing key field 'userKey' in secrets"];
    if message.contains("secrets \"") && message.contains("\" not found") {
        Some(Flaw::Absent)
    } else {
        keys.iter().any(|words| message.contains(words)).then_some(Flaw::Keys)
    }
}

fn complaint<'s>(event: &'s Event, class: &str, classes: &BTreeMap<&str, &'s StorageClass>) -> Option<Complaint<'s>> {
    let (class, flaw) = (*classes.get(class)?, flaw(&event.message)?);
    let name = match flaw {
        Flaw::Absent => quoted(&event.message, "secrets \"")?,
        // The words do not name it, but the step that failed does.
        Flaw::Keys if event.reason == "ProvisioningFailed" => parameter(class, "provisioner-secret-name"),
        Flaw::Keys => parameter(class, "node-stage-secret-name"),
    };
    let is_it = |key: &String, value: &String| key.ends_with("-secret-name") && value == name;
    let key = class.parameters.iter().find(|(key, value)| is_it(key, value)).map(|(key, _)| key.as_str());
    let ns = key.map(|key| format!("{}-namespace", key.trim_end_matches("-name")));
    let ns = ns.and_then(|key| class.parameters.get(&key)).cloned().unwrap_or_default();
    Some(Complaint { event, class, flaw, secret: (ns, name.to_owned()) })
}

fn parameter<'c>(class: &'c StorageClass, key: &str) -> &'c str {
    class.parameters.get(&format!("csi.storage.k8s.io/{key}")).map_or("", String::as_str)
}

/// The text between these words and the next quotation mark.
fn quoted<'m>(message: &'m str, words: &str) -> Option<&'m str> {
    Some(message.split_once(words)?.1.split_once('"')?.0)
}

fn finding(
    flaw: Flaw,
    (ns, name): &(String, String),
    group: &[Complaint<'_>],
    home: &str,
    external: bool,
) -> Option<Finding> {
    let classes = class_objects(group.iter().map(|complaint| complaint.class));
    let first = classes.first()?;
    let claims: BTreeSet<(&str, &str)> = group
        .iter()
        .map(|it| (it.event.involved_object.namespace.as_str(), it.event.involved_object.name.as_str()))
        .collect();
    let object = ObjectRef {
        api_version: "v1".into(),
        kind: "Secret".into(),
        namespace: ns.clone(),
        name: name.clone(),
        stable: None,
    };
    let summary = match flaw {
        Flaw::Absent => say!("{} names {}, which does not exist ({} objects wait)", first, object, claims.len()),
        Flaw::Keys => {
            say!("{} lacks the keys userID and userKey that CSI wants ({} objects wait)", object, claims.len())
        }
    };
    let is_rooks = name.starts_with("rook-csi-");
    let remedy = if is_rooks && ns != home && flaw == Flaw::Absent {
        Remedy::guided(say!(
            "Rook makes {} in {}, where the CephCluster is, not in {}: make the StorageClass anew with that namespace, as its parameters cannot be changed",
            name,
            home,
            ns
        ))
    } else if external {
        Remedy::guided(say!(
            "run the import script again with the variables that the provider printed for the installed Rook release; restricted users have Secrets named after pool and cluster, and the class must name those"
        ))
    } else if is_rooks {
        Remedy::guided(say!(
            "let the operator make {} anew: it does so when it starts, unless the CephCluster says skipUserCreation",
            name
        ))
        .command(format!("kubectl -n {home} get cephcluster -o yaml | grep skipUserCreation"))
    } else {
        Remedy::guided(say!(
            "make {} with the keys of a Ceph user for CSI, or make the StorageClass anew with a Secret that exists",
            object
        ))
    };
    let namespace = if ns.is_empty() { home } else { ns };
    let remedy = remedy
        .command(format!("kubectl get storageclass {} -o jsonpath='{{.parameters}}'", first.name))
        .command(format!("kubectl -n {namespace} get secrets"));
    let newest = group.iter().max_by_key(|complaint| complaint.event.last_seen())?;
    let finding = Finding::warning(object, summary, remedy)
        .since(group.iter().filter_map(|complaint| complaint.event.first_seen()).min())
        .evidence([
            Evidence::event(newest.event),
            Evidence::field(first, "parameters", format!("{name} in namespace {namespace}")),
        ])
        .also(classes);
    Some(finding)
}
