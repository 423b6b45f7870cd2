use std::collections::BTreeMap;

use jiff::SignedDuration;

use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Text};
use crate::checks::node::unschedulable;
use crate::checks::opr::older;
use crate::facts::tables::PodRow;
use crate::facts::{Facts, Gap, Settled, both, known};
use crate::objects::kube::{Claim, Event, Pod, StorageClass};
use crate::objects::rook::Storage;
use crate::say;

check! {
    /// # What it looks at
    /// Claims of the CephCluster's device sets that are Pending for more than two minutes: their StorageClass, the
    /// warnings about them, and what the scheduler says of the prepare pod that waits for them.
    ///
    /// # Why it matters
    /// Each claim becomes an OSD. While it is Pending its prepare job waits, and the operator waits for the job. With
    /// `WaitForFirstConsumer` a claim is Pending by design until a pod that uses it is placed: then only a pod that
    /// cannot be placed because of its volumes counts.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> get pvc -l ceph.rook.io/DeviceSet`, `kubectl -n <ns> describe pvc <claim>`, and the event
    /// FailedScheduling of the prepare pod.
    ///
    /// # Fix
    /// Name a StorageClass that exists and whose provisioner runs, or make local volumes of that class: block mode, at
    /// least as large as asked for, on nodes where the prepare pod may run.
    ///
    /// # References
    /// Rook: CRDs/Cluster/pvc-cluster, "Storage Class Device Sets". Kubernetes: "Volume Binding Mode".
    "OSD012" "osd-pvc-pending" Osd,
    needs: [Discovery, CephClusters, Claims, StorageClasses, PreparePods, ClusterEvents, Objects],
    explained_by: [],
}

const PATIENCE: SignedDuration = SignedDuration::from_mins(2);
const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

/// The scheduler's words for a pod that waits for its volumes.
const VOLUMES: &[&str] =
    &["persistent volumes to bind", "PersistentVolumeClaim", "persistentvolumeclaim", "volume node affinity"];

/// A claim that waits, the pod that waits for it, and what was said about both.
struct Waiting<'s> {
    claim: &'s Claim,
    pod: Option<&'s Pod>,
    words: Option<&'s str>,
    warning: Option<&'s Event>,
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.cluster()?;
    let storage = &facts.ceph_cluster()?.spec.storage;
    if cluster.external || storage.storage_class_device_sets.is_empty() {
        return Ok(Answered::NotApplicable("the CephCluster has no device sets"));
    }
    let rows = facts.claims()?;
    let pending = rows.iter().filter(|row| row.status == "Pending" && set_of(storage, &row.name).is_some());
    let claims = facts.each(pending, |facts, row| facts.object::<Claim>(&cluster.ns, &row.name))?;
    let waiting = claims.seen.iter().filter_map(|(_, claim)| *claim);
    let waiting: Vec<&Claim> = waiting.filter(|claim| is_waiting(facts, claim)).collect();
    if waiting.is_empty() {
        return Ok(Answered::passed().blind(claims.blind));
    }
    let (classes, prepare) = both(facts.storage_classes(), facts.prepare_pods())?;
    let pods = facts.each(prepare.iter().filter(|row| row.is_pending()), |facts, row| facts.pod(&row.ns, &row.name))?;
    // Without events the class and the scheduler still tell.
    let mut blind = Vec::new();
    let events = known(facts.cluster_events().settled()?, &mut blind).unwrap_or_default();
    let mut groups: BTreeMap<(&str, &str), Vec<Waiting<'_>>> = BTreeMap::new();
    for claim in waiting {
        let class = classes.iter().find(|class| class.metadata.name == claim.spec.storage_class_name);
        let one = look(claim, &pods.seen, events);
        let by_design = class.is_some_and(|class| class.volume_binding_mode == "WaitForFirstConsumer");
        // What holds the pod for another reason is NODE008's.
        if by_design && one.words.is_none() && one.warning.is_none() {
            continue;
        }
        let set = set_of(storage, &claim.metadata.name).unwrap_or_default();
        groups.entry((set, &claim.spec.storage_class_name)).or_default().push(one);
    }
    let findings = groups.iter().filter_map(|((set, name), group)| {
        finding(set, name, classes.iter().find(|class| class.metadata.name == **name), group)
    });
    Ok(Answered::judged(findings.collect()).blind(claims.blind).blind(pods.blind).blind(blind))
}

/// Claims are named `<set>-<data|metadata|wal>-<index><suffix>`; dots of the set become dashes.
fn set_of<'s>(storage: &'s Storage, claim: &str) -> Option<&'s str> {
    let sets = storage.storage_class_device_sets.iter().map(|set| set.name.as_str());
    let own = sets.filter(|set| claim.strip_prefix(&set.replace('.', "-")).is_some_and(|rest| rest.starts_with('-')));
    own.max_by_key(|set| set.len())
}

fn is_waiting(facts: &Facts<'_>, claim: &Claim) -> bool {
    let meta = &claim.metadata;
    let of_set = meta.labels.contains_key("ceph.rook.io/DeviceSet");
    let gone = meta.deletion_timestamp.is_some();
    of_set && !gone && claim.status.phase == "Pending" && older(facts, meta.creation_timestamp, PATIENCE)
}

fn look<'s>(claim: &'s Claim, pods: &[(&PodRow, &'s Pod)], events: &'s [Event]) -> Waiting<'s> {
    let (ns, name) = (&claim.metadata.namespace, &claim.metadata.name);
    let uses = |pod: &&Pod| pod.spec.volumes.iter().any(|volume| volume.persistent_volume_claim.claim_name == *name);
    let pod = pods.iter().map(|(_, pod)| *pod).find(uses);
    let words = pod.and_then(unschedulable).map(|it| it.message.as_str());
    let words = words.filter(|words| VOLUMES.iter().any(|text| words.contains(text)));
    let about = events.iter().filter(|event| event.is_about("PersistentVolumeClaim", ns, name));
    let warning = about.filter(|event| event.reason == "ProvisioningFailed").max_by_key(|event| event.last_seen());
    Waiting { claim, pod, words, warning }
}

fn finding(set: &str, name: &str, class: Option<&StorageClass>, group: &[Waiting<'_>]) -> Option<Finding> {
    let first = group.first()?;
    let objects: Vec<ObjectRef> = group.iter().map(|waiting| ObjectRef::of::<Claim>(&waiting.claim.metadata)).collect();
    let (object, rest) = objects.split_first()?;
    let (why, remedy) = reason(name, class, first);
    let claims = match rest.len() {
        0 => say!("{}", object.name),
        more => say!("{} and {} more", object.name, more),
    };
    let summary = say!("claims of the device set {} are Pending ({}): {}", set, claims, why);
    let remedy = Remedy::guided(remedy)
        .command(format!("kubectl -n {} describe pvc {}", object.namespace, object.name))
        .command("kubectl get storageclass,pv");
    let volumes = objects.iter().map(|object| Place::Volume(format!("{}/{}", object.namespace, object.name)));
    let lines = group.iter().take(4).flat_map(|waiting| {
        let object = ObjectRef::of::<Claim>(&waiting.claim.metadata);
        let phase = Evidence::field(&object, "status.phase", "Pending");
        let words = waiting.pod.zip(waiting.words);
        let words =
            words.map(|(pod, words)| Evidence::field(&ObjectRef::pod(pod), "status.conditions[PodScheduled]", words));
        [Some(phase), waiting.warning.map(Evidence::event), words].into_iter().flatten()
    });
    Some(
        Finding::warning(object.clone(), summary, remedy)
            .also(rest.iter().cloned())
            .also(group.iter().filter_map(|waiting| waiting.pod.map(ObjectRef::pod)))
            .at(volumes)
            .since(group.iter().filter_map(|waiting| waiting.claim.metadata.creation_timestamp).min())
            .evidence(lines),
    )
}

/// Why, and what would help.
fn reason(name: &str, class: Option<&StorageClass>, waiting: &Waiting<'_>) -> (Text, Text) {
    match class {
        None if name.is_empty() => (
            say!("they name no StorageClass"),
            say!("name a StorageClass in volumeClaimTemplates of the device set, and delete the claims that wait"),
        ),
        None => (
            say!("there is no StorageClass {}", name),
            say!(
                "make that StorageClass, or name one that exists in volumeClaimTemplates of the device set and delete the claims that wait"
            ),
        ),
        Some(class) if class.provisioner == NO_PROVISIONER => (
            say!("no free volume of the class {} fits, and nobody provisions one", name),
            say!("make local volumes of that class: block mode, large enough, on nodes where the prepare pod may run"),
        ),
        Some(class) if waiting.warning.is_some() => (
            say!("{} cannot provision them", class.provisioner),
            say!("repair what the provisioner complains about; it tries again by itself"),
        ),
        Some(class) => (
            say!("{} has not provisioned them", class.provisioner),
            say!("see that the provisioner runs, and read what the scheduler says of the prepare pod"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::rook::DeviceSet;

    #[test]
    fn a_claim_belongs_to_the_set_with_the_longest_name() {
        let set = |name: &str| DeviceSet { name: name.to_owned(), ..DeviceSet::default() };
        let storage = Storage {
            storage_class_device_sets: vec![set("set1"), set("set1-fast"), set("a.b")],
            ..Storage::default()
        };
        for (claim, found) in [
            ("set1-data-0x7k2q", Some("set1")),
            ("set1-fast-data-1abcde", Some("set1-fast")),
            ("a-b-data-0abcde", Some("a.b")),
            ("set10-data-0abcde", None),
        ] {
            assert_eq!(set_of(&storage, claim), found, "{claim}");
        }
    }
}
