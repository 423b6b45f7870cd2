use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::errors::Cause;
use super::{ceph_classes, class_objects, driver_object, name_some};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy};
use crate::facts::{Facts, Gap, both, kinds};
use crate::objects::kube::{Claim, Event, StorageClass};
use crate::say;

/// Provisioner and resizer try again every few minutes; an older event says nothing of now.
const CURRENT: SignedDuration = SignedDuration::from_mins(15);
const DELETED: &str = "deleted";
const RESIZED: &str = "resized";

check! {
    /// # What it looks at
    /// VolumeFailedDelete and VolumeResizeFailed events of the last fifteen minutes, of volumes of Ceph CSI that
    /// are still there unbound (Released or Failed), and of claims whose capacity is still not what they ask for.
    /// Failing snapshots tell their reason in the status of the VolumeSnapshot; a clone that fails is a claim
    /// that stays Pending, which CSI010 reports.
    ///
    /// # Why it matters
    /// A volume that cannot be deleted goes on taking space in the pool, without any claim that shows it. A claim
    /// that cannot grow fills up. Neither stops a pod that runs.
    ///
    /// # Confirm by hand
    /// `kubectl describe pv <name>`, `kubectl -n <ns> describe pvc <name>`, and `rbd status <pool>/<image>`, which
    /// names the clients that hold an image. Whether limits of a VolumeAttributesClass hold (Kubernetes 1.34 and later)
    /// is not observable from the API: the log of the node plugin, `grep -i qos`, and on the host
    /// `cat /sys/fs/cgroup/cgroup.controllers`, which must name `io`.
    ///
    /// # Fix
    /// Remove the cause; the driver tries again by itself. Do not take finalizers away: the image would stay in
    /// the pool with nothing that knows of it.
    ///
    /// # References
    /// Rook: Troubleshooting/ceph-csi-common-issues; ceph-csi internal/rbd/controllerserver.go.
    "CSI020" "volume-operation-failing" Csi,
    needs: [DeleteEvents, ResizeEvents, Volumes, StorageClasses, Objects],
    explained_by: [
        (csi::controller_unhealthy, Object), (csi::secret_reference_broken, Object),
        (csi::cluster_config_stale, Object), (csi::driver_missing, Object), (mon::quorum_lost, Cluster),
        (mon::all_mons_down, Cluster), (ceph::pgs_unavailable, Cluster), (ext::external_unreachable, Cluster),
    ],
}

/// A volume or claim on which an operation fails.
struct Failing<'s> {
    object: ObjectRef,
    class: &'s StorageClass,
    event: &'s Event,
    /// The claim it is, or was, if it is known.
    claim: Option<String>,
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let ((deletes, resizes), classes) = both(both(facts.delete_events(), facts.resize_events()), ceph_classes(facts))?;
    let deletes = newest(facts, deletes);
    let resizes = newest(facts, resizes);
    let mut findings = Vec::new();
    if !deletes.is_empty() {
        let rows = facts.volumes()?;
        let failing = deletes.iter().filter_map(|((_, name), event)| {
            let row = rows.iter().find(|row| row.name == *name)?;
            let class = *classes.get(row.storage_class.as_str())?;
            let is_left = row.status == "Released" || row.status == "Failed";
            let object = ObjectRef::new(kinds::PERSISTENT_VOLUME, "", name);
            let claim = (!row.claim.is_empty()).then(|| row.claim.clone());
            is_left.then_some(Failing { object, class, event, claim })
        });
        findings.extend(by_cause(failing, DELETED));
    }
    let claims = facts.each(resizes, |facts, ((ns, name), _)| facts.object::<Claim>(ns, name))?;
    let growing = claims.seen.iter().filter_map(|((_, event), claim)| {
        let claim = claim
            .filter(|claim| claim.spec.resources.requests.get("storage") != claim.status.capacity.get("storage"))?;
        let class = *classes.get(claim.spec.storage_class_name.as_str())?;
        let meta = &claim.metadata;
        let name = format!("{}/{}", meta.namespace, meta.name);
        Some(Failing { object: ObjectRef::of::<Claim>(meta), class, event, claim: Some(name) })
    });
    findings.extend(by_cause(growing, RESIZED));
    Ok(Answered::judged(findings).blind(claims.blind))
}

/// The newest current event of each object, by namespace and name.
fn newest<'s>(facts: &Facts<'_>, events: &'s [Event]) -> BTreeMap<(&'s str, &'s str), &'s Event> {
    let mut newest: BTreeMap<(&str, &str), &Event> = BTreeMap::new();
    for event in events {
        let seen = event.last_seen();
        if seen.is_some_and(|seen| facts.now().duration_since(seen) <= CURRENT) {
            let about = &event.involved_object;
            let known = newest.entry((&about.namespace, &about.name)).or_insert(event);
            if seen > known.last_seen() {
                *known = event;
            }
        }
    }
    newest
}

/// Objects of one driver on which one operation fails for one reason share a finding.
fn by_cause<'s>(failing: impl Iterator<Item = Failing<'s>>, done: &str) -> Vec<Finding> {
    let mut groups: BTreeMap<(&str, Cause), Vec<Failing<'_>>> = BTreeMap::new();
    for one in failing {
        groups.entry((&one.class.provisioner, Cause::of(&one.event.message))).or_default().push(one);
    }
    groups.iter().filter_map(|((driver, cause), group)| finding(driver, *cause, group, done)).collect()
}

fn finding(driver: &str, cause: Cause, group: &[Failing<'_>], done: &str) -> Option<Finding> {
    let first = group.first()?;
    let objects: Vec<ObjectRef> = group.iter().map(|one| one.object.clone()).collect();
    let (names, why) = (name_some(&objects, 0), cause.words());
    let summary = if done == DELETED {
        say!("{} cannot be deleted: {}", names, why)
    } else {
        say!("{} cannot be resized: {}", names, why)
    };
    let ObjectRef { namespace, name, .. } = &first.object;
    let command = match namespace.as_str() {
        "" => format!("kubectl describe pv {name}"),
        ns => format!("kubectl -n {ns} describe pvc {name}"),
    };
    let finding = Finding::warning(first.object.clone(), summary, Remedy::advice(cause.advice()).command(command))
        .also(group.iter().skip(1).map(|one| one.object.clone()))
        .also([driver_object(driver)])
        .also(class_objects(group.iter().map(|one| one.class)))
        .detail(done)
        .at(group.iter().filter_map(|one| one.claim.clone()).map(Place::Volume))
        .since(group.iter().filter_map(|one| one.event.first_seen()).min())
        .evidence(group.iter().take(4).map(|one| Evidence::event(one.event)));
    Some(finding)
}
