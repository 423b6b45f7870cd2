//! `oc adm inspect`, and the must-gathers of OpenShift and ODF, which are made of it. Ours is the same layout.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Found, Notes, PARTIAL, Place, Tree, WHOLE, ancestors, folder_of, is_object_file, list_of};
use crate::facts::kinds;

const JSON: &str = "_--format_json-pretty";

/// Where a file of a must-gather lies in our layout, if anything of it is read.
pub(super) fn place(path: &str) -> Option<Place> {
    let names: Vec<&str> = path.split('/').collect();
    let stays = || Some(Place::At(path.to_owned()));
    match names[..] {
        ["rookdoctor", _, ..] => stays(),
        // What `oc get` and `oc describe` printed.
        [_, "oc_output", ..] => None,
        ["namespaces", _, "oc_output", file] => file.ends_with(".yaml").then_some(Place::Inside),
        // What ODF inspected in all namespaces at once.
        ["namespaces", "all", "namespaces" | "cluster-scoped-resources", name, ..] if name != "all" => {
            place(path.strip_prefix("namespaces/all/")?)
        }
        ["ceph", "namespaces", _, "must_gather_commands" | "must_gather_commands_json_output", file] => {
            (!has_keys(file)).then(stays)?
        }
        ["ceph", "namespaces" | "cluster-scoped-resources", _, ..] => place(path.strip_prefix("ceph/")?),
        ["ceph", folder @ ("must_gather_commands" | "must_gather_commands_json_output"), file] => {
            (!has_keys(file)).then(|| Place::At(format!("ceph/namespaces/*/{folder}/{file}")))
        }
        ["ceph", "logs", file] => answer_of(file).map(|_| Place::Inside),
        // A link in place of a folder: known to be refused.
        ["namespaces", _] => stays(),
        ["namespaces", ns, file] => (is_object_file(file) && file.starts_with(ns)).then(stays)?,
        ["namespaces", _, "pods", _, file] => is_object_file(file).then(stays)?,
        ["namespaces", _, "pods", _, _, _, "logs", file] => match file {
            "current.log" | "previous.log" | "previous.insecure.log" => stays(),
            "current.insecure.log" => Some(Place::Inside),
            _ => None,
        },
        ["namespaces", _, group, resource] | ["namespaces", _, group, resource, _] => {
            (!is_secret(group, resource) && is_object_file(path)).then(stays)?
        }
        ["cluster-scoped-resources", _, _] | ["cluster-scoped-resources", _, _, _] => {
            is_object_file(path).then(stays)?
        }
        _ => None,
    }
}

fn is_secret(group: &str, resource: &str) -> bool {
    group == "core" && resource.split('.').next() == Some("secrets")
}

/// `ceph auth list` prints every key.
fn has_keys(file: &str) -> bool {
    file.starts_with("ceph_auth") || file.starts_with("ceph_config-key")
}

/// The file that has the answer, of the file that has what its command said on stderr.
fn answer_of(log: &str) -> Option<String> {
    let command = log.strip_prefix("gather-")?.strip_suffix("-debug.log")?;
    let command = command.strip_suffix("-json").unwrap_or(command);
    command.starts_with("ceph ").then(|| command.replace([' ', '/'], "_") + JSON)
}

pub(super) fn look_inside(found: &Found<'_>, tree: &mut Tree, notes: &mut Notes) {
    insecure_logs(found, tree);
    oc_output(found, tree);
    if let Some(ns) = found.ceph {
        failures(found, ns, tree);
    }
    coverage(found, tree, notes);
}

/// A log that was read without checking the certificate, where there is no other.
fn insecure_logs(found: &Found<'_>, tree: &mut Tree) {
    for (path, _) in found.below("namespaces/") {
        let Some(logs) = path.strip_suffix("/current.insecure.log") else { continue };
        let to = format!("{logs}/current.log");
        if tree.file(&to).is_none_or(|file| file.size() == 0) {
            let from = format!("{}{path}", found.root);
            if let Some(Ok(log)) = found.source.file(&from).map(|file| file.bytes().map(|log| log.into_owned())) {
                tree.write(&to, log);
            }
        }
    }
}

/// Lists that ODF takes with `oc get -o yaml`. A message in place of one is no list.
fn oc_output(found: &Found<'_>, tree: &mut Tree) {
    for (path, file) in found.below("namespaces/") {
        let names: Vec<&str> = path.split('/').collect();
        let ["namespaces", ns, "oc_output", name] = names[..] else { continue };
        let Some(stem) = name.strip_suffix(".yaml") else { continue };
        let mut by_kind: BTreeMap<kinds::Kind, Vec<Value>> = BTreeMap::new();
        for object in file.objects().unwrap_or_default() {
            let field = |path: &str| object.pointer(path).and_then(Value::as_str);
            let (Some(word), Some(version)) = (field("/kind"), field("/apiVersion")) else { continue };
            let group = version.rsplit_once('/').map_or("", |(group, _)| group);
            let known = kinds::ALL.iter().find(|kind| kind.kind == word && kind.group == group && kind.namespaced);
            if let Some(kind) = known.filter(|_| field("/metadata/namespace").is_none_or(|of| of == ns)) {
                by_kind.entry(*kind).or_default().push(object.clone());
            }
        }
        for (kind, objects) in by_kind {
            let to = format!("{}/~{stem}.json", folder_of(kind, ns));
            if tree.file(&to).is_none() {
                tree.write(&to, list_of(&objects));
            }
        }
    }
}

/// What a command said on stderr, where it gave no answer. The run with JSON is the one that is read.
fn failures(found: &Found<'_>, ns: &str, tree: &mut Tree) {
    let mut logs: Vec<&str> = found.below("ceph/logs/").map(|(path, _)| path).collect();
    logs.sort_by_key(|path| !path.ends_with("-json-debug.log"));
    for path in logs {
        let Some(answer) = path.strip_prefix("ceph/logs/").and_then(answer_of) else { continue };
        tree.share(found.source, &format!("{}{path}", found.root), format!("rookdoctor/ceph/{ns}/{answer}.stderr"));
    }
}

/// Kinds of which single objects are gathered because another one refers to them.
const REFERRED: [kinds::Kind; 2] = [kinds::VALIDATING_WEBHOOKS, kinds::MUTATING_WEBHOOKS];

fn coverage(found: &Found<'_>, tree: &Tree, notes: &mut Notes) {
    let mut cover = |what: String, how: &str| {
        notes.coverage.entry(what).or_insert_with(|| how.to_owned());
    };
    let everywhere = inspected_everywhere(found);
    for kind in kinds::ALL.iter().filter(|kind| everywhere.contains(&folder_of(**kind, "*"))) {
        cover(kind.resource(), WHOLE);
    }
    for kind in REFERRED {
        if tree.below(&format!("{}/", folder_of(kind, ""))).next().is_some() {
            cover(kind.resource(), PARTIAL);
        }
    }
    if let Some(served) = ancestors(found.root).find_map(|folder| served(found.source, folder)) {
        for kind in kinds::ALL.iter().filter(|kind| kind.is_custom()) {
            if !served.contains(&format!("{}/{}", kind.group, kind.plural)) {
                cover(kind.resource(), "not-found");
            }
        }
    }
}

/// The kinds that ODF inspected in all namespaces at once, as folders of the namespace `*`.
fn inspected_everywhere(found: &Found<'_>) -> BTreeSet<String> {
    let folder = |(path, _): (&str, _)| {
        let names: Vec<&str> = path.split('/').collect();
        let (group, resource) = match names[..] {
            ["namespaces", "all", "namespaces", _, group, resource, ..] => (group, resource),
            ["ceph", "namespaces", _, group @ "ceph.rook.io", resource, ..] => (group, resource),
            _ => return None,
        };
        let plural = resource.split('.').next().unwrap_or(resource);
        Some(format!("namespaces/*/{group}/{plural}"))
    };
    found.below("").filter_map(folder).collect()
}

/// What the API server said that it serves, as `group/plural`.
fn served(source: &Tree, folder: &str) -> Option<BTreeSet<String>> {
    let groups = source.file(&format!("{folder}aggregated-discovery-apis.yaml"))?.objects().ok()?;
    let mut served = BTreeSet::new();
    for group in groups {
        let name = group.pointer("/metadata/name").and_then(Value::as_str)?;
        let versions = group.get("versions").and_then(Value::as_array)?;
        let resources = versions.iter().filter_map(|version| version.get("resources")?.as_array()).flatten();
        served.extend(resources.filter_map(|resource| Some(format!("{name}/{}", resource.get("resource")?.as_str()?))));
    }
    Some(served).filter(|served| !served.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_odf_adds_has_its_place() {
        let at = |path: &str| match place(path) {
            Some(Place::At(to)) => to,
            Some(Place::Inside) => "inside".to_owned(),
            None => String::new(),
        };
        for (path, expected) in [
            ("namespaces/a/core/pods.yaml", "namespaces/a/core/pods.yaml"),
            ("namespaces/a/pods/p/c/c/logs/current.log", "namespaces/a/pods/p/c/c/logs/current.log"),
            ("namespaces/a/pods/p/c/c/logs/rotated/0.log", ""),
            ("namespaces/all/namespaces/b/core/pods.yaml", "namespaces/b/core/pods.yaml"),
            ("namespaces/all/pods", ""),
            (&"namespaces/all/".repeat(4000), ""),
            ("namespaces/a/oc_output/secrets", ""),
            ("namespaces/a/oc_output/storagecluster.yaml", "inside"),
            ("namespaces/a/core/secrets.yaml", ""),
            ("ceph/namespaces/a/core/secrets/s.yaml", ""),
            ("ceph/namespaces/a/ceph.rook.io/cephclusters/c.yaml", "namespaces/a/ceph.rook.io/cephclusters/c.yaml"),
            (
                "ceph/must_gather_commands_json_output/ceph_status_--format_json-pretty",
                "ceph/namespaces/*/must_gather_commands_json_output/ceph_status_--format_json-pretty",
            ),
            ("ceph/must_gather_commands/ceph_auth_list", ""),
            ("ceph/logs/gather-ceph osd tree-json-debug.log", "inside"),
            ("ceph/logs/gather-rbd-pool-debug.log", ""),
            ("ceph_logs/ceph_daemon_log_w1/ceph-mon.a.log", ""),
        ] {
            assert_eq!(at(path), expected, "{path}");
        }
    }

    #[test]
    fn the_log_of_a_command_belongs_to_its_answer() {
        let answer = "ceph_osd_pool_ls_detail_--format_json-pretty";
        for log in ["gather-ceph osd pool ls detail-debug.log", "gather-ceph osd pool ls detail-json-debug.log"] {
            assert_eq!(answer_of(log).as_deref(), Some(answer));
        }
        assert_eq!(answer_of("gather-config-osd.1-debug.log"), None);
    }
}
