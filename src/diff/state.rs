//! What a report does not hold: nodes, daemons, and what Ceph says of itself.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::facts::tables::{DeploymentRow, PodRow};
use crate::facts::{Facts, Gap, Select, Unknown, both};
use crate::objects::ceph::{Status, Versions, version_number};
use crate::objects::kube::{Condition, Node};
use crate::report::clean::{self, clean};

/// Things by name, each with its attributes.
pub type Things = BTreeMap<String, BTreeMap<&'static str, String>>;

/// What was seen, or why it was not.
#[derive(Clone, Debug)]
pub enum Known {
    Seen(Things),
    Not(String),
}

/// The state of one cluster.
#[derive(Clone, Debug)]
pub struct State {
    nodes: Known,
    daemons: Known,
    ceph: Known,
    versions: Known,
}

impl State {
    /// What is compared, in the order in which it is shown.
    pub fn areas(&self) -> [(&'static str, &Known); 4] {
        // The versions that a report tells come right before these.
        [("versions", &self.versions), ("nodes", &self.nodes), ("daemons", &self.daemons), ("ceph", &self.ceph)]
    }
}

/// The state as far as it can be seen.
pub fn state(facts: &Facts<'_>) -> Result<State, Gap> {
    let nodes = seen(facts.list::<Node>(None, Select::all()));
    let ceph = both(seen(facts.ceph_status()), seen(facts.ceph_versions()));
    let ((nodes, daemons), (status, versions)) = both(both(nodes, daemons(facts)), ceph)?;
    Ok(State {
        nodes: known(nodes.map(|nodes| nodes.iter().map(node).collect())),
        daemons: known(daemons),
        ceph: known(status.map(health)),
        versions: known(versions.map(running)),
    })
}

/// What was read, or why not; what is still wanted stops the question.
fn seen<T>(read: Result<T, Gap>) -> Result<Result<T, String>, Gap> {
    match read {
        Ok(value) => Ok(Ok(value)),
        Err(wanted @ Gap::Wanted(_)) => Err(wanted),
        Err(Gap::Unknown(unknown)) => Ok(Err(told(&unknown))),
        Err(Gap::NotOffered(why)) => Ok(Err(why)),
        Err(Gap::NotInstalled(kind)) => Ok(Err(format!("{} are not installed", kind.resource()))),
    }
}

fn told(unknown: &Unknown) -> String {
    format!("{}: {}", unknown.fact, unknown.why)
}

fn known(things: Result<Things, String>) -> Known {
    match things {
        Ok(things) => Known::Seen(things.into_iter().map(cleaned).collect()),
        Err(why) => Known::Not(clean(&why, clean::SENTENCE)),
    }
}

/// Text of the cluster ends up on a screen.
fn cleaned((name, attributes): (String, BTreeMap<&'static str, String>)) -> (String, BTreeMap<&'static str, String>) {
    let sentence = |text: String| clean(&text, clean::SENTENCE);
    (sentence(name), attributes.into_iter().map(|(key, value)| (key, sentence(value))).collect())
}

fn node(node: &Node) -> (String, BTreeMap<&'static str, String>) {
    let info = &node.status.node_info;
    let ready = node.status.conditions.iter().find(|condition| condition.kind == "Ready").map(status_word);
    let cordoned = if node.spec.unschedulable { ", cordoned" } else { "" };
    let attributes = [
        ("status", format!("{}{cordoned}", ready.unwrap_or("Unknown"))),
        ("boot", info.boot_id.clone()),
        ("kubelet", info.kubelet_version.clone()),
        ("kernel", info.kernel_version.clone()),
        ("system", info.os_image.clone()),
        ("runtime", info.container_runtime_version.clone()),
    ];
    (node.metadata.name.clone(), present(attributes))
}

fn status_word(ready: &Condition) -> &'static str {
    match ready.status.as_str() {
        "True" => "Ready",
        "False" => "NotReady",
        _ => "Unknown",
    }
}

/// Nothing is no value: a field that one side lacks did not change.
fn present<const N: usize>(attributes: [(&'static str, String); N]) -> BTreeMap<&'static str, String> {
    attributes.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

fn health(status: &Status) -> Things {
    let osds = &status.osdmap;
    let mut pgs: Vec<String> = status.pgmap.pgs_by_state.iter().map(|it| it.state_name.clone()).collect();
    pgs.sort();
    let mut quorum = status.quorum_names.clone();
    quorum.sort();
    let one = |name: &str, value: String| (name.to_owned(), BTreeMap::from([("", value)]));
    Things::from([
        one("health", status.health.status.clone()),
        one("quorum", quorum.join(", ")),
        one("OSDs", format!("{} of {} up", osds.num_up_osds, osds.num_osds)),
        one("states of PGs", pgs.join(", ")),
    ])
}

/// Which versions of Ceph run, by daemon: `osd: 19.2.1 ×3`.
fn running(versions: &Versions) -> Things {
    let of = |counts: &BTreeMap<String, u32>| {
        let mut text = String::new();
        for (version, count) in counts {
            let comma = if text.is_empty() { "" } else { ", " };
            let _ = write!(text, "{comma}{} ×{count}", version_number(version));
        }
        text
    };
    let kinds = versions.0.iter().filter(|(kind, counts)| *kind != "overall" && !counts.is_empty());
    kinds.map(|(kind, counts)| (format!("running {kind}"), BTreeMap::from([("version", of(counts))]))).collect()
}

/// The pods of the cluster and the operator under the names of what owns them, with the images of their Deployments.
fn daemons(facts: &Facts<'_>) -> Result<Result<Things, String>, Gap> {
    let cluster = facts.cluster()?;
    let mut namespaces = vec![&cluster.ns, &cluster.operator_ns];
    namespaces.dedup();
    let tables = facts.each(namespaces, |facts, ns| both(facts.pods_where(ns, ""), facts.deployments_of(ns)))?;
    if let Some(unknown) = tables.blind.first() {
        return Ok(Err(told(unknown)));
    }
    let mut things = Things::new();
    for (_, (pods, deployments)) in &tables.seen {
        // Pods of jobs come and go.
        add_pods(&mut things, pods.iter().filter(|pod| !pod.is_done()));
        for deployment in *deployments {
            things.entry(deployment.name.clone()).or_default().insert("image", images(deployment));
        }
    }
    Ok(Ok(things))
}

fn images(deployment: &DeploymentRow) -> String {
    let mut images: Vec<&str> = deployment.images.iter().map(String::as_str).collect();
    images.sort_unstable();
    images.dedup();
    images.join(", ")
}

/// The one pod of a Deployment has its name; of several, each is told by its node.
fn add_pods<'p>(things: &mut Things, pods: impl Iterator<Item = &'p PodRow>) {
    let mut by_owner: BTreeMap<&str, Vec<&PodRow>> = BTreeMap::new();
    for pod in pods {
        by_owner.entry(owner(&pod.name)).or_default().push(pod);
    }
    for (owner, pods) in by_owner {
        let alone = pods.len() == 1 && pods[0].name.len() > owner.len() + "-abcde".len();
        for pod in pods {
            let placed = format!("{owner} on {}", or(&pod.node, "no node"));
            let name = match alone {
                true => owner.to_owned(),
                false if things.contains_key(&placed) => pod.name.clone(),
                false => placed,
            };
            let attributes = things.entry(name).or_default();
            attributes.insert("pod", pod.name.clone());
            attributes.insert("status", format!("{} {}/{}", pod.status, pod.ready.0, pod.ready.1));
            attributes.insert("restarts", pod.restarts.to_string());
            if alone {
                attributes.insert("node", or(&pod.node, "none").to_owned());
            }
        }
    }
}

fn or<'t>(text: &'t str, other: &'t str) -> &'t str {
    if text.is_empty() { other } else { text }
}

/// The name of the Deployment or DaemonSet in a pod's name: what stands before the parts that the server makes up,
/// which have neither vowels nor the digits 0, 1 and 3.
fn owner(pod: &str) -> &str {
    const LETTERS: &str = "bcdfghjklmnpqrstvwxz2456789";
    let made_up = |part: &str, lengths: std::ops::RangeInclusive<usize>| {
        lengths.contains(&part.len()) && part.chars().all(|c| LETTERS.contains(c))
    };
    let Some((rest, suffix)) = pod.rsplit_once('-') else { return pod };
    if !made_up(suffix, 5..=5) {
        return pod;
    }
    match rest.rsplit_once('-') {
        Some((name, hash)) if made_up(hash, 6..=10) => name,
        _ => rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_told_by_its_owner() {
        for (pod, expected) in [
            ("rook-ceph-osd-3-6f9b6c5c6c-pwq7x", "rook-ceph-osd-3"),
            ("rook-ceph-mon-a-fh7gzp5tkt-rsp9b", "rook-ceph-mon-a"),
            ("csi-rbdplugin-5fp48", "csi-rbdplugin"),
            ("kube-ovn-cni-x2x9k", "kube-ovn-cni"),
            ("static-pod", "static-pod"),
        ] {
            assert_eq!(owner(pod), expected);
        }
    }
}
