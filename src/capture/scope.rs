//! What of a cluster matters: kinds, namespaces, pods and their logs.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::diagnosis::Scope;
use crate::facts::archive::Tree;
use crate::facts::live::Resource;
use crate::facts::{Fact, Kind, kinds};

/// Kinds of which most objects belong to strangers: read in the namespaces that matter only.
pub const WITHIN: [Kind; 8] = [
    kinds::POD,
    kinds::CONFIG_MAP,
    kinds::SERVICE,
    kinds::REPLICA_SET,
    kinds::JOB,
    kinds::LEASE,
    kinds::DISRUPTION_BUDGET,
    kinds::NETWORK_POLICY,
];

/// Group, version and plural of a kind that no check reads, and whether it has a namespace.
type Builtin = (&'static str, &'static str, &'static str, bool);

pub const CRDS: Builtin = ("apiextensions.k8s.io", "v1", "customresourcedefinitions", false);

/// What `--all` reads of what every cluster has. Never Secrets.
pub const BUILTIN: &[Builtin] = &[
    ("", "v1", "endpoints", true),
    ("", "v1", "serviceaccounts", true),
    ("", "v1", "resourcequotas", true),
    ("", "v1", "limitranges", true),
    ("", "v1", "replicationcontrollers", true),
    ("apps", "v1", "statefulsets", true),
    ("apps", "v1", "controllerrevisions", true),
    ("batch", "v1", "cronjobs", true),
    ("discovery.k8s.io", "v1", "endpointslices", true),
    ("networking.k8s.io", "v1", "ingresses", true),
    ("rbac.authorization.k8s.io", "v1", "roles", true),
    ("rbac.authorization.k8s.io", "v1", "rolebindings", true),
    ("rbac.authorization.k8s.io", "v1", "clusterroles", false),
    ("rbac.authorization.k8s.io", "v1", "clusterrolebindings", false),
    ("scheduling.k8s.io", "v1", "priorityclasses", false),
    ("node.k8s.io", "v1", "runtimeclasses", false),
    ("apiregistration.k8s.io", "v1", "apiservices", false),
    ("storage.k8s.io", "v1", "csistoragecapacities", true),
];

impl From<Builtin> for Resource {
    fn from((group, version, plural, namespaced): Builtin) -> Self {
        Self { group: group.to_owned(), version: version.to_owned(), plural: plural.to_owned(), namespaced }
    }
}

/// Parts of the names of what Rook, CSI, Multus and Kube-OVN run.
const OURS: [&str; 11] = [
    "rook",
    "ceph",
    "csi-addons",
    "csi-rbdplugin",
    "csi-nfsplugin",
    "multus",
    "whereabouts",
    "kube-ovn",
    "ovs-ovn",
    "ovn-central",
    "snapshot-controller",
];
/// Groups whose objects lie beside what runs for them.
const OUR_GROUPS: [&str; 3] = ["ceph.rook.io", "csi.ceph.io", "csiaddons.openshift.io"];

/// The namespaces in which something runs that belongs to Rook or its ground, those of CephClusters first.
pub fn namespaces(tree: &Tree, scope: &Scope) -> Vec<String> {
    let mut clusters = BTreeSet::new();
    let mut others = BTreeSet::from(["kube-system".to_owned()]);
    others.extend(scope.operator_namespace.clone());
    clusters.extend(scope.namespace.clone());
    for (path, file) in tree.below("namespaces/") {
        let [_, ns, group, plural] = path.split('/').collect::<Vec<_>>()[..] else { continue };
        let Some(plural) = plural.strip_suffix(".yaml") else { continue };
        let is_asked = scope.namespace.as_ref().is_none_or(|asked| asked == ns);
        if plural == "cephclusters" && is_asked && !objects(file).is_empty() {
            clusters.insert(ns.to_owned());
        }
        let runs = ["deployments", "daemonsets"].contains(&plural) && group == "apps";
        let is_ours = |object: &Value| OURS.iter().any(|part| text(object, "/metadata/name").contains(part));
        let holds = OUR_GROUPS.contains(&group) && plural != "cephclusters" && !objects(file).is_empty();
        if holds || (runs && objects(file).iter().any(is_ours)) {
            others.insert(ns.to_owned());
        }
    }
    let others = others.difference(&clusters).cloned();
    clusters.iter().cloned().chain(others).collect()
}

/// The monitors that run: pod and daemon.
pub fn mons(tree: &Tree, ns: &str) -> Vec<(String, String)> {
    let mons = pods(tree, ns)
        .into_iter()
        .filter(|pod| text(pod, "/metadata/labels/app") == "rook-ceph-mon" && text(pod, "/status/phase") == "Running");
    mons.map(|pod| (text(&pod, "/metadata/name").to_owned(), format!("mon.{}", text(&pod, "/metadata/labels/mon"))))
        .collect()
}

/// The logs of every container that ran, the newest first: all current ones before any previous one.
pub fn logs(tree: &Tree, namespaces: &[String]) -> Vec<Fact> {
    let (mut current, mut previous) = (Vec::new(), Vec::new());
    for ns in namespaces {
        for pod in pods(tree, ns) {
            let statuses = ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"];
            let statuses = statuses.iter().filter_map(|field| pod["status"][field].as_array()).flatten();
            for status in statuses {
                let log = |previous| Fact::Log {
                    ns: ns.clone(),
                    pod: text(&pod, "/metadata/name").to_owned(),
                    container: text(status, "/name").to_owned(),
                    previous,
                };
                if !text(status, "/containerID").is_empty() {
                    current.push(log(false));
                }
                if status.pointer("/lastState/terminated").is_some() {
                    previous.push(log(true));
                }
            }
        }
    }
    current.into_iter().chain(previous).collect()
}

fn pods(tree: &Tree, ns: &str) -> Vec<Value> {
    let file = tree.file(&format!("namespaces/{ns}/core/pods.yaml"));
    file.map(objects).unwrap_or_default()
}

fn objects(file: &crate::facts::archive::File) -> Vec<Value> {
    file.objects().unwrap_or_default()
}

fn text<'o>(object: &'o Value, path: &str) -> &'o str {
    object.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tree(files: &[(&str, Value)]) -> Tree {
        let mut tree = Tree::default();
        for (path, items) in files {
            let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
            tree.write(path, list.to_string().into_bytes());
        }
        tree
    }

    #[test]
    fn namespaces_of_strangers_do_not_matter() {
        let named = |name: &str| json!([{"metadata": {"name": name}}]);
        let tree = tree(&[
            ("namespaces/shop/apps/deployments.yaml", named("ledger")),
            ("namespaces/net/apps/daemonsets.yaml", named("kube-multus-ds")),
            ("namespaces/storage/ceph.rook.io/cephclusters.yaml", named("main")),
            ("namespaces/other/ceph.rook.io/cephclusters.yaml", json!([])),
        ]);
        assert_eq!(namespaces(&tree, &Scope::default()), ["storage", "kube-system", "net"]);
        let elsewhere =
            Scope { namespace: Some("x".into()), operator_namespace: Some("op".into()), ..Scope::default() };
        assert_eq!(namespaces(&tree, &elsewhere), ["x", "kube-system", "net", "op"]);
    }

    #[test]
    fn only_containers_that_ran_have_logs() {
        let status = json!({"initContainerStatuses": [{"name": "init", "containerID": "x"}], "containerStatuses": [
            {"name": "main", "containerID": "x", "lastState": {"terminated": {"exitCode": 1}}},
            {"name": "waits", "state": {"waiting": {}}, "lastState": {}}]});
        let pods = json!([{"metadata": {"name": "p"}, "status": status}, {"metadata": {"name": "pending"}}]);
        let tree = tree(&[("namespaces/a/core/pods.yaml", pods)]);
        let logs: Vec<String> = logs(&tree, &["a".into(), "b".into()]).iter().map(ToString::to_string).collect();
        assert_eq!(logs, ["log of a/p/init", "log of a/p/main", "log of a/p/main (previous)"]);
    }

    #[test]
    fn secrets_are_in_no_list() {
        assert!(BUILTIN.iter().all(|(_, _, plural, _)| !plural.contains("secret")));
    }
}
