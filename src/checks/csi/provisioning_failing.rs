use std::collections::{BTreeMap, BTreeSet};

use super::errors::Cause;
use super::{ceph_classes, class_objects, driver_object, filesystem, is_young, name_some};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy};
use crate::facts::{Facts, Gap, OPEN_AT_MOST, Select, both};
use crate::objects::kube::{Claim, Event, StorageClass};
use crate::say;

check! {
    /// # What it looks at
    /// PersistentVolumeClaims that are Pending for more than two minutes and whose StorageClass belongs to a
    /// Ceph CSI driver, and their events. A claim of a class with `WaitForFirstConsumer` counts only once the
    /// scheduler has chosen a node for it.
    ///
    /// # Why it matters
    /// A pod that needs the claim does not start. The events name the cause in CSI's own words; `operation with
    /// the given Volume ID already exists` and `DeadlineExceeded` only say that an earlier try still hangs.
    /// `ExternalProvisioning` alone, without any error, says that nobody works on the claim.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> describe pvc <name>`, then the log of container csi-provisioner of the leading controller pod.
    /// The way from that pod to the monitors is not observable from the API: in its container csi-rbdplugin or
    /// csi-cephfsplugin `curl -s --max-time 5 <mon address>:3300` must print `ceph v2`. Last of all run the `rbd ls` of
    /// the plugin's log there, with the user's key in a file (`--keyfile`), not among the arguments.
    ///
    /// # Fix
    /// Remove the cause; the provisioner tries again by itself, so the claim need not be made anew.
    ///
    /// # References
    /// Rook: Troubleshooting/ceph-csi-common-issues; ceph-csi internal/util/idlocker.go.
    "CSI010" "provisioning-failing" Csi,
    needs: [Claims, StorageClasses, Objects],
    explained_by: [
        (csi::controller_unhealthy, Object), (csi::driver_missing, Object), (csi::driver_name_mismatch, Object),
        (csi::cluster_config_stale, Object), (csi::secret_reference_broken, Object), (csi::backend_missing, Object),
        (csi::snapshot_support_missing, Volume), (mon::quorum_lost, Cluster), (mon::all_mons_down, Cluster),
        (net::network_policy_blocks, Object),
        (ceph::pgs_unavailable, Cluster), (ceph::mgr_down, Cluster), (ceph::mds_down, Object), (ceph::pool_application_missing, Pool), (ceph::pool_full, Pool),
        (osd::encryption_key_unavailable, Volume),
        (ext::external_unreachable, Cluster), (ext::external_not_connected, Cluster), (ext::external_credentials_wrong, Object),
    ],
}

/// A claim that waits, its class, and what its events say.
struct Waiting<'s> {
    claim: &'s Claim,
    class: &'s StorageClass,
    events: &'s [Event],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let (rows, classes) = both(facts.claims(), ceph_classes(facts))?;
    let pending = rows.iter().filter(|row| row.status == "Pending" && classes.contains_key(row.storage_class.as_str()));
    // A row does not say its namespace, so the claim is looked up by its name everywhere.
    let names: BTreeSet<&str> = pending.map(|row| row.name.as_str()).collect();
    let unopened = names.len().saturating_sub(OPEN_AT_MOST);
    let opened =
        facts.each(names, |facts, name| facts.list::<Claim>(None, Select::field(format!("metadata.name={name}"))))?;
    let claims = opened.seen.iter().flat_map(|(_, claims)| claims.iter());
    let waiting = claims.filter_map(|claim| Some((claim, *classes.get(claim.spec.storage_class_name.as_str())?)));
    let waiting = waiting.filter(|(claim, class)| is_waiting(facts, claim, class));
    let read = facts.each(waiting, |facts, (claim, _)| {
        let about = format!("involvedObject.kind=PersistentVolumeClaim,involvedObject.name={}", claim.metadata.name);
        facts.list::<Event>(Some(&claim.metadata.namespace), Select::field(about))
    })?;
    // Claims of one driver that fail for one reason share a finding.
    let mut groups: BTreeMap<(&str, Option<Cause>), Vec<Waiting<'_>>> = BTreeMap::new();
    for ((claim, class), events) in read.seen {
        let cause = failures(events).map(|event| Cause::of(&event.message)).min();
        groups.entry((&class.provisioner, cause)).or_default().push(Waiting { claim, class, events });
    }
    let ns = &facts.cluster()?.ns;
    let findings = groups.iter().filter_map(|((driver, cause), group)| {
        let filesystems = group.iter().filter_map(|waiting| filesystem(ns, waiting.class));
        Some(finding(driver, *cause, group, unopened)?.also(filesystems))
    });
    Ok(Answered::judged(findings.collect()).blind(opened.blind).blind(read.blind))
}

fn is_waiting(facts: &Facts<'_>, claim: &Claim, class: &StorageClass) -> bool {
    let waits_for_pod = class.volume_binding_mode == "WaitForFirstConsumer"
        && !claim.metadata.annotations.contains_key("volume.kubernetes.io/selected-node");
    let gone = claim.metadata.deletion_timestamp.is_some();
    claim.status.phase == "Pending" && !waits_for_pod && !gone && !is_young(facts, claim.metadata.creation_timestamp)
}

fn failures(events: &[Event]) -> impl Iterator<Item = &Event> {
    events.iter().filter(|event| event.reason == "ProvisioningFailed")
}

fn finding(driver: &str, cause: Option<Cause>, group: &[Waiting<'_>], unopened: usize) -> Option<Finding> {
    let objects: Vec<ObjectRef> = group.iter().map(|waiting| ObjectRef::of::<Claim>(&waiting.claim.metadata)).collect();
    let (first, rest) = objects.split_first()?;
    let names = name_some(&objects, unopened);
    let summary = match cause {
        Some(cause) => say!("{} of {} cannot be provisioned: {}", names, driver, cause.words()),
        None => say!("nobody provisions {} of {}: Pending, and no error was reported", names, driver),
    };
    let remedy = match cause {
        Some(cause) => Remedy::advice(cause.advice()),
        None => Remedy::advice(say!("look at the controller of {}: its pods and the log of csi-provisioner", driver)),
    };
    let (ns, name) = (&first.namespace, &first.name);
    let volumes = objects.iter().map(|object| Place::Volume(format!("{}/{}", object.namespace, object.name)));
    let pools = group.iter().filter_map(|waiting| waiting.class.parameters.get("pool"));
    Some(
        Finding::warning(first.clone(), summary, remedy.command(format!("kubectl -n {ns} describe pvc {name}")))
            .also(rest.iter().cloned())
            .also([driver_object(driver)])
            .also(class_objects(group.iter().map(|waiting| waiting.class)))
            .at(volumes.chain(pools.map(|pool| Place::Pool(pool.clone()))))
            .since(group.iter().filter_map(|waiting| waiting.claim.metadata.creation_timestamp).min())
            .evidence(group.iter().take(4).map(|waiting| evidence(waiting, cause))),
    )
}

/// The event that tells the cause; else the one that says whom the claim waits for; else its phase.
fn evidence(waiting: &Waiting<'_>, cause: Option<Cause>) -> Evidence {
    let telling = failures(waiting.events).filter(|event| Some(Cause::of(&event.message)) == cause);
    let newest = telling.max_by_key(|event| event.last_seen());
    let event = newest.or_else(|| waiting.events.iter().max_by_key(|event| event.last_seen()));
    match event {
        Some(event) => Evidence::event(event),
        None => Evidence::field(&ObjectRef::of::<Claim>(&waiting.claim.metadata), "status.phase", "Pending"),
    }
}
