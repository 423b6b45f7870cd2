use jiff::SignedDuration;

use super::{ago, older};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy, Text};
use crate::facts::{Facts, Gap, Settled, both, known};
use crate::objects::kube::{Event, Meta, condition};
use crate::objects::rook::{BlockPool, CephCluster, Filesystem, ObjectStore};
use crate::say;

check! {
    /// # What it looks at
    /// A CephCluster that has a deletionTimestamp for ten minutes, with its condition DeletionIsBlocked and its
    /// finalizers; and pools, filesystems and object stores that are being deleted while the operator's events say
    /// that they `will not be deleted until all dependents are removed`.
    ///
    /// # Why it matters
    /// A resource in deletion is not reconciled any more: no monitor of a CephCluster fails over, and no change
    /// is taken. A deletion cannot be taken back: once the dependents are gone, Rook removes the daemons. If it
    /// was a mistake, the block is what still protects the data.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> get cephcluster -o jsonpath='{..status.conditions}'` and
    /// `kubectl -n <ns> get cephblockpool,cephfilesystem,cephobjectstore,cephclient`.
    ///
    /// # Fix
    /// If it was meant: delete the dependents that are named, after the volumes and buckets in them. If it was a
    /// mistake: touch nothing, and follow Rook's steps to restore resources after a deletion. Taking finalizers off by
    /// hand loses the cluster's Secrets and Services with their owner. `rook.io/force-deletion=true` on a
    /// CephBlockPool, CephBlockPoolRadosNamespace or CephFilesystemSubVolumeGroup makes Rook destroy what is in it when
    /// it is deleted. A namespace that stays Terminating after its CephCluster is gone waits for the finalizer
    /// `ceph.rook.io/disaster-protection` of ConfigMap `rook-ceph-mon-endpoints` and Secret `rook-ceph-mon`: they hold
    /// what a restore needs, so the finalizer goes only once nobody wants the cluster back.
    ///
    /// # References
    /// Rook: Troubleshooting/disaster-recovery, "Restoring CRDs After Deletion"; Storage-Configuration/ceph-teardown;
    /// pkg/operator/ceph/reporting (`ReportDeletionBlockedDueToDependents`).
    "OPR008" "deletion-blocked" Opr,
    needs: [Discovery, CephClusters, ClusterEvents, Objects],
    explained_by: [
        (opr::operator_down, Cluster), (opr::operator_crashing, Cluster), (opr::namespace_not_watched, Cluster),
    ],
}

/// What an orderly deletion may take.
const PATIENCE: SignedDuration = SignedDuration::from_mins(10);
/// The operator says it again with each try; its pauses grow to a quarter of an hour.
const REPEATED: SignedDuration = SignedDuration::from_mins(20);
const BLOCKED: &str = "will not be deleted until all dependents are removed";

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let (cluster, events) = both(facts.ceph_cluster(), facts.cluster_events().settled())?;
    let mut blind = Vec::new();
    let events = known(events, &mut blind).unwrap_or_default();
    let said = events.iter().filter(|event| event.message.contains(BLOCKED));
    let said = said.filter(|event| !older(facts, event.last_seen(), REPEATED));
    let said: Vec<&Event> = said.filter(|event| event.involved_object.kind != "CephCluster").collect();
    let ns = facts.cluster()?.ns.as_str();
    let others = facts.each(said, |facts, event| leaving(facts, ns, event))?;
    let mut findings: Vec<Finding> = cluster_finding(facts, cluster, events).into_iter().collect();
    for (event, meta) in others.seen {
        let Some(meta) = meta.filter(|meta| meta.deletion_timestamp.is_some()) else { continue };
        let object = object(event, meta);
        if !findings.iter().any(|finding| finding.objects.contains(&object)) {
            findings.push(finding(facts, object, meta, dependents(&event.message), Evidence::event(event)));
        }
    }
    Ok(Answered::judged(findings).blind(others.blind).blind(blind))
}

/// What the event is about, as it is now.
fn leaving<'s>(facts: &Facts<'s>, ns: &str, event: &Event) -> Result<Option<&'s Meta>, Gap> {
    let name = &event.involved_object.name;
    Ok(match event.involved_object.kind.as_str() {
        "CephBlockPool" => facts.object::<BlockPool>(ns, name)?.map(|it| &it.metadata),
        "CephFilesystem" => facts.object::<Filesystem>(ns, name)?.map(|it| &it.metadata),
        "CephObjectStore" => facts.object::<ObjectStore>(ns, name)?.map(|it| &it.metadata),
        _ => None,
    })
}

fn object(event: &Event, meta: &Meta) -> ObjectRef {
    ObjectRef {
        api_version: "ceph.rook.io/v1".into(),
        kind: event.involved_object.kind.clone(),
        namespace: meta.namespace.clone(),
        name: meta.name.clone(),
        stable: None,
    }
}

fn cluster_finding(facts: &Facts<'_>, cluster: &CephCluster, events: &[Event]) -> Option<Finding> {
    let meta = &cluster.metadata;
    if !older(facts, meta.deletion_timestamp, PATIENCE) {
        return None;
    }
    let object = ObjectRef::of::<CephCluster>(meta);
    let blocked = condition(&cluster.status.conditions, "DeletionIsBlocked").filter(|it| it.status == "True");
    let event = events.iter().filter(|event| event.message.contains(BLOCKED));
    let event = event.filter(|event| event.is_about("CephCluster", "", &meta.name)).max_by_key(|it| it.last_seen());
    let (why, evidence) = match (blocked, event) {
        (Some(blocked), _) => (
            dependents(&blocked.message),
            Evidence::field(&object, "status.conditions[DeletionIsBlocked]", &blocked.message),
        ),
        (None, Some(event)) => (dependents(&event.message), Evidence::event(event)),
        (None, None) => {
            let left = meta.finalizers.join(", ");
            let evidence = Evidence::field(&object, "metadata.finalizers", &left);
            (say!("its finalizers are left ({}), and the operator does not say why", left), evidence)
        }
    };
    Some(finding(facts, object, meta, why, evidence))
}

/// `CephBlockPool: [rbd], CephFilesystem: [cephfs]`, as the operator lists them.
fn dependents(message: &str) -> Text {
    let listed = message.split_once(BLOCKED).map_or("", |(_, rest)| rest.trim_start_matches([':', ' ']));
    if listed.is_empty() { say!("it waits for its dependents") } else { say!("it waits for {}", listed) }
}

fn finding(facts: &Facts<'_>, object: ObjectRef, meta: &Meta, why: Text, evidence: Evidence) -> Finding {
    let since = meta.deletion_timestamp;
    let age = since.map_or_else(String::new, |at| ago(facts, at));
    let summary = say!("{} {} is being deleted for {}: {}", object.kind, object.name, age, why);
    let remedy = Remedy::guided(say!("if the deletion was meant, delete what it waits for (volumes and buckets first: this destroys data); if it was a mistake, touch nothing and follow Rook's \"Restoring CRDs After Deletion\""))
        .command(format!(
            "kubectl -n {} get cephblockpool,cephfilesystem,cephfilesystemsubvolumegroup,cephobjectstore,cephobjectstoreuser,cephclient",
            object.namespace
        ))
        .command(format!("kubectl -n {} describe {} {}", object.namespace, object.kind.to_lowercase(), object.name));
    let stamp =
        Evidence::field(&object, "metadata.deletionTimestamp", since.map_or_else(String::new, |at| at.to_string()));
    Finding::warning(object, summary, remedy).since(since).evidence([stamp.at(since), evidence])
}
