//! troubleshoot.sh support bundles: `cluster-resources/<kind>/<namespace>.json`, and the answers of Ceph in a folder
//! `ceph` whose path says of which namespace they are.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{CRDS, Found, Notes, Place, Tree, WHOLE, is_object_file};
use crate::facts::kinds::{self, Kind};
use crate::facts::manifest::scoped;

/// The folder of each namespaced kind.
const NAMESPACED: [(&str, &str); 21] = [
    ("pods", "core/pods"),
    ("events", "core/events"),
    ("services", "core/services"),
    ("endpoints", "core/endpoints"),
    ("configmaps", "core/configmaps"),
    ("pvcs", "core/persistentvolumeclaims"),
    ("limitranges", "core/limitranges"),
    ("resource-quota", "core/resourcequotas"),
    ("serviceaccounts", "core/serviceaccounts"),
    ("deployments", "apps/deployments"),
    ("statefulsets", "apps/statefulsets"),
    ("daemonsets", "apps/daemonsets"),
    ("replicasets", "apps/replicasets"),
    ("jobs", "batch/jobs"),
    ("cronjobs", "batch/cronjobs"),
    ("leases", "coordination.k8s.io/leases"),
    ("endpointslices", "discovery.k8s.io/endpointslices"),
    ("network-policy", "networking.k8s.io/networkpolicies"),
    ("pod-disruption-budgets", "policy/poddisruptionbudgets"),
    ("roles", "rbac.authorization.k8s.io/roles"),
    ("rolebindings", "rbac.authorization.k8s.io/rolebindings"),
];
/// The file of each kind without a namespace.
const CLUSTERED: [(&str, &str); 8] = [
    ("namespaces", "core/namespaces"),
    ("nodes", "core/nodes"),
    ("pvs", "core/persistentvolumes"),
    ("storage-classes", "storage.k8s.io/storageclasses"),
    ("volumeattachments", "storage.k8s.io/volumeattachments"),
    ("custom-resource-definitions", "apiextensions.k8s.io/customresourcedefinitions"),
    ("clusterroles", "rbac.authorization.k8s.io/clusterroles"),
    ("clusterrolebindings", "rbac.authorization.k8s.io/clusterrolebindings"),
];
/// The collector's name of each command whose answer is read. `auth` holds every key and is not.
const COMMANDS: [(&str, &str); 9] = [
    ("status", "ceph_status"),
    ("health", "ceph_health_detail"),
    ("osd-tree", "ceph_osd_tree"),
    ("osd-pool", "ceph_osd_pool_ls_detail"),
    ("osd-df", "ceph_osd_df"),
    ("osd-status", "ceph_osd_status"),
    ("df", "ceph_df"),
    ("fs", "ceph_fs_status"),
    ("fs-ls", "ceph_fs_ls"),
];
/// Where the collector looks for Ceph unless it is told; its path then does not say so.
const DEFAULT_NAMESPACE: &str = "rook-ceph";
const CUSTOM_ERRORS: &str = "cluster-resources/custom-resources/custom-resources-errors.json";
const VERSION: &str = "cluster-info/cluster_version.json";
const NAMESPACES: &str = "cluster-resources/namespaces.json";

/// Where a file of a support bundle lies in our layout, if anything of it is read.
pub(super) fn place(path: &str) -> Option<Place> {
    let names: Vec<&str> = path.split('/').collect();
    match names[..] {
        ["cluster-info", "cluster_version.json"] => Some(Place::Inside),
        ["cluster-resources", file] => {
            if file.ends_with("-errors.json") {
                return Some(Place::Inside);
            }
            // One version wrote the volumes to a file without an extension.
            let (_, base) = CLUSTERED.iter().find(|(name, _)| *name == file.strip_suffix(".json").unwrap_or(file))?;
            Some(Place::At(format!("cluster-scoped-resources/{base}.json")))
        }
        ["cluster-resources", "pods", "logs", ns, pod, file] => {
            let container = file.strip_suffix(".log").filter(|name| !name.ends_with("-logs-errors"))?;
            let (container, log) = match container.strip_suffix("-previous") {
                Some(container) => (container, "previous"),
                None => (container, "current"),
            };
            Some(Place::At(format!("namespaces/{ns}/pods/{pod}/{container}/{container}/logs/{log}.log")))
        }
        ["cluster-resources", "custom-resources", file] => {
            if path == CUSTOM_ERRORS {
                return Some(Place::Inside);
            }
            let (plural, group, extension) = custom(file)?;
            Some(Place::At(format!("cluster-scoped-resources/{group}/{plural}.{extension}")))
        }
        ["cluster-resources", "custom-resources", crd, file] => {
            let (plural, group) = crd.split_once('.')?;
            let (ns, extension) = file.rsplit_once('.').filter(|_| is_object_file(file))?;
            Some(Place::At(format!("namespaces/{ns}/{group}/{plural}.{extension}")))
        }
        ["cluster-resources", folder, file] => {
            let (_, base) = NAMESPACED.iter().find(|(name, _)| *name == folder)?;
            let ns = file.strip_suffix(".json")?;
            Some(Place::At(format!("namespaces/{ns}/{base}.json")))
        }
        ["ceph", file] | [_, "ceph", file] | [_, _, "ceph", file] => {
            COMMANDS.iter().any(|(id, _)| kept_of(file, id)).then_some(Place::Inside)
        }
        _ => None,
    }
}

/// `plural`, `group` and extension of `plural.group.yaml`.
fn custom(file: &str) -> Option<(&str, &str, &str)> {
    let (crd, extension) = file.rsplit_once('.').filter(|_| is_object_file(file))?;
    let (plural, group) = crd.split_once('.')?;
    Some((plural, group, extension))
}

/// Whether the file is what a command answered, or why it did not.
fn kept_of(file: &str, id: &str) -> bool {
    let end = file.strip_prefix(id);
    end.is_some_and(|end| matches!(end, ".json" | "-stderr.txt" | "-errors.json" | ".json-error"))
}

pub(super) fn look_inside(found: &Found<'_>, tree: &mut Tree, notes: &mut Notes) {
    let version: Option<Value> = found.text(VERSION).and_then(|text| serde_json::from_str(&text).ok());
    notes.server_version = version.and_then(|version| Some(version.get("string")?.as_str()?.to_owned()));
    ceph(found, tree);
    reasons(found, notes);
    whole(found, tree, notes);
}

/// The answers of Ceph, each in the namespace that its path names, and what was said of those that failed.
fn ceph(found: &Found<'_>, tree: &mut Tree) {
    let mut failed: BTreeMap<(String, &str), String> = BTreeMap::new();
    for (path, file) in found.below("") {
        let names: Vec<&str> = path.split('/').collect();
        let (folders, name) = match names[..] {
            [ref folders @ .., "ceph", name] if folders.len() <= 2 => (folders, name),
            _ => continue,
        };
        let Some((id, command)) = COMMANDS.iter().find(|(id, _)| kept_of(name, id)) else { continue };
        let ns = namespace(folders, tree);
        let answer = format!("{command}_--format_json-pretty");
        if name == format!("{id}.json") {
            let to = format!("ceph/namespaces/{ns}/must_gather_commands_json_output/{answer}");
            tree.share(found.source, &format!("{}{path}", found.root), to);
        } else if let Ok(text) = file.bytes() {
            let said = failed.entry((ns, command)).or_default();
            said.push_str(String::from_utf8_lossy(&text).trim());
            said.push('\n');
        }
    }
    for ((ns, command), said) in failed.into_iter().filter(|(_, said)| said.trim().len() > 2) {
        let base = format!("rookdoctor/ceph/{ns}/{command}_--format_json-pretty");
        if said.contains("exec command: timeout") {
            tree.write(&format!("{base}.rc"), b"timeout".to_vec());
        }
        tree.write(&format!("{base}.stderr"), said.into_bytes());
    }
}

/// The folders above `ceph` are the collector's name and the namespace, each only where it was given; the
/// default namespace is never written.
fn namespace(folders: &[&str], tree: &Tree) -> String {
    match folders {
        [_, ns] => (*ns).to_owned(),
        [one] if tree.below(&format!("namespaces/{one}/ceph.rook.io/cephclusters")).next().is_some() => {
            (*one).to_owned()
        }
        _ => DEFAULT_NAMESPACE.to_owned(),
    }
}

/// What the collector says of a list that it did not get, for a namespace or for all.
fn reasons(found: &Found<'_>, notes: &mut Notes) {
    let read = |path: &str| -> Option<Value> { serde_json::from_str(&found.text(path)?).ok() };
    let mut cover = |what: String, said: &str| {
        let word = if said.contains("is forbidden") { "forbidden" } else { "error" };
        notes.coverage.insert(what, format!("{word}: {said}"));
    };
    for kind in kinds::ALL {
        let Some(name) = file_of(*kind) else { continue };
        match read(&format!("cluster-resources/{name}-errors.json")) {
            Some(Value::Array(said)) => {
                let said = said.iter().filter_map(Value::as_str);
                said.take(1).for_each(|said| cover(kind.resource(), said));
            }
            Some(Value::Object(said)) => {
                for (ns, said) in said.iter().filter_map(|(ns, said)| Some((ns, said.as_str()?))) {
                    let what = if ns.is_empty() { kind.resource() } else { scoped(&kind.resource(), Some(ns)) };
                    cover(what, said);
                }
            }
            _ => {}
        }
    }
    if let Some(Value::Object(said)) = read(CUSTOM_ERRORS) {
        for (what, said) in said.iter().filter_map(|(what, said)| Some((what, said.as_str()?))) {
            cover(what.clone(), said);
        }
    }
}

fn file_of(kind: Kind) -> Option<&'static str> {
    let group = if kind.group.is_empty() { "core" } else { kind.group };
    let base = format!("{group}/{}", kind.plural);
    NAMESPACED.iter().chain(&CLUSTERED).find(|(_, of)| *of == base).map(|(name, _)| *name)
}

/// Which kinds are there whole. All namespaces were asked if they come as the list that the server gave; of custom
/// resources a kind without objects then leaves no file.
fn whole(found: &Found<'_>, tree: &Tree, notes: &mut Notes) {
    let mut cover = |what: String| {
        notes.coverage.entry(what).or_insert_with(|| WHOLE.to_owned());
    };
    let crds = "cluster-scoped-resources/apiextensions.k8s.io/customresourcedefinitions.json";
    if tree.file(crds).is_some_and(|file| file.size() > 0) {
        cover(CRDS.to_owned());
    }
    let Some(namespaces) = all_namespaces(found, tree) else { return };
    cover(kinds::NAMESPACE.resource());
    for kind in kinds::ALL.iter().filter(|kind| kind.namespaced) {
        let everywhere = || {
            let place = |ns: &String| format!("{}.json", super::folder_of(*kind, ns));
            namespaces.iter().all(|ns| tree.file(&place(ns)).is_some())
        };
        if file_of(*kind).is_some() && everywhere() {
            cover(kind.resource());
        }
    }
    for kind in kinds::ALL.iter().filter(|kind| kind.is_custom() && collected_custom(found)) {
        cover(kind.resource());
    }
}

/// Whether custom resources were collected, kind by kind. What goes wrong before is noted under other names.
fn collected_custom(found: &Found<'_>) -> bool {
    let errors: Option<Value> = found.text(CUSTOM_ERRORS).and_then(|text| serde_json::from_str(&text).ok());
    let mut said = errors.iter().filter_map(Value::as_object).flat_map(|said| said.keys());
    let is_early = |what: &String| what.starts_with("crd") || what.starts_with("discover ");
    found.below("cluster-resources/custom-resources/").next().is_some() && !said.any(is_early)
}

/// The names of all namespaces, if this is the list of all and each was looked into.
fn all_namespaces(found: &Found<'_>, tree: &Tree) -> Option<BTreeSet<String>> {
    let list: Value = serde_json::from_str(&found.text(NAMESPACES)?).ok()?;
    let items = list.get("items").filter(|_| list.get("kind").is_some_and(|kind| kind == "NamespaceList"))?;
    let name = |item: &Value| Some(item.pointer("/metadata/name")?.as_str()?.to_owned());
    let names: BTreeSet<String> = items.as_array()?.iter().map(name).collect::<Option<_>>()?;
    let is_read = |ns: &String| tree.file(&format!("namespaces/{ns}/core/pods.json")).is_some();
    (!names.is_empty() && names.iter().all(is_read)).then_some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_their_place() {
        let at = |path: &str| match place(path) {
            Some(Place::At(to)) => to,
            Some(Place::Inside) => "inside".to_owned(),
            None => String::new(),
        };
        for (path, expected) in [
            ("cluster-resources/pods/a.json", "namespaces/a/core/pods.json"),
            ("cluster-resources/pvcs/a.json", "namespaces/a/core/persistentvolumeclaims.json"),
            ("cluster-resources/pvs", "cluster-scoped-resources/core/persistentvolumes.json"),
            ("cluster-resources/pods/logs/a/p/c.log", "namespaces/a/pods/p/c/c/logs/current.log"),
            ("cluster-resources/pods/logs/a/p/c-previous.log", "namespaces/a/pods/p/c/c/logs/previous.log"),
            ("cluster-resources/pods/logs/a/p/c-logs-errors.log", ""),
            (
                "cluster-resources/custom-resources/cephclusters.ceph.rook.io/a.yaml",
                "namespaces/a/ceph.rook.io/cephclusters.yaml",
            ),
            (
                "cluster-resources/custom-resources/subnets.kubeovn.io.json",
                "cluster-scoped-resources/kubeovn.io/subnets.json",
            ),
            (CUSTOM_ERRORS, "inside"),
            ("cluster-resources/image-pull-secrets/a/s.json", ""),
            ("secrets/a/s.json", ""),
            ("ceph/osd-pool.json", "inside"),
            ("name/ns/ceph/status-errors.json", "inside"),
            ("ceph/auth.json", ""),
            ("ceph/auth-stderr.txt", ""),
        ] {
            assert_eq!(at(path), expected, "{path}");
        }
    }
}
