use jiff::SignedDuration;

use super::{Plugin, is_young, plugins};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Text};
use crate::checks::net::{crashing, last_words};
use crate::checks::opr::older;
use crate::facts::tables::PodRow;
use crate::facts::{Facts, Gap, Select, both, kinds};
use crate::objects::kube::{Event, Pod};
use crate::objects::snapshot::VolumeSnapshot;
use crate::say;

check! {
    /// # What it looks at
    /// Whether the CRDs of snapshots (`snapshot.storage.k8s.io`) are installed where a CSI controller runs
    /// `csi-snapshotter`, whether that container crashes over their absence, and claims that wait for a
    /// VolumeSnapshot which nobody has looked at. That the CRDs are absent and nobody asks for snapshots is
    /// information.
    ///
    /// # Why it matters
    /// Rook ships the sidecar only. CRDs and snapshot controller belong to the Kubernetes cluster and are the same
    /// for all drivers: without the CRDs no snapshot can be asked for, and without the controller a VolumeSnapshot
    /// stays as it was made, with no status, no event and no error.
    ///
    /// # Confirm by hand
    /// `kubectl api-resources --api-group=snapshot.storage.k8s.io`, `kubectl get pods -A | grep snapshot-controller`,
    /// `kubectl get volumesnapshots -A`.
    ///
    /// # Fix
    /// Install the CRDs and the controller of the kubernetes-csi external-snapshotter, in the release that fits the
    /// sidecar's; on a distribution that brings them, switch them on. The VolumeSnapshots that wait are then served.
    ///
    /// # References
    /// kubernetes-csi external-snapshotter, README "Usage" and issue 460. Rook:
    /// Storage-Configuration/Ceph-CSI/ceph-csi-snapshot, "Prerequisites".
    "CSI017" "snapshot-support-missing" Csi,
    needs: [Discovery, CsiDeployments, DaemonSets, CsiPods, ProvisionEvents, Objects, Logs],
    explained_by: [],
}

/// The provisioner tries again within minutes.
const CURRENT: SignedDuration = SignedDuration::from_mins(15);
const SIDECAR: &str = "csi-snapshotter";
const NO_CRD: &str = "the server could not find the requested resource (get volumesnapshot";

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let ((plugins, rows), events) = both(both(plugins(facts), facts.csi_pods()), facts.provision_events())?;
    let controllers: Vec<Plugin<'_>> = plugins.into_iter().filter(has_snapshotter).collect();
    if controllers.is_empty() {
        return Ok(Answered::NotApplicable("no CSI controller makes snapshots"));
    }
    let is_installed = facts.installed(kinds::VOLUME_SNAPSHOT)?;
    let current = events.iter().filter(|event| !older(facts, event.last_seen(), CURRENT));
    let waiting: Vec<(&str, &Event)> = current.filter_map(|event| Some((snapshot(&event.message)?, event))).collect();
    if is_installed {
        return unserved(facts, &waiting);
    }
    let suspects = rows.iter().filter(|row| !row.is_well() && controllers.iter().any(|it| it.owns(row)));
    let pods = facts.each(suspects, |facts, row| facts.pod(&row.ns, &row.name))?;
    let mut crashes = Vec::new();
    for (row, pod) in pods.seen.iter().filter(|(_, pod)| crashing(pod).is_some_and(|it| it.name == SIDECAR)) {
        crashes.extend(last_words(facts, pod, SIDECAR, &[NO_CRD])?.map(|said| (*row, *pod, said)));
    }
    let asked: Vec<&Event> = waiting.into_iter().map(|(_, event)| event).collect();
    Ok(Answered::judged(vec![absent(&controllers, &crashes, &asked)]).blind(pods.blind))
}

fn install() -> Text {
    say!(
        "install the CRDs and the snapshot controller of the external-snapshotter, in the release that fits the sidecar; Rook does not ship them"
    )
}

fn has_snapshotter(plugin: &Plugin<'_>) -> bool {
    plugin.is_controller() && plugin.template.spec.containers.iter().any(|container| container.name == SIDECAR)
}

/// The VolumeSnapshot that a claim is to be made from, of the provisioner's words.
fn snapshot(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("error getting handle for DataSource Type VolumeSnapshot by Name ")?;
    rest.split(':').next()
}

/// No CRDs: a fault only where somebody asks for snapshots, or the sidecar cannot live without them.
fn absent(controllers: &[Plugin<'_>], crashes: &[(&PodRow, &Pod, Evidence)], asked: &[&Event]) -> Finding {
    let mut objects = controllers.iter().map(Plugin::object);
    let first = objects.next().unwrap_or_else(|| ObjectRef::new(kinds::DEPLOYMENT, "", SIDECAR));
    let remedy = Remedy::guided(install()).command("kubectl api-resources --api-group=snapshot.storage.k8s.io");
    let evidence = Evidence::field(&first, "API discovery", "volumesnapshots.snapshot.storage.k8s.io is not served");
    let finding = if !crashes.is_empty() {
        let summary = say!("the CRDs of snapshots are absent, and {} crashes over it", SIDECAR);
        Finding::warning(first, summary, remedy)
    } else if let Some(event) = asked.first() {
        let claim = &event.involved_object.name;
        let summary = say!("the CRDs of snapshots are absent, and claim {} is to be made from one", claim);
        Finding::warning(first, summary, remedy)
    } else {
        Finding::info(first, say!("no snapshots can be made: their CRDs are not installed"), remedy)
    };
    finding
        .also(objects)
        .also(crashes.iter().map(|(_, pod, _)| ObjectRef::pod(pod)))
        .at(crashes.iter().filter(|(row, ..)| !row.node.is_empty()).map(|(row, ..)| Place::node(&row.node)))
        .at(asked.iter().map(|event| claim(event)))
        .evidence([evidence])
        .evidence(crashes.iter().take(2).map(|(.., said)| said.clone()))
        .evidence(asked.iter().take(2).map(|event| Evidence::event(event)))
}

fn claim(event: &Event) -> Place {
    Place::Volume(format!("{}/{}", event.involved_object.namespace, event.involved_object.name))
}

/// VolumeSnapshots that claims wait for, and that no controller has touched.
fn unserved(facts: &Facts<'_>, waiting: &[(&str, &Event)]) -> Result<Answered, Gap> {
    let read = facts.each(waiting.iter().copied(), |facts, (name, event)| {
        let ns = &event.involved_object.namespace;
        facts.list::<VolumeSnapshot>(Some(ns), Select::field(format!("metadata.name={name}")))
    })?;
    let mut findings = Vec::new();
    for ((_, event), snapshots) in &read.seen {
        let untouched = snapshots.iter().find(|it| {
            it.status.is_none()
                && it.metadata.deletion_timestamp.is_none()
                && !is_young(facts, it.metadata.creation_timestamp)
        });
        findings.extend(untouched.map(|snapshot| {
            let object = ObjectRef::of::<VolumeSnapshot>(&snapshot.metadata);
            let name = &object.name;
            let summary = say!("no snapshot controller looked at VolumeSnapshot {}: none runs in this cluster", name);
            let remedy = Remedy::guided(install())
                .command("kubectl get pods -A | grep snapshot-controller")
                .command(format!("kubectl -n {} describe volumesnapshot {name}", object.namespace));
            Finding::warning(object.clone(), summary, remedy)
                .at([claim(event)])
                .since(snapshot.metadata.creation_timestamp)
                .evidence([Evidence::field(&object, "status", "none"), Evidence::event(event)])
        }));
    }
    Ok(Answered::judged(findings).blind(read.blind))
}

#[cfg(test)]
mod tests {
    use super::snapshot;

    #[test]
    fn the_snapshot_is_named_by_the_provisioner() {
        let words = "failed to provision volume with StorageClass \"rook-ceph-block\": error getting handle for DataSource Type VolumeSnapshot by Name before-upgrade: snapshot before-upgrade is not Ready";
        assert_eq!(snapshot(words), Some("before-upgrade"));
        assert_eq!(snapshot("rados: ret=-110, Connection timed out"), None);
    }
}
