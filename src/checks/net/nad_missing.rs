use std::collections::BTreeMap;

use super::sandbox::{Blame, Failures, failures, missing_nad};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity, Text};
use crate::facts::{Facts, Gap, both, kinds};
use crate::lang::phrase;
use crate::objects::kube::Event;
use crate::objects::multus::{NetworkAttachment, Selection, selections};
use crate::objects::rook::CephCluster;
use crate::say;

check! {
    /// # What it looks at
    /// The NetworkAttachmentDefinitions that `spec.network.selectors` of the CephCluster names, and those that
    /// Multus did not find for pods that hang.
    ///
    /// # Why it matters
    /// A pod whose network does not exist never gets a sandbox. With the cluster's own networks that is every
    /// daemon; the operator waits for its canary job and goes no further.
    ///
    /// # Confirm by hand
    /// `kubectl get net-attach-def -A`, against `kubectl -n <ns> get cephcluster <name> -o
    /// jsonpath='{.spec.network.selectors}'`. A name without a namespace means the CephCluster's own.
    ///
    /// # Fix
    /// Create the NAD, or correct the selector. A running cluster's networks are not changed by a selector:
    /// daemons keep their addresses until they restart.
    ///
    /// # References
    /// Rook: CRDs/Cluster/network-providers, "Selectors"; Multus: event reason NoNetworkFound.
    "NET005" "nad-missing" Net,
    needs: [Discovery, CephClusters, NetworkAttachments, SandboxEvents, Objects],
    explained_by: [],
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.ceph_cluster()?;
    let (attachments, failures) = both(facts.network_attachments(), failures(facts))?;
    let Failures { groups, blind } = failures;
    let mut findings: Vec<Finding> = Vec::new();
    if cluster.spec.network.provider == "multus" {
        findings.extend(
            cluster.spec.network.selectors.iter().filter_map(|(role, text)| selector(cluster, role, text, attachments)),
        );
    }
    let mut asked: BTreeMap<(&str, &str), &Event> = BTreeMap::new();
    for event in groups.iter().filter(|group| group.blame == Blame::NadMissing).flat_map(|group| &group.events) {
        asked.extend(missing_nad(&event.message).map(|nad| (nad, *event)));
    }
    let absent = |ns: &str, name: &str| {
        attachments.iter().all(|nad| (nad.metadata.namespace.as_str(), nad.metadata.name.as_str()) != (ns, name))
    };
    findings.extend(asked.into_iter().filter(|((ns, name), _)| absent(ns, name)).map(|((ns, name), event)| {
        let selection = Selection { ns: ns.to_owned(), name: name.to_owned() };
        let who = say!("pod {}/{}", event.involved_object.namespace, event.involved_object.name);
        let ours = event.involved_object.namespace == cluster.metadata.namespace;
        let severity = if ours { Severity::Critical } else { Severity::Warning };
        missing(severity, &selection, who, attachments).evidence([Evidence::event(event)])
    }));
    Ok(Answered::judged(findings).blind(blind))
}

fn selector(cluster: &CephCluster, role: &str, text: &str, attachments: &[NetworkAttachment]) -> Option<Finding> {
    let object = ObjectRef::of::<CephCluster>(&cluster.metadata);
    let field = Evidence::field(&object, format!("spec.network.selectors.{role}"), text);
    let selection = match selections(text, &cluster.metadata.namespace) {
        Ok(all) => all.into_iter().next(),
        Err(error) => return Some(unreadable(cluster, role, phrase(&error)).evidence([field])),
    };
    let Some(selection) = selection else {
        return Some(unreadable(cluster, role, say!("it is empty")).evidence([field]));
    };
    let exists = attachments.iter().any(|nad| nad.full_name() == selection.full_name());
    let who = say!("the cluster's {} network", role);
    (!exists).then(|| missing(Severity::Critical, &selection, who, attachments).evidence([field]))
}

fn unreadable(cluster: &CephCluster, role: &str, error: Text) -> Finding {
    let (ns, name) = (&cluster.metadata.namespace, &cluster.metadata.name);
    let remedy = Remedy::guided(say!("write the selector as <namespace>/<name> of one NAD"))
        .command(format!("kubectl -n {ns} edit cephcluster {name}"));
    let summary = say!("the selector of the cluster's {} network cannot be read: {}", role, error);
    Finding::critical(ObjectRef::of::<CephCluster>(&cluster.metadata), summary, remedy).detail(role)
}

fn missing(severity: Severity, selection: &Selection, who: Text, attachments: &[NetworkAttachment]) -> Finding {
    let full = selection.full_name();
    let near = nearest(selection, attachments);
    let remedy = match &near {
        Some(near) => Remedy::guided(say!("create the NAD {}, or name {}, which exists", full, near)),
        None => Remedy::guided(say!("create the NAD {}, or name one that exists", full)),
    };
    let summary = match &near {
        Some(near) => say!("{} asks for the NAD {}, which does not exist; {} does", who, full, near),
        None => say!("{} asks for the NAD {}, which does not exist", who, full),
    };
    let object = ObjectRef::new(kinds::NETWORK_ATTACHMENT, &selection.ns, &selection.name);
    Finding::new(severity, object, summary, remedy.command("kubectl get net-attach-def -A")).at([Place::Network(full)])
}

/// The same name in another namespace, or a name that differs by a slip of the hand.
fn nearest(selection: &Selection, attachments: &[NetworkAttachment]) -> Option<String> {
    let distance = |nad: &&NetworkAttachment| {
        let elsewhere = usize::from(nad.metadata.namespace != selection.ns);
        2 * distance(&nad.metadata.name, &selection.name) + elsewhere
    };
    let near = attachments.iter().min_by_key(distance)?;
    (distance(&near) <= 5).then(|| near.full_name())
}

/// Letters to change, add or take away.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let change = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_hand_are_near() {
        for (a, b, expected) in
            [("public-net", "public-net", 0), ("public-net", "public", 4), ("pubilc", "public", 2), ("", "ab", 2)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }
}
