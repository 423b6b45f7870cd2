use std::collections::BTreeMap;

use super::{VERSION_JOBS, daemon_of, rook_pods};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Text};
use crate::facts::tables::PodRow;
use crate::facts::{Facts, Gap, Select, Settled, both};
use crate::objects::kube::{Event, Pod};
use crate::say;

check! {
    /// # What it looks at
    /// Rook's pods, its version jobs among them, in ErrImagePull, ImagePullBackOff, InvalidImageName or
    /// ErrImageNeverPull; the kubelet's message, and the pod's Failed events where the message only says that
    /// it backs off.
    ///
    /// # Why it matters
    /// A tag that does not exist, a registry out of reach, missing credentials and an image for another
    /// processor look alike in `kubectl get pods` and need different hands. A Rook version pasted as a Ceph
    /// version (`ceph/ceph:v1.20.4`) is the classic one.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> describe pod <pod>`; on the node `crictl pull <image>`.
    ///
    /// # Fix
    /// Correct the image where it is set (`spec.cephVersion.image`, the operator's ConfigMap), the registry or
    /// its credentials. Do not edit the Deployment: Rook writes it again.
    ///
    /// # References
    /// Kubernetes: Concepts, Images; Rook: Upgrade/ceph-upgrade, "Ceph images".
    "NODE010" "image-pull-failing" Node,
    needs: [MonPods, MgrPods, OsdPods, PreparePods, MdsPods, RgwPods, GatewayPods, CsiPods, PodTables, Objects],
    explained_by: [],
}

const STATUS: &[&str] = &["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"];

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let ns = &facts.cluster()?.ns;
    let jobs = facts.each([ns], |facts, ns| facts.pods_where(ns, VERSION_JOBS));
    let (pods, jobs) = both(rook_pods(facts), jobs)?;
    let rows = pods.rows.into_iter().chain(jobs.seen.iter().flat_map(|(_, rows)| rows.iter()));
    let stuck = rows.filter(|row| STATUS.iter().any(|status| row.status.ends_with(status)));
    let opened = facts.each(stuck, |facts, row| {
        let events = format!("involvedObject.name={},reason=Failed", row.name);
        // Events only tell the reason: without them the finding stands.
        let (pod, events) =
            both(facts.pod(&row.ns, &row.name), facts.list::<Event>(Some(&row.ns), Select::field(events)).settled())?;
        Ok((pod, events.unwrap_or(&[])))
    })?;
    let mut images: BTreeMap<&str, Vec<Stuck<'_>>> = BTreeMap::new();
    for (row, (pod, events)) in &opened.seen {
        let waiting =
            pod.containers().find(|(_, status)| status.is_some_and(|status| STATUS.contains(&status.waiting_reason())));
        if let Some((container, Some(status))) = waiting {
            let message = status.state.waiting.as_ref().map_or("", |waiting| waiting.message.as_str());
            images.entry(&container.image).or_default().push(Stuck { row, pod, message, events });
        }
    }
    let findings = images.iter().map(|(image, stuck)| finding(image, stuck)).collect();
    Ok(Answered::judged(findings).blind(opened.blind).blind(pods.blind).blind(jobs.blind))
}

struct Stuck<'s> {
    row: &'s PodRow,
    pod: &'s Pod,
    message: &'s str,
    events: &'s [Event],
}

impl Stuck<'_> {
    /// The kubelet's reason: its message, or an event if the message only says that it backs off.
    fn said(&self) -> Evidence {
        let object = ObjectRef::pod(self.pod);
        let event = self.events.iter().filter(|event| decode(&event.message).is_some()).max_by_key(|it| it.last_seen());
        match event.filter(|_| decode(self.message).is_none()) {
            Some(event) => Evidence::event(event),
            None => Evidence::field(&object, "state.waiting.message", self.message),
        }
    }
}

/// One image, one cause and one remedy, however many pods wait for it.
fn finding(image: &str, stuck: &[Stuck<'_>]) -> Finding {
    let evidence: Vec<Evidence> = stuck.iter().map(Stuck::said).collect();
    let (why, fix) = evidence
        .iter()
        .find_map(|said| decode(&said.excerpt))
        .unwrap_or_else(|| (say!("the kubelet does not say why"), say!("pull it by hand on the node to see why")));
    let mut objects = stuck.iter().map(|stuck| ObjectRef::pod(stuck.pod));
    let first = objects.next().unwrap_or_else(|| ObjectRef::node(""));
    let describe = stuck.first().map(|it| format!("kubectl -n {} describe pod {}", it.row.ns, it.row.name));
    let summary = say!("image {} cannot be pulled: {}", image, why);
    let mut remedy = Remedy::guided(fix);
    remedy.commands.extend(describe);
    let places = stuck.iter().flat_map(|it| [Some(Place::node(&it.row.node)), daemon_of(it.row)]).flatten();
    Finding::critical(first, summary, remedy).also(objects).detail(image).at(places).evidence(evidence)
}

/// The kubelet's words told apart. Registries answer a missing repository like missing credentials.
fn decode(message: &str) -> Option<(Text, Text)> {
    let any = |texts: &[&str]| texts.iter().any(|text| message.contains(text));
    Some(if any(&["no match for platform", "exec format error", "no matching manifest"]) {
        (say!("it is not built for this node's processor"), say!("use an image for the node's architecture"))
    } else if any(&["manifest unknown", ": not found", "name unknown"]) {
        (
            say!("there is no such tag or repository"),
            say!(
                "correct the image where it is set (spec.cephVersion.image of the CephCluster, or the operator's ConfigMap)"
            ),
        )
    } else if any(&[
        "no such host",
        "i/o timeout",
        "connection refused",
        "network is unreachable",
        "deadline exceeded",
        "TLS handshake",
        "x509",
    ]) {
        (
            say!("the registry cannot be reached from the node"),
            say!("repair DNS, route, proxy or certificate between the node and the registry, or use a mirror"),
        )
    } else if any(&["unauthorized", "denied", "authentication required", "403 Forbidden"]) {
        (
            say!("the registry refuses access"),
            say!("check the name of the image and the pull secret of the pod's service account"),
        )
    } else if any(&["toomanyrequests", "429"]) {
        (say!("the registry limits the rate of pulls"), say!("wait, or use credentials or a mirror"))
    } else if any(&["couldn't parse image", "invalid reference format"]) {
        (say!("its name is not valid"), say!("correct the image where it is set"))
    } else if any(&["no space left"]) {
        (say!("the node's disk is full"), say!("free disk space on the node"))
    } else {
        return None;
    })
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn reasons_are_told_apart() {
        for (message, why) in [
            (
                "failed to resolve reference \"quay.io/ceph/ceph:v1.20.4\": quay.io/ceph/ceph:v1.20.4: not found",
                "no such tag",
            ),
            ("dial tcp: lookup quay.io on 10.0.0.2:53: no such host", "reached"),
            ("pull access denied, repository does not exist or may require authorization", "refuses"),
            ("no match for platform in manifest: not found", "processor"),
        ] {
            assert!(decode(message).is_some_and(|(said, _)| said.english().contains(why)), "{message}");
        }
        assert_eq!(decode("Back-off pulling image \"quay.io/ceph/ceph:v1.20.4\""), None);
    }
}
