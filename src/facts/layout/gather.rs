//! kubectl-gather: one file for each object, `cluster` for those without a namespace, no folder for the core group.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{CRDS, Found, Notes, Place, Tree, WHOLE, ancestors, is_object_file, list_of};
use crate::facts::kinds;

/// Where a file of kubectl-gather lies in our layout, if anything of it is read.
pub(super) fn place(path: &str) -> Option<Place> {
    let names: Vec<&str> = path.split('/').collect();
    let at = |to: String| is_object_file(path).then_some(Place::At(to));
    match names[..] {
        [_, "secrets", _] | [_, _, "secrets", _] => None,
        ["cluster", resource, file] => at(format!("cluster-scoped-resources/core/{resource}/{file}")),
        ["cluster", group, resource, file] => at(format!("cluster-scoped-resources/{group}/{resource}/{file}")),
        ["namespaces", ns, "pods", pod, container, log @ ("current.log" | "previous.log")] => {
            Some(Place::At(format!("namespaces/{ns}/pods/{pod}/{container}/{container}/logs/{log}")))
        }
        ["namespaces", _, "events.k8s.io", "events", _] => Some(Place::Inside),
        ["namespaces", ns, resource, file] => at(format!("namespaces/{ns}/core/{resource}/{file}")),
        ["namespaces", _, "pods", _, _] => None,
        ["namespaces", ns, group, resource, file] => at(format!("namespaces/{ns}/{group}/{resource}/{file}")),
        ["addons", "rook", "commands", file] => file.starts_with("ceph-").then_some(Place::Inside),
        _ => None,
    }
}

pub(super) fn look_inside(found: &Found<'_>, tree: &mut Tree, notes: &mut Notes) {
    events(found, tree);
    if let Some(ns) = found.ceph {
        answers(found, ns, tree);
    }
    if let Some((log, context)) = log(found) {
        coverage(&log, context, notes);
    }
}

/// Events are gathered as the newer API has them; checks know the older one.
fn events(found: &Found<'_>, tree: &mut Tree) {
    let mut by_namespace: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for (path, file) in found.below("namespaces/") {
        let names: Vec<&str> = path.split('/').collect();
        let ["namespaces", ns, "events.k8s.io", "events", _] = names[..] else { continue };
        match file.objects() {
            Ok(events) => by_namespace.entry(ns).or_default().extend(events.iter().cloned().map(older)),
            // Kept as it is, for its reader to stumble over.
            Err(_) => {
                tree.share(found.source, &format!("{}{path}", found.root), path.replacen("events.k8s.io", "core", 1))
            }
        }
    }
    for (ns, events) in by_namespace {
        tree.write(&format!("namespaces/{ns}/core/events.json"), list_of(&events));
    }
}

/// An event of `events.k8s.io/v1` as one of `v1`: the same content under other names.
fn older(event: Value) -> Value {
    let Value::Object(fields) = event else { return event };
    let rename = |(name, value): (String, Value)| {
        let name = match name.as_str() {
            "note" => "message",
            "regarding" => "involvedObject",
            "deprecatedFirstTimestamp" => "firstTimestamp",
            "deprecatedLastTimestamp" => "lastTimestamp",
            "deprecatedCount" => "count",
            "deprecatedSource" => "source",
            "reportingController" => "reportingComponent",
            other => other,
        };
        (name.to_owned(), value)
    };
    let mut fields: Map<String, Value> = fields.into_iter().map(rename).collect();
    fields.insert("apiVersion".into(), "v1".into());
    Value::Object(fields)
}

/// What the toolbox answered: text for people, unless it happens to be JSON.
fn answers(found: &Found<'_>, ns: &str, tree: &mut Tree) {
    let folder = "addons/rook/commands/";
    for (path, file) in found.below(folder) {
        let command = path[folder.len()..].replace('-', "_");
        let is_json = file.bytes().is_ok_and(|answer| answer.trim_ascii_start().starts_with(b"{"));
        let to = match is_json {
            true => format!("must_gather_commands_json_output/{command}_--format_json-pretty"),
            false => format!("must_gather_commands/{command}"),
        };
        tree.share(found.source, &format!("{}{path}", found.root), format!("ceph/namespaces/{ns}/{to}"));
    }
}

/// The tool's own log, in the root or above it, and the name of the cluster there: the folders between them.
fn log<'f>(found: &Found<'f>) -> Option<(String, &'f str)> {
    let logs = ancestors(found.root).filter_map(|folder| {
        let bytes = found.source.file(&format!("{folder}gather.log"))?.bytes().ok()?;
        let context = found.root[folder.len()..].trim_end_matches('/');
        Some((String::from_utf8_lossy(&bytes).into_owned(), context))
    });
    logs.last()
}

/// Which kinds were listed whole, and which could not be listed. Without the line that all namespaces were asked
/// nothing is known to be whole.
fn coverage(log: &str, context: &str, notes: &mut Notes) {
    let lines = log.lines().filter_map(|line| {
        let mut fields = line.split('\t').skip(2);
        let logger = fields.next()?;
        Some((logger, fields.next()?))
    });
    let lines: Vec<(&str, &str)> = lines.collect();
    if !lines.iter().any(|(_, said)| *said == "Gathering from all namespaces") {
        return;
    }
    // One log may be of several clusters; a log of one cluster has no names.
    let is_ours = |logger: &str| {
        let rest = logger.strip_prefix("gather").unwrap_or(logger);
        let of_cluster = rest.strip_prefix('.').and_then(|rest| rest.strip_prefix(context));
        rest.is_empty() || of_cluster.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let said_of = |name: &str| {
        let (good, bad) = (format!("\"{name}\" in "), format!("Cannot list \"{name}\": "));
        let ours = || lines.iter().filter(|(logger, _)| is_ours(logger)).map(|(_, said)| *said);
        let failed = ours().find_map(|said| said.strip_prefix(&bad)).map(|why| match why.contains("is forbidden") {
            true => format!("forbidden: {why}"),
            false => format!("error: {why}"),
        });
        failed.or_else(|| {
            ours().any(|said| said.starts_with("Gathered ") && said.contains(&good)).then(|| WHOLE.to_owned())
        })
    };
    for kind in kinds::ALL {
        let name = match (kind.group, kind.plural) {
            ("", "events") => "events.k8s.io/events".to_owned(),
            ("", plural) => plural.to_owned(),
            (group, plural) => format!("{group}/{plural}"),
        };
        if let Some(how) = said_of(&name) {
            notes.coverage.insert(kind.resource(), how);
        }
    }
    if let Some(how) = said_of("apiextensions.k8s.io/customresourcedefinitions") {
        notes.coverage.insert(CRDS.to_owned(), how);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::layout::Format;
    use serde_json::json;

    #[test]
    fn files_have_their_place() {
        let at = |path: &str| match place(path) {
            Some(Place::At(to)) => to,
            Some(Place::Inside) => "inside".to_owned(),
            None => String::new(),
        };
        for (path, expected) in [
            ("cluster/nodes/w1.yaml", "cluster-scoped-resources/core/nodes/w1.yaml"),
            ("cluster/kubeovn.io/subnets/s.yaml", "cluster-scoped-resources/kubeovn.io/subnets/s.yaml"),
            ("namespaces/a/pods/p.yaml", "namespaces/a/core/pods/p.yaml"),
            ("namespaces/a/pods/p/c/previous.log", "namespaces/a/pods/p/c/c/logs/previous.log"),
            ("namespaces/a/apps/deployments/d.yaml", "namespaces/a/apps/deployments/d.yaml"),
            ("namespaces/a/events.k8s.io/events/e.yaml", "inside"),
            ("namespaces/a/secrets/s.yaml", ""),
            ("addons/rook/logs/w1/ceph-mon.a.log", ""),
        ] {
            assert_eq!(at(path), expected, "{path}");
        }
    }

    #[test]
    fn a_newer_event_is_an_older_one() {
        let event = json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event", "note": "x", "regarding": {"name": "p"},
            "deprecatedLastTimestamp": "2025-01-01T00:00:00Z", "deprecatedCount": 2, "reason": "Killing", "type": "Normal",
        });
        let expected = json!({
            "apiVersion": "v1", "kind": "Event", "message": "x", "involvedObject": {"name": "p"},
            "lastTimestamp": "2025-01-01T00:00:00Z", "count": 2, "reason": "Killing", "type": "Normal",
        });
        assert_eq!(older(event), expected);
    }

    #[test]
    fn the_log_says_what_is_whole() {
        let line = |logger: &str, said: &str| format!("2024-05-27T23:03:58.841+0300\tDEBUG\t{logger}\t{said}\n");
        let lines = |first: &str| {
            [
                line("gather", first),
                line("gather.c1", "Gathered 0 \"apps/daemonsets\" in 0.001 seconds"),
                line("gather.c1", "Cannot list \"pods\": pods is forbidden: User \"u\""),
                line("gather.c1", "Gathered 3 \"pods\" in 0.1 seconds"),
                line("gather.c2", "Gathered 3 \"nodes\" in 0.1 seconds"),
            ]
            .concat()
        };
        let covered = |log: &str| {
            let mut notes = Notes::new(Format::Gather);
            coverage(log, "c1", &mut notes);
            notes.coverage
        };
        let all = covered(&lines("Gathering from all namespaces"));
        assert_eq!(all["daemonsets.apps"], WHOLE);
        assert!(all["pods"].starts_with("forbidden: ") && all.len() == 2);
        assert!(covered(&lines("Gathering from namespaces [\"a\"]")).is_empty());
    }
}
