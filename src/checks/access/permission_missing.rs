use std::collections::{BTreeMap, BTreeSet};

use super::api_server;
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy};
use crate::facts::{Fact, Facts, Gap, Unknown, kinds};
use crate::say;

check! {
    /// # What it looks at
    /// The reads that many checks build on (CephClusters, operators, nodes, pods, DaemonSets, events, Leases,
    /// claims and volumes, commands in pods) for those that the API server refused with 403.
    ///
    /// # Why it matters
    /// What may not be read is unknown, never healthy: each refused read blinds the checks that need it.
    ///
    /// # Confirm by hand
    /// `kubectl auth can-i --list -n <ns>`, and `kubectl auth can-i create pods --subresource=exec -n <ns>`.
    ///
    /// # Fix
    /// The commands that are printed make a role with just the missing rules; bind it to the user or service
    /// account that runs the diagnosis.
    ///
    /// # References
    /// Kubernetes: Using RBAC Authorization.
    "ACC002" "permission-missing" Access,
    needs: [
        Discovery, CephClusters, Operators, Nodes, DaemonSets, NodeLeases, RebootEvents, ClusterEvents, OperatorEvents,
        MonPods, CsiPods, MonDeployments, CsiDeployments, PrepareJobs, NetworkAttachments,
        StorageClasses, Claims, Volumes, Attachments, CephStatus,
    ],
    explained_by: [(access::api_unreachable, Cluster)],
    about_sight,
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let mut asked = Asked::default();
    asked.note(facts.ceph_clusters());
    asked.note(facts.operators());
    let cluster = match facts.cluster() {
        Ok(cluster) => {
            ask_for_cluster(facts, &mut asked);
            ObjectRef::cluster(cluster)
        }
        Err(_) => api_server(),
    };
    if !asked.wanted.is_empty() {
        return Err(Gap::Wanted(asked.wanted));
    }
    // What looks guilty is opened by the checks themselves: logs, single objects, pods of other namespaces.
    let refused: Vec<Unknown> = facts.refused().into_iter().filter(|unknown| is_missed(facts, &unknown.fact)).collect();
    if refused.is_empty() {
        return Ok(Answered::passed());
    }
    Ok(Answered::judged(vec![finding(cluster, &refused)]))
}

/// The CephClusters of all namespaces are not missed by one who asked for those of one namespace and got them.
fn is_missed(facts: &Facts<'_>, fact: &Fact) -> bool {
    let is_everywhere = matches!(fact, Fact::List { kind, ns: None, .. } if *kind == kinds::CEPH_CLUSTER);
    match facts.cluster() {
        Ok(_) => !is_everywhere,
        Err(_) => true,
    }
}

fn ask_for_cluster(facts: &Facts<'_>, asked: &mut Asked) {
    asked.note(facts.nodes());
    asked.note(facts.daemon_sets());
    asked.note(facts.node_leases());
    asked.note(facts.reboot_events());
    asked.note(facts.cluster_events());
    asked.note(facts.operator_events());
    asked.note(facts.mon_pods());
    asked.note(facts.csi_pods());
    asked.note(facts.mon_deployments());
    asked.note(facts.csi_deployments());
    asked.note(facts.prepare_jobs());
    asked.note(facts.network_attachments());
    asked.note(facts.storage_classes());
    asked.note(facts.claims());
    asked.note(facts.volumes());
    asked.note(facts.attachments());
    asked.note(facts.ceph_status());
}

#[derive(Default)]
struct Asked {
    wanted: BTreeSet<Fact>,
}

impl Asked {
    /// Sees to it that the fact is read; what came of it is for the checks that need it.
    fn note<T>(&mut self, read: Result<T, Gap>) {
        if let Err(Gap::Wanted(more)) = read {
            self.wanted.extend(more);
        }
    }
}

/// A rule of a role: where it holds (all namespaces if empty), its verbs, its resource.
type Rule = (String, &'static str, String);

fn rule(fact: &Fact) -> Option<Rule> {
    let read = "get,list";
    Some(match fact {
        Fact::Discovery => return None,
        Fact::Rows { kind, ns, .. } | Fact::Object { kind, ns, .. } | Fact::Whole { kind, ns, .. } => {
            (ns.clone(), read, kind.resource())
        }
        Fact::List { kind, ns, .. } => (ns.clone().unwrap_or_default(), read, kind.resource()),
        Fact::Log { ns, .. } => (ns.clone(), "get", "pods/log".to_owned()),
        Fact::Ceph { ns, .. } | Fact::OkToStop { ns, .. } | Fact::Socket { ns, .. } => {
            (ns.clone(), "create", "pods/exec".to_owned())
        }
    })
}

fn finding(object: ObjectRef, refused: &[Unknown]) -> Finding {
    let mut roles: BTreeMap<(String, &str), BTreeSet<String>> = BTreeMap::new();
    for (ns, verbs, resource) in refused.iter().filter_map(|unknown| rule(&unknown.fact)) {
        roles.entry((ns, verbs)).or_default().insert(resource);
    }
    let missing: BTreeSet<&str> = roles.values().flatten().map(String::as_str).collect();
    let missing = missing.into_iter().collect::<Vec<_>>().join(", ");
    let summary = match refused.len() {
        1 => say!("1 read is not permitted: {}", missing),
        count => say!("{} reads are not permitted: {}", count, missing),
    };
    let remedy = Remedy::guided(say!(
        "as an admin, with WHO set to the user that runs the diagnosis, create and bind these roles (for a service account write --serviceaccount=<namespace>:<name>)"
    ));
    let remedy = roles.iter().enumerate().fold(remedy, |remedy, (number, ((ns, verbs), resources))| {
        commands(ns, verbs, resources, number + 1).into_iter().fold(remedy, Remedy::command)
    });
    Finding::warning(object, summary, remedy).evidence(refused.iter().map(Evidence::unknown))
}

fn commands(ns: &str, verbs: &str, resources: &BTreeSet<String>, number: usize) -> [String; 2] {
    let name = format!("rookdoctor-{number}");
    let resources = resources.iter().map(String::as_str).collect::<Vec<_>>().join(",");
    let (role, at) = if ns.is_empty() { ("clusterrole", String::new()) } else { ("role", format!(" -n {ns}")) };
    [
        format!("kubectl create {role} {name}{at} --verb={verbs} --resource={resources}"),
        format!("kubectl create {role}binding {name}{at} --{role}={name} --user=\"$WHO\""),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_made_where_the_rules_hold() {
        let resources = BTreeSet::from(["nodes".to_owned(), "pods".to_owned()]);
        let [role, binding] = commands("", "get,list", &resources, 1);
        assert_eq!(role, "kubectl create clusterrole rookdoctor-1 --verb=get,list --resource=nodes,pods");
        assert!(binding.starts_with("kubectl create clusterrolebinding rookdoctor-1 --clusterrole=rookdoctor-1"));
        let [role, _] = commands("rook-ceph", "create", &BTreeSet::from(["pods/exec".to_owned()]), 2);
        assert_eq!(role, "kubectl create role rookdoctor-2 -n rook-ceph --verb=create --resource=pods/exec");
    }
}
