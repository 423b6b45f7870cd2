use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::{driver_object, is_ceph_driver, is_young};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity};
use crate::facts::tables::{AttachmentRow, NodeRow, VolumeRow};
use crate::facts::{Facts, Gap, both, kinds};
use crate::lang::listed;
use crate::objects::kube::{Claim, Event, Node, Pod, condition};
use crate::say;

/// Pods of a lost node are evicted after five minutes; before that the node may just be restarting.
const LOST: SignedDuration = SignedDuration::from_mins(5);
const CURRENT: SignedDuration = SignedDuration::from_mins(15);

check! {
    /// # What it looks at
    /// VolumeAttachments of Ceph drivers to nodes that are gone, or NotReady for more than five minutes, for
    /// claims that one node at a time may use; and `Multi-Attach error` events of the last fifteen minutes for
    /// pods that still wait.
    ///
    /// # Why it matters
    /// A volume with ReadWriteOnce stays attached to a lost node for ever: Kubernetes cannot know that the
    /// node has stopped writing. A StatefulSet does not even replace its pod, which stays Terminating.
    ///
    /// # Confirm by hand
    /// `kubectl get volumeattachments | grep <node>`, `kubectl get pods -A -o wide | grep Terminating`. After a forced
    /// delete of the pod the volume is free in eight to ten minutes. `ceph osd blocklist add <address of the node>`
    /// cuts off a node that cannot be proved off.
    ///
    /// # Fix
    /// Bring the node back, or prove that it is powered off and taint it
    /// `node.kubernetes.io/out-of-service=nodeshutdown:NoExecute`: its pods are then removed and its volumes
    /// detached. With the node still running that taint lets two nodes write to one
    /// volume. Where both pods live it is the workload that asks twice: `Recreate`, or a second claim.
    ///
    /// # References
    /// Kubernetes: Non-graceful node shutdown; Rook: Storage-Configuration/Block-Storage-RBD, RBD async fencing.
    "CSI012" "volume-stuck-attached" Csi,
    needs: [Attachments, Nodes, Volumes, AttachEvents, Objects],
    explained_by: [(node::node_not_ready, Node), (csi::controller_unhealthy, Object)],
}

/// A volume that is held on a node.
struct Held<'s> {
    attachment: &'s AttachmentRow,
    claim: &'s Claim,
    /// The newest word of a pod that waits for it.
    event: Option<&'s Event>,
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let ((attachments, nodes), (volumes, events)) =
        both(both(facts.attachments(), facts.nodes()), both(facts.volumes(), facts.attach_events()))?;
    let events = events.iter().filter(|event| is_current(facts, event)).collect::<Vec<_>>();
    let is_away = |name: &str| !nodes.iter().any(|node| node.name == name && node.is_ready());
    let asked_twice = |volume: &str| {
        events.iter().copied().filter(|e| e.message.contains(&format!("\"{volume}\""))).max_by_key(|e| e.last_seen())
    };
    let suspects = attachments.iter().filter(|row| row.attached && is_ceph_driver(&row.attacher));
    let suspects = suspects.filter(|row| is_away(&row.node) || asked_twice(&row.volume).is_some());
    let read = facts.each(suspects, |facts, row| held(facts, row, volumes, asked_twice(&row.volume)))?;
    let mut by_node: BTreeMap<&str, Vec<Held<'_>>> = BTreeMap::new();
    for (row, held) in read.seen {
        by_node.entry(&row.node).or_default().extend(held);
    }
    let mut findings = Vec::new();
    let mut blind = read.blind;
    let lost = facts
        .each(by_node.keys().filter(|node| is_away(node)).copied().collect::<Vec<_>>(), |facts, node| {
            since(facts, node, nodes)
        })?;
    for (node, since) in &lost.seen {
        let is_old = since.is_none_or(|since| facts.now().duration_since(since) >= LOST);
        let held = by_node.remove(node).unwrap_or_default();
        if is_old || held.iter().any(|held| held.event.is_some()) {
            let is_gone = nodes.iter().all(|row| row.name != *node);
            findings.extend(on_lost_node(node, is_gone, *since, &held));
        }
    }
    blind.extend(lost.blind);
    let alive = by_node.iter().filter(|(node, _)| !is_away(node)).flat_map(|(_, held)| held);
    findings.extend(alive.filter_map(on_live_node));
    Ok(Answered::judged(findings).blind(blind))
}

fn is_current(facts: &Facts<'_>, event: &Event) -> bool {
    let seen = event.last_seen().is_some_and(|seen| facts.now().duration_since(seen) <= CURRENT);
    seen && event.message.contains("Multi-Attach error")
}

/// The volume of this attachment, if only one node at a time may use it; its event, if the pod still waits.
fn held<'s>(
    facts: &Facts<'s>,
    attachment: &'s AttachmentRow,
    volumes: &[VolumeRow],
    event: Option<&'s Event>,
) -> Result<Option<Held<'s>>, Gap> {
    let row = volumes.iter().find(|row| row.name == attachment.volume);
    let Some((ns, name)) = row.and_then(|row| row.claim.split_once('/')) else { return Ok(None) };
    let waiting = |event: &Event| facts.object::<Pod>(&event.involved_object.namespace, &event.involved_object.name);
    let (claim, pod) = both(facts.object::<Claim>(ns, name), event.map(waiting).transpose())?;
    let waits =
        pod.flatten().is_some_and(|pod| pod.status.phase == "Pending" && pod.metadata.deletion_timestamp.is_none());
    // A volume that moves to another node is asked for a moment before it is free.
    let event = event.filter(|event| waits && !is_young(facts, event.first_seen()));
    let single = |claim: &&Claim| claim.spec.access_modes.iter().all(|mode| mode.starts_with("ReadWriteOnce"));
    Ok(claim.filter(single).map(|claim| Held { attachment, claim, event }))
}

/// Since when the node is not Ready; none if it is gone.
fn since(facts: &Facts<'_>, node: &str, nodes: &[NodeRow]) -> Result<Option<Timestamp>, Gap> {
    if nodes.iter().all(|row| row.name != node) {
        return Ok(None);
    }
    let node = facts.object::<Node>("", node)?;
    let ready = node.and_then(|node| condition(&node.status.conditions, "Ready"));
    Ok(ready.and_then(|ready| ready.last_transition_time))
}

fn on_lost_node(node: &str, is_gone: bool, since: Option<Timestamp>, held: &[Held<'_>]) -> Option<Finding> {
    let claims: BTreeSet<String> = held.iter().map(Held::name).collect();
    let names = listed(&claims);
    let waiting = held.iter().any(|held| held.event.is_some());
    let severity = if waiting { Severity::Critical } else { Severity::Warning };
    let summary = say!("{} stays attached to {}, which is lost: no other node can use it", names, node);
    let remedy = if is_gone { of_gone_node(node, held) } else { of_dark_node(node) };
    (!held.is_empty()).then(|| {
        Finding::new(severity, ObjectRef::node(node), summary, remedy)
            .also(held.iter().map(|held| ObjectRef::of::<Claim>(&held.claim.metadata)))
            .also(held.first().map(|held| driver_object(&held.attachment.attacher)))
            .at([Place::node(node)])
            .at(claims.into_iter().map(Place::Volume))
            .since(since)
            .evidence(held.iter().take(4).map(Held::evidence))
            .evidence(held.iter().filter_map(|held| held.event).take(4).map(Evidence::event))
    })
}

/// The taint is only tried out: applied to a node that still runs it lets two nodes write to one volume.
fn of_dark_node(node: &str) -> Remedy {
    Remedy::guided(say!(
        "bring {} back; only if it is proven to be powered off, and stays so, taint it out-of-service (the last command without --dry-run=server): its pods are then removed and its volumes detached; take the taint away before it boots again",
        node
    ))
    .command(format!("kubectl get volumeattachments | grep {node}"))
    .command(format!("kubectl get pods -A -o wide --field-selector spec.nodeName={node}"))
    .command(format!(
        "kubectl taint nodes {node} node.kubernetes.io/out-of-service=nodeshutdown:NoExecute --dry-run=server"
    ))
}

/// A node that does not exist cannot be tainted. The controller detaches its volumes after some minutes.
fn of_gone_node(node: &str, held: &[Held<'_>]) -> Remedy {
    let remedy = Remedy::guided(say!(
        "the node object of {} is gone, so Kubernetes detaches its volumes within ten minutes by itself; if one stays, prove that the machine is powered off, then delete that VolumeAttachment: while the machine runs, two nodes could write to one volume",
        node
    ))
    .command(format!("kubectl get volumeattachments | grep {node}"));
    held.iter().take(4).fold(remedy, |remedy, held| {
        remedy.command(format!("kubectl describe volumeattachment {}", held.attachment.name))
    })
}

fn on_live_node(held: &Held<'_>) -> Option<Finding> {
    let event = held.event?;
    let node = &held.attachment.node;
    let (name, pod) = (held.name(), &event.involved_object.name);
    let summary = say!("pod {} waits for {}, which another pod on {} uses", pod, name, node);
    let remedy = Remedy::guided(say!(
        "end the pod that uses {} on {}; if a Deployment makes both, give it the strategy Recreate, as the access mode allows one node at a time",
        name,
        node
    ))
    .command(format!("kubectl -n {} describe pvc {}", held.claim.metadata.namespace, held.claim.metadata.name));
    Some(
        Finding::warning(ObjectRef::of::<Claim>(&held.claim.metadata), summary, remedy)
            .also([driver_object(&held.attachment.attacher)])
            .at([Place::node(node), Place::Volume(name)])
            .since(event.first_seen())
            .evidence([Evidence::event(event), held.evidence()]),
    )
}

impl Held<'_> {
    fn name(&self) -> String {
        format!("{}/{}", self.claim.metadata.namespace, self.claim.metadata.name)
    }

    fn evidence(&self) -> Evidence {
        let attachment = ObjectRef::new(kinds::VOLUME_ATTACHMENT, "", &self.attachment.name);
        Evidence::field(&attachment, "status.attached", format!("{} on {}", self.name(), self.attachment.node))
    }
}
