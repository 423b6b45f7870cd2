//! Nodes that `spec.storage.nodes` names and that do not exist.

use std::collections::BTreeMap;

use super::OsdPods;
use super::prepare_jobs::is_of;
use crate::check::{Evidence, Finding, ObjectRef, Place, Remedy, Severity};
use crate::checks::opr::OPERATOR_CONFIG;
use crate::facts::tables::{NodeRow, PodRow};
use crate::facts::{Facts, Gap, Select, Settled, Unknown};
use crate::objects::kube::{ConfigMap, Node};
use crate::objects::rook::{CephCluster, Storage};
use crate::say;

const HOSTNAME: &str = "kubernetes.io/hostname";
const CUSTOM: &str = "ROOK_CUSTOM_HOSTNAME_LABEL";

/// A name that no node has, and the name that was probably meant.
pub(super) struct UnknownNode<'s> {
    pub name: &'s str,
    pub meant: Option<String>,
}

/// Looks up those that neither a prepare job nor an OSD shows to exist.
pub(super) fn unknown<'s>(
    facts: &Facts<'s>,
    storage: &'s Storage,
    prepare: &[PodRow],
    present: &BTreeMap<i64, OsdPods<'_>>,
) -> Result<(Vec<UnknownNode<'s>>, Vec<Unknown>), Gap> {
    let listed = storage.nodes.iter().map(|node| node.name.as_str()).filter(|_| !storage.use_all_nodes);
    let is_seen =
        |name: &str| prepare.iter().any(|pod| is_of(pod, name)) || present.values().any(|osd| osd.node() == Some(name));
    let unseen: Vec<&str> = listed.filter(|name| !is_seen(name)).collect();
    if unseen.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let config = match facts.object::<ConfigMap>(&facts.cluster()?.operator_ns, OPERATOR_CONFIG).settled()? {
        Ok(config) => config,
        Err(unknown) => return Ok((Vec::new(), vec![unknown])),
    };
    let custom = config.and_then(|config| config.data.get(CUSTOM)).filter(|label| !label.is_empty());
    let label = custom.map_or(HOSTNAME, String::as_str);
    let found = facts.each(unseen, |facts, name| facts.list::<Node>(None, Select::label(format!("{label}={name}"))))?;
    let absent = found.seen.iter().filter(|(_, nodes)| nodes.is_empty()).map(|(name, _)| *name);
    let unknown =
        facts.each(absent, |facts, name| Ok(UnknownNode { name, meant: meant(facts, storage, name, label)? }))?;
    Ok((unknown.seen.into_iter().map(|(_, unknown)| unknown).collect(), [found.blind, unknown.blind].concat()))
}

/// The hostname of the node that was probably meant. Only a hint: without it the finding stands.
fn meant(facts: &Facts<'_>, storage: &Storage, name: &str, label: &str) -> Result<Option<String>, Gap> {
    let Ok(rows) = facts.nodes().settled()? else { return Ok(None) };
    let Some(near) = nearest(rows, name) else { return Ok(None) };
    let Ok(node) = facts.object::<Node>("", near).settled()? else { return Ok(None) };
    let hostname = node.and_then(|node| node.metadata.labels.get(label));
    let taken = |hostname: &&String| storage.nodes.iter().any(|node| node.name == **hostname);
    Ok(hostname.filter(|hostname| !taken(hostname)).cloned())
}

/// The node of that name (whose hostname differs), else the one with the short or long form of it, else the most
/// alike.
fn nearest<'n>(rows: &'n [NodeRow], name: &str) -> Option<&'n str> {
    const ALIKE: f64 = 0.9;
    let short = |name: &str| name.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let names = || rows.iter().map(|row| row.name.as_str());
    let same = names().find(|row| *row == name).or_else(|| names().find(|row| short(row) == short(name)));
    let score = |row: &str| strsim::jaro_winkler(row, name);
    same.or_else(|| names().filter(|row| score(row) >= ALIKE).max_by(|a, b| score(a).total_cmp(&score(b))))
}

pub(super) fn finding(cluster: &CephCluster, unknown: &[UnknownNode<'_>], no_osds: bool) -> Option<Finding> {
    unknown.first()?;
    let all = unknown.len() == cluster.spec.storage.nodes.len();
    let severity = if all && no_osds { Severity::Critical } else { Severity::Warning };
    let names = unknown.iter().map(|node| match &node.meant {
        Some(meant) => format!("{} ({meant}?)", node.name),
        None => node.name.to_owned(),
    });
    let names = names.collect::<Vec<_>>().join(", ");
    let object = ObjectRef::of::<CephCluster>(&cluster.metadata);
    let summary = say!("spec.storage.nodes names hosts that no node has: {}", names);
    let remedy = Remedy::guided(say!(
        "write each name as the node's label kubernetes.io/hostname has it, or take out the nodes that are gone"
    ))
    .command("kubectl get nodes -L kubernetes.io/hostname")
    .command(format!("kubectl -n {} edit cephcluster {}", cluster.metadata.namespace, cluster.metadata.name));
    let evidence = unknown.iter().map(|node| Evidence::field(&object, "spec.storage.nodes", node.name));
    Some(
        Finding::new(severity, object.clone(), summary, remedy)
            .detail("nodes")
            .at(unknown.iter().map(|node| Place::node(node.name)))
            .evidence(evidence),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_that_was_meant_is_near() {
        let row = |name: &str| NodeRow {
            name: name.to_owned(),
            status: "Ready".into(),
            roles: String::new(),
            version: String::new(),
            address: String::new(),
            kernel: String::new(),
        };
        let rows = ["birch-cp1", "birch-w1.example.org", "birch-w2"].map(row);
        for (name, near) in [
            ("birch-w2", Some("birch-w2")),
            ("birch-w1", Some("birch-w1.example.org")),
            ("BIRCH-W2.example.org", Some("birch-w2")),
            ("birch-wk2", Some("birch-w2")),
            ("storage-7", None),
        ] {
            assert_eq!(nearest(&rows, name), near, "{name}");
        }
    }
}
