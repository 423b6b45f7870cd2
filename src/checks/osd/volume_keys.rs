//! Encrypted volumes of Ceph CSI whose key cannot be had.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use crate::check::{Evidence, Finding, ObjectRef, Place, Remedy};
use crate::checks::opr::older;
use crate::facts::tables::VolumeRow;
use crate::facts::{Cluster, Facts, Gap, Settled, Unknown, kinds, known};
use crate::objects::kube::{Claim, Event, Pod};
use crate::say;

/// Provisioner and kubelet try again every few minutes; an older event says nothing of now.
const CURRENT: SignedDuration = SignedDuration::from_mins(15);
/// Ceph CSI about the key of a volume.
const WORDS: &[&str] = &["encryption kms configuration", "failed connecting to Vault"];

/// One finding for all claims and pods that wait for a key now.
pub(super) fn look<'s>(
    facts: &Facts<'s>,
    events: impl Iterator<Item = &'s Event>,
    blind: &mut Vec<Unknown>,
) -> Result<Option<Finding>, Gap> {
    let recent = events.filter(|event| is_of_volume(facts, event));
    let opened = facts.each(recent, |facts, event| is_stuck(facts, event))?;
    blind.extend(opened.blind);
    let stuck: Vec<&Event> = opened.seen.iter().filter(|(_, stuck)| *stuck).map(|(event, _)| *event).collect();
    if stuck.is_empty() {
        return Ok(None);
    }
    let rows = known(facts.volumes().settled()?, blind).unwrap_or_default();
    Ok(finding(facts.cluster()?, &stuck, rows))
}

fn is_of_volume(facts: &Facts<'_>, event: &Event) -> bool {
    WORDS.iter().any(|text| event.message.contains(text)) && !older(facts, event.last_seen(), CURRENT)
}

/// Whether the claim or pod that an event is about still waits.
fn is_stuck(facts: &Facts<'_>, event: &Event) -> Result<bool, Gap> {
    let about = &event.involved_object;
    Ok(match about.kind.as_str() {
        "PersistentVolumeClaim" => {
            facts.object::<Claim>(&about.namespace, &about.name)?.is_some_and(|claim| claim.status.phase == "Pending")
        }
        "Pod" => facts.object::<Pod>(&about.namespace, &about.name)?.is_some_and(|pod| pod.status.phase == "Pending"),
        _ => false,
    })
}

fn finding(cluster: &Cluster, events: &[&Event], rows: &[VolumeRow]) -> Option<Finding> {
    let first = events.first()?;
    let claims: BTreeSet<String> = events.iter().filter_map(|event| claim_of(event, rows)).collect();
    let about = &first.involved_object;
    let kind = if about.kind == "Pod" { kinds::POD } else { kinds::CLAIM };
    let summary = say!(
        "the key management service gives no key for encrypted volumes: {}",
        claims.iter().take(4).cloned().collect::<Vec<_>>().join(", ")
    );
    let remedy = Remedy::guided(say!("bring the service back, or correct its entry (encryptionKMSID of the StorageClass, ConfigMap rook-ceph-csi-kms-config); CSI tries again by itself"))
        .command(format!("kubectl -n {} get configmap rook-ceph-csi-kms-config -o yaml", cluster.operator_ns));
    Some(
        Finding::critical(ObjectRef::new(kind, &about.namespace, &about.name), summary, remedy)
            .at(claims.into_iter().map(Place::Volume))
            .since(events.iter().filter_map(|event| event.first_seen()).min())
            .evidence(events.iter().take(4).map(|event| Evidence::event(event))),
    )
}

/// The claim that an event is about, directly or by the volume that it quotes.
fn claim_of(event: &Event, rows: &[VolumeRow]) -> Option<String> {
    let about = &event.involved_object;
    if about.kind == "PersistentVolumeClaim" {
        return Some(format!("{}/{}", about.namespace, about.name));
    }
    let name = event.message.split_once("for volume \"")?.1.split('"').next()?;
    rows.iter().find(|row| row.name == name).map(|row| row.claim.clone()).filter(|claim| !claim.is_empty())
}
