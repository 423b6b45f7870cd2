use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;

use super::errors::Cause;
use super::{ceph_classes, class_objects, driver_object, filesystem, is_ceph_driver, is_young, name_some};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy};
use crate::facts::tables::VolumeRow;
use crate::facts::{Facts, Gap, OPEN_AT_MOST, Unknown, both};
use crate::objects::kube::{Event, Pod, StorageClass};
use crate::say;

/// Events live for an hour; an older one says nothing of now. The kubelet tries again every two minutes.
const CURRENT: SignedDuration = SignedDuration::from_mins(15);

check! {
    /// # What it looks at
    /// FailedMount and FailedAttachVolume events of the last fifteen minutes about volumes of Ceph CSI, of pods that
    /// still wait for them. Their words are decoded; pods of one node that fail for one reason share a finding. A
    /// `Multi-Attach error` is CSI012's.
    ///
    /// # Why it matters
    /// The pod does not start. Failures on one node only point to that node: its plugin, its network, its
    /// kernel. Failures everywhere point to Ceph, its keys or its configuration. `operation with the given
    /// Volume ID already exists` and `DeadlineExceeded` are never the cause, only its consequence.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> describe pod <name>`, then the log of the node plugin's container `csi-rbdplugin` or
    /// `csi-cephfsplugin` on that node. A mount that hangs in the kernel is not observable from the API: in that
    /// container `ps -ef | grep -E 'mount|map|mkfs|umount|unmap'`, then on the node `dmesg`. For an attachment
    /// `kubectl get volumeattachments` and the log of the controller's container `csi-attacher`.
    ///
    /// # Fix
    /// Remove the cause; the kubelet tries again by itself.
    ///
    /// # References
    /// Rook: Troubleshooting/ceph-csi-common-issues; ceph-csi internal/util/idlocker.go.
    "CSI011" "mount-failing" Csi,
    needs: [MountEvents, AttachEvents, Volumes, StorageClasses, Objects],
    explained_by: [
        (mon::quorum_lost, Cluster), (mon::all_mons_down, Cluster), (ceph::pgs_unavailable, Cluster),
        (ceph::mds_down, Object), (csi::node_plugin_unhealthy, Node), (csi::controller_unhealthy, Object), (csi::driver_missing, Object),
        (csi::driver_name_mismatch, Object), (csi::cluster_config_stale, Object), (csi::secret_reference_broken, Object),
        (csi::driver_not_registered, Node), (csi::client_fenced, Node), (node::node_not_ready, Node),
        (ext::external_unreachable, Cluster), (net::host_off_public_network, Node),
        (net::network_policy_blocks, Object), (ceph::pool_full, Pool),
        (osd::encryption_key_unavailable, Volume),
    ],
}

/// A pod that waits, and for what.
pub(crate) struct Failing<'s> {
    pub pod: &'s Pod,
    pub events: Vec<&'s Event>,
    volumes: Vec<&'s VolumeRow>,
}

/// The pods that wait for volumes of Ceph now, by node and cause; how many could not be looked at, and why.
pub(crate) struct Mounts<'s> {
    pub groups: BTreeMap<(&'s str, Cause), Vec<Failing<'s>>>,
    pub blind: Vec<Unknown>,
    unopened: usize,
}

pub(crate) fn failing_mounts<'s>(facts: &Facts<'s>) -> Result<Mounts<'s>, Gap> {
    let ((mounts, attaches), (volumes, classes)) =
        both(both(facts.mount_events(), facts.attach_events()), both(facts.volumes(), ceph_classes(facts)))?;
    // A volume that another pod uses is CSI012's.
    let attaches = attaches.iter().filter(|event| !event.message.contains("Multi-Attach error"));
    let is_ceph = |event: &Event| {
        let row = volume(event, volumes);
        row.is_some_and(|row| classes.contains_key(row.storage_class.as_str())) || names_driver(&event.message)
    };
    let is_current = |event: &&Event| event.last_seen().is_some_and(|seen| facts.now().duration_since(seen) <= CURRENT);
    let mut by_pod: BTreeMap<(&str, &str), Vec<&Event>> = BTreeMap::new();
    for event in mounts.iter().chain(attaches).filter(is_current).filter(|event| is_ceph(event)) {
        let about = &event.involved_object;
        by_pod.entry((&about.namespace, &about.name)).or_default().push(event);
    }
    let unopened = by_pod.len().saturating_sub(OPEN_AT_MOST);
    let pods = facts.each(by_pod, |facts, ((ns, name), _)| facts.object::<Pod>(ns, name))?;
    let mut groups: BTreeMap<(&str, Cause), Vec<Failing<'_>>> = BTreeMap::new();
    for ((_, events), pod) in pods.seen {
        let Some(pod) = pod.filter(|pod| waits(pod)) else { continue };
        // While the driver's plugin starts, after a boot or in a roll-out, the first tries fail.
        if is_young(facts, events.iter().filter_map(|event| event.first_seen()).min()) {
            continue;
        }
        let cause = events.iter().map(|event| Cause::of(&event.message)).min().unwrap_or(Cause::Other);
        let volumes = events.iter().filter_map(|event| volume(event, volumes)).collect();
        groups.entry((&pod.spec.node_name, cause)).or_default().push(Failing { pod, events, volumes });
    }
    Ok(Mounts { groups, blind: pods.blind, unopened })
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let (Mounts { groups, blind, unopened }, classes) = both(failing_mounts(facts), ceph_classes(facts))?;
    let ns = &facts.cluster()?.ns;
    let findings = groups.iter().filter_map(|((node, cause), group)| {
        let of_class = |row: &&VolumeRow| filesystem(ns, classes.get(row.storage_class.as_str())?);
        let filesystems = group.iter().flat_map(|failing| failing.volumes.iter().filter_map(of_class));
        let rows = group.iter().flat_map(|failing| &failing.volumes);
        let of_volumes: Vec<&StorageClass> =
            rows.filter_map(|row| classes.get(row.storage_class.as_str()).copied()).collect();
        let drivers: BTreeSet<&str> = of_volumes.iter().map(|class| class.provisioner.as_str()).collect();
        let pools = of_volumes.iter().filter_map(|class| class.parameters.get("pool"));
        let pools: Vec<Place> = pools.map(|pool| Place::Pool(pool.clone())).collect();
        let finding = finding(node, *cause, group, unopened)?.also(filesystems).also(class_objects(of_volumes));
        Some(finding.also(drivers.into_iter().map(driver_object)).at(pools))
    });
    Ok(Answered::judged(findings.collect()).blind(blind))
}

/// The volume that the message quotes: `failed for volume "pvc-…" : …`.
fn volume<'v>(event: &Event, volumes: &'v [VolumeRow]) -> Option<&'v VolumeRow> {
    let (_, rest) = event.message.split_once("for volume \"")?;
    let (name, _) = rest.split_once('"')?;
    volumes.iter().find(|row| row.name == name)
}

fn names_driver(message: &str) -> bool {
    message.split(|c: char| c.is_whitespace() || c == '\'' || c == '"').any(is_ceph_driver)
}

/// No container has started yet: the kubelet starts them after the volumes.
fn waits(pod: &Pod) -> bool {
    let started = pod.statuses().any(|status| status.state.running.is_some() || status.state.terminated.is_some());
    pod.metadata.deletion_timestamp.is_none() && pod.status.phase == "Pending" && !started
}

fn finding(node: &str, cause: Cause, group: &[Failing<'_>], unopened: usize) -> Option<Finding> {
    let objects: Vec<ObjectRef> = group.iter().map(|failing| ObjectRef::pod(failing.pod)).collect();
    let (first, rest) = objects.split_first()?;
    let events = || group.iter().flat_map(|failing| failing.events.iter().copied());
    let names = name_some(&objects, unopened);
    let summary = say!("{} on {} cannot mount Ceph volumes: {}", names, node, cause.words());
    let remedy =
        Remedy::advice(cause.advice()).command(format!("kubectl -n {} describe pod {}", first.namespace, first.name));
    let claims = group.iter().flat_map(|failing| &failing.volumes).map(|row| row.claim.clone());
    let telling = events().filter(|event| Cause::of(&event.message) == cause);
    Some(
        Finding::critical(first.clone(), summary, remedy)
            .also(rest.iter().cloned())
            .at([Place::node(node)])
            .at(claims.filter(|claim| !claim.is_empty()).map(Place::Volume))
            .since(events().filter_map(Event::first_seen).min())
            .evidence(telling.take(4).map(Evidence::event)),
    )
}
