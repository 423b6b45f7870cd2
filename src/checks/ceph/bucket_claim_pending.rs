use std::collections::BTreeMap;

use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy, Text};
use crate::checks::csi::{class_objects, is_young, name_some};
use crate::checks::opr::{OPERATOR, OPERATOR_CONFIG, operator_log};
use crate::facts::tables::PodRow;
use crate::facts::{Facts, Gap, Log, LogLine, Select, Settled, both};
use crate::objects::kube::{ConfigMap, StorageClass};
use crate::objects::object_bucket::BucketClaim;
use crate::objects::rook::ObjectStore;
use crate::say;

check! {
    /// # What it looks at
    /// ObjectBucketClaims that have no bucket two minutes after they were made: whether their StorageClass exists,
    /// whether the operator answers to its provisioner (`ROOK_OBC_PROVISIONER_NAME_PREFIX`,
    /// `ROOK_OBC_WATCH_OPERATOR_NAMESPACE`), whether there is the CephObjectStore that it names, and the operator's
    /// last `error syncing` of the claim. Claims of other provisioners and of other clusters are left alone.
    ///
    /// # Why it matters
    /// A claim that waits makes neither Secret nor ConfigMap, and the application that mounts them does not start.
    /// The claim itself never says why: only the operator's log does.
    ///
    /// # Confirm by hand
    /// `kubectl get obc -A`, and `kubectl -n <operator namespace> logs deploy/rook-ceph-operator | grep 'error
    /// syncing'`.
    ///
    /// # Fix
    /// Remove the cause; the operator tries again by itself. A StorageClass cannot be changed: make a new one with
    /// the right provisioner and store.
    ///
    /// # References
    /// Rook: Storage-Configuration/Object-Storage-RGW/ceph-object-bucket-claim. kube-object-storage
    /// lib-bucket-provisioner, pkg/provisioner/controller.go.
    "CEPH018" "bucket-claim-pending" Ceph,
    needs: [Discovery, StorageClasses, OperatorPods, Objects, Logs],
    explained_by: [
        (opr::operator_down, Cluster), (opr::operator_crashing, Cluster), (opr::reconcile_failing, Object),
        (mon::quorum_lost, Cluster), (mon::all_mons_down, Cluster), (ceph::pgs_unavailable, Cluster),
        (ceph::rgw_down, Object), (ceph::rgw_certificate_invalid, Object),
    ],
}

/// What every provisioner of Rook's buckets ends with.
const PROVISIONER: &str = "ceph.rook.io/bucket";

/// A claim that waits, its class, the store that the class names, and the operator's last error about it.
struct Waiting<'s> {
    claim: &'s BucketClaim,
    class: Option<&'s StorageClass>,
    store: Option<&'s ObjectStore>,
    said: Option<(&'s PodRow, &'s LogLine)>,
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let ns = facts.cluster()?.ns.as_str();
    let claims = facts.list::<BucketClaim>(None, Select::all())?;
    let pending: Vec<&BucketClaim> = claims.iter().filter(|claim| is_waiting(facts, claim)).collect();
    if pending.is_empty() {
        return Ok(Answered::passed());
    }
    let home = &facts.cluster()?.operator_ns;
    let (classes, stores) = both(facts.storage_classes(), facts.list::<ObjectStore>(Some(ns), Select::all()))?;
    // Both only explain: that the claim waits is known without them.
    let config = facts.object::<ConfigMap>(home, OPERATOR_CONFIG).settled();
    let (config, log) = both(config, operator_log(facts).settled())?;
    let answers = config.unwrap_or_default().map(|config| answers_to(config, ns));
    let log = log.unwrap_or_default();
    let mut groups: BTreeMap<(&str, String), (Text, Vec<Waiting<'_>>)> = BTreeMap::new();
    for claim in pending {
        let name = claim.spec.storage_class_name.as_str();
        let class = classes.iter().find(|class| class.metadata.name == name);
        if class.is_some_and(|class| !is_of_cluster(class, ns)) {
            continue;
        }
        let store = class.and_then(|class| class.parameters.get("objectStoreName"));
        let store = store.and_then(|store| stores.iter().find(|it| it.metadata.name == *store));
        let waiting = Waiting { claim, class, store, said: log.and_then(|(pod, log)| said(claim, pod, log)) };
        let why = why(&waiting, answers.as_deref());
        groups.entry((name, why.english())).or_insert_with(|| (why, Vec::new())).1.push(waiting);
    }
    let findings = groups.values().filter_map(|(why, group)| finding(home, why, group));
    Ok(Answered::judged(findings.collect()))
}

fn is_waiting(facts: &Facts<'_>, claim: &BucketClaim) -> bool {
    let meta = &claim.metadata;
    let waits = ["", "Pending", "Failed"].contains(&claim.status.phase.as_str());
    waits && meta.deletion_timestamp.is_none() && !is_young(facts, meta.creation_timestamp)
}

fn is_of_cluster(class: &StorageClass, ns: &str) -> bool {
    class.provisioner.ends_with(PROVISIONER) && class.parameters.get("objectStoreNamespace").is_none_or(|of| of == ns)
}

/// The provisioner that the operator answers to for a cluster in this namespace.
fn answers_to(config: &ConfigMap, ns: &str) -> String {
    let setting = |key: &str| config.data.get(key).map(String::as_str).filter(|value| !value.is_empty());
    match setting("ROOK_OBC_PROVISIONER_NAME_PREFIX") {
        Some(prefix) => format!("{prefix}.{PROVISIONER}"),
        None if setting("ROOK_OBC_WATCH_OPERATOR_NAMESPACE") == Some("true") => format!("{ns}.{PROVISIONER}"),
        None => PROVISIONER.to_owned(),
    }
}

/// The operator's last error about this claim.
fn said<'l>(claim: &BucketClaim, pod: &'l PodRow, log: &'l Log) -> Option<(&'l PodRow, &'l LogLine)> {
    Some((pod, log.last(&format!("error syncing '{}/{}'", claim.metadata.namespace, claim.metadata.name))?))
}

fn why(waiting: &Waiting<'_>, answers: Option<&str>) -> Text {
    let name = &waiting.claim.spec.storage_class_name;
    let Some(class) = waiting.class else { return say!("there is no StorageClass {}", name) };
    let store = class.parameters.get("objectStoreName").map_or("", String::as_str);
    // A class with an endpoint needs no CephObjectStore.
    if waiting.store.is_none() && !class.parameters.contains_key("endpoint") {
        return say!("StorageClass {} names the CephObjectStore {}, which does not exist", name, format!("{store:?}"));
    }
    if let Some(answers) = answers.filter(|answers| *answers != class.provisioner) {
        return say!("the operator answers to {}, and StorageClass {} asks {}", answers, name, class.provisioner);
    }
    match (waiting.said, waiting.store) {
        (Some((_, line)), _) => {
            say!("{}", line.text.trim_end_matches(", requeuing").rsplit(": ").next().unwrap_or_default())
        }
        (None, Some(store)) if store.status.phase != "Ready" => {
            say!("CephObjectStore {} is {}, not Ready", store.metadata.name, format!("{:?}", store.status.phase))
        }
        _ => say!("the operator reports no error about it"),
    }
}

fn finding(home: &str, why: &Text, group: &[Waiting<'_>]) -> Option<Finding> {
    let objects: Vec<ObjectRef> = group.iter().map(|it| ObjectRef::of::<BucketClaim>(&it.claim.metadata)).collect();
    let (first, rest) = objects.split_first()?;
    let summary = say!("{} gets no bucket: {}", name_some(&objects, 0), why);
    let (ns, name, class) = (&first.namespace, &first.name, &group.first()?.claim.spec.storage_class_name);
    let remedy = Remedy::guided(say!("remove the cause; the operator tries again by itself"))
        .command(format!("kubectl -n {ns} describe obc {name}"))
        .command(format!("kubectl get storageclass {} -o yaml", super::quoted(class)))
        .command(format!("kubectl -n {home} logs deploy/{OPERATOR} --tail=2000 | grep 'error syncing'"));
    let phase = &group.first()?.claim.status.phase;
    let phase = if phase.is_empty() { "none: nobody works on it" } else { phase };
    let said = group.iter().find_map(|it| it.said);
    let stores = group.iter().filter_map(|it| Some(ObjectRef::of::<ObjectStore>(&it.store?.metadata))).take(1);
    Some(
        Finding::warning(first.clone(), summary, remedy)
            .also(rest.iter().cloned())
            .also(class_objects(group.iter().filter_map(|it| it.class)))
            .also(stores)
            .since(group.iter().filter_map(|it| it.claim.metadata.creation_timestamp).min())
            .evidence([Evidence::field(first, "status.phase", phase)])
            .evidence(said.map(|(pod, line)| Evidence::log(&pod.ns, &pod.name, OPERATOR, line))),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_settings_name_the_provisioner() {
        for (prefix, own, expected) in [
            ("", "", "ceph.rook.io/bucket"),
            ("", "true", "rook-ceph.ceph.rook.io/bucket"),
            ("", "false", "ceph.rook.io/bucket"),
            ("s3", "true", "s3.ceph.rook.io/bucket"),
        ] {
            let data = [("ROOK_OBC_PROVISIONER_NAME_PREFIX", prefix), ("ROOK_OBC_WATCH_OPERATOR_NAMESPACE", own)];
            let data = data.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
            let config = ConfigMap { data, ..ConfigMap::default() };
            assert_eq!(answers_to(&config, "rook-ceph"), expected);
        }
    }
}
