//! `kubectl cluster-info dump`: lists of some kinds of some namespaces, and logs; as a folder, or as the one stream
//! that it prints without `--output-directory`.

use serde_json::Value;

use super::frames::{Frame, frame, frames};
use super::{Format, Found, KEPT_BYTES, LOG_KEPT, NO_ROOM, Notes, Place, Tree, WHOLE};
use crate::facts::{bundle, kinds};

/// The file of each kind, and where it belongs.
const LISTS: [(&str, &str, &str); 7] = [
    ("events", "core/events", "Event"),
    ("replication-controllers", "core/replicationcontrollers", "ReplicationController"),
    ("services", "core/services", "Service"),
    ("pods", "core/pods", "Pod"),
    ("daemonsets", "apps/daemonsets", "DaemonSet"),
    ("deployments", "apps/deployments", "Deployment"),
    ("replicasets", "apps/replicasets", "ReplicaSet"),
];

const NODES: &str = "cluster-scoped-resources/core/nodes.json";

/// Where a file of a dump lies in our layout, if anything of it is read.
pub(super) fn place(path: &str) -> Option<Place> {
    let names: Vec<&str> = path.split('/').collect();
    match names[..] {
        ["nodes.json" | "nodes.yaml"] => Some(Place::At(format!("cluster-scoped-resources/core/{path}"))),
        [_, _, "logs.txt"] => Some(Place::Inside),
        [ns, file] => {
            let (stem, extension) = file.rsplit_once('.').filter(|(_, end)| matches!(*end, "json" | "yaml"))?;
            let (_, base, _) = LISTS.iter().find(|(name, ..)| *name == stem)?;
            Some(Place::At(format!("namespaces/{ns}/{base}.{extension}")))
        }
        _ => None,
    }
}

/// Cuts the logs up, one for each container.
pub(super) fn look_inside(found: &Found<'_>, tree: &mut Tree, notes: &mut Notes) {
    // A dump that has lost its nodes, or never got them, does not say that there are none.
    if ["nodes.json", "nodes.yaml"].iter().any(|name| found.below(name).next().is_some()) {
        nodes_are_whole(notes);
    }
    let mut room = KEPT_BYTES;
    for (path, file) in found.below("") {
        let names: Vec<&str> = path.split('/').collect();
        let [ns, pod, "logs.txt"] = names[..] else { continue };
        match file.bytes() {
            Ok(bytes) => {
                let of_pod = frames(&bytes).into_iter().filter(|frame| frame.ns == ns && frame.pod == pod);
                of_pod.for_each(|frame| keep(&frame, tree, &mut room));
            }
            Err(why) => tree.blame(format!("{path}: {why}")),
        }
    }
}

fn nodes_are_whole(notes: &mut Notes) {
    notes.coverage.insert(kinds::NODE.resource(), WHOLE.to_owned());
}

/// Keeps the end of a log, while there is room.
fn keep(frame: &Frame<'_>, tree: &mut Tree, room: &mut usize) {
    let Some(place) = frame.place().filter(|_| frame.is_log()) else { return };
    let log = &frame.log[frame.log.len().saturating_sub(LOG_KEPT)..];
    match room.checked_sub(log.len()) {
        Some(left) => {
            *room = left;
            tree.write(&place, log.to_vec());
        }
        None => tree.refuse(place, NO_ROOM),
    }
}

/// Whether a file that is no archive may be such a stream: it begins as JSON.
pub(in super::super) fn is_stream(start: &[u8]) -> bool {
    let start = &start[..start.len().min(512)];
    let mut text = start.iter().filter(|byte| !byte.is_ascii_whitespace());
    !start.contains(&0) && text.next() == Some(&b'{') && text.next() == Some(&b'"')
}

/// Cuts a stream up into lists and logs. None if it has no list of nodes, with which every dump begins.
pub(in super::super) fn stream(text: &[u8]) -> Option<Tree> {
    let mut tree = Tree::default();
    let mut notes = Notes::new(Format::Dump);
    let (mut at, mut room) = (0, KEPT_BYTES);
    while at < text.len() {
        let rest = &text[at..];
        if let Some(frame) = frame(rest) {
            keep(&frame, &mut tree, &mut room);
            at += frame.end;
        } else if rest[0] == b'{' {
            let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<Value>();
            match values.next() {
                Some(Ok(list)) => put_list(list, &mut tree, &mut notes),
                // Where a list breaks off nothing says where the next one begins.
                Some(Err(error)) => {
                    tree.cut_off(format!("the stream is damaged or cut off at byte {at}: {error}"));
                    break;
                }
                None => break,
            }
            at += values.byte_offset();
        } else {
            at += rest.iter().position(|&byte| byte == b'\n').map_or(rest.len(), |end| end + 1);
        }
    }
    tree.file(NODES)?;
    notes.taken = Some(bundle::newest(&tree));
    tree.set_notes(notes);
    Some(tree)
}

/// Puts a list where its kind and the namespace of its first item say. An empty one does not say of which
/// namespace it is, so nothing is known from it.
fn put_list(mut list: Value, tree: &mut Tree, notes: &mut Notes) {
    let kind = list.get("kind").and_then(Value::as_str).and_then(|kind| kind.strip_suffix("List"));
    let Some(kind) = kind.map(str::to_owned) else { return };
    let Some(Value::Array(items)) = list.get_mut("items").map(Value::take) else { return };
    let ns = items.first().and_then(|item| item.pointer("/metadata/namespace")?.as_str()).unwrap_or_default();
    let base = LISTS.iter().find(|(_, _, of)| *of == kind);
    let place = match base {
        None if kind == "Node" => {
            nodes_are_whole(notes);
            NODES.to_owned()
        }
        Some((_, base, _)) if !ns.is_empty() && !ns.contains('/') => format!("namespaces/{ns}/{base}.json"),
        _ => return,
    };
    let list_kind = format!("{kind}List");
    let version = list.get("apiVersion").cloned().unwrap_or_else(|| "v1".into());
    let mut body = serde_json::json!({"kind": list_kind, "apiVersion": version});
    body["items"] = Value::Array(items);
    tree.write(&place, body.to_string().into_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = r#"{
    "kind": "NodeList",
    "apiVersion": "v1",
    "items": [{"metadata": {"name": "w1"}}]
}
{"kind": "EventList", "apiVersion": "v1", "items": []}
{"kind": "PodList", "apiVersion": "v1", "items": [{"metadata": {"name": "p", "namespace": "a"}}]}
{"kind": "SecretList", "apiVersion": "v1", "items": [{"metadata": {"name": "s", "namespace": "a"}}]}
==== START logs for container c of pod a/p ====
{"kind": "PodList", "items": [{"metadata": {"name": "not-there", "namespace": "a"}}]}
==== END logs for container c of pod a/p ====
"#;

    fn paths(tree: &Tree) -> Vec<&str> {
        tree.below("").map(|(path, _)| path).collect()
    }

    #[test]
    fn a_stream_is_cut_up() {
        assert!(is_stream(STREAM.as_bytes()) && !is_stream(b"{\"a\0") && !is_stream(b"NodeList"));
        let tree = stream(STREAM.as_bytes()).unwrap();
        let log = "namespaces/a/pods/p/c/c/logs/current.log";
        assert_eq!(paths(&tree), ["cluster-scoped-resources/core/nodes.json", "namespaces/a/core/pods.json", log]);
        assert_eq!(tree.file("namespaces/a/core/pods.json").unwrap().objects().unwrap()[0]["kind"], "Pod");
        assert!(tree.file(log).unwrap().bytes().unwrap().ends_with(b"}]}\n"));
        assert_eq!(tree.cut(), None);
    }

    #[test]
    fn a_stream_that_breaks_off_is_cut() {
        for end in 60..STREAM.len() {
            let is_within_the_pods = STREAM[..end].ends_with(r#"{"name": "p", "nam"#);
            let tree = stream(&STREAM.as_bytes()[..end]);
            assert!(!is_within_the_pods || tree.unwrap().cut().is_some());
        }
        assert!(stream(b"{\"kind\": \"PodList\", \"items\": []}\n").is_none());
    }

    #[test]
    fn other_files_have_no_place() {
        for path in ["a/secrets.json", "nodes.txt", "a/b/c/logs.txt", "a/pods.txt", "a/p/other.txt"] {
            assert_eq!(place(path), None, "{path}");
        }
    }

    #[test]
    fn nodes_that_are_not_there_are_not_known() {
        for (path, expected) in [("nodes.json", Some("ok")), ("kube-system/pods.json", None)] {
            let mut source = Tree::default();
            source.write(path, b"{}".to_vec());
            let mut notes = Notes::new(Format::Dump);
            look_inside(&Found { source: &source, root: "", ceph: None }, &mut Tree::default(), &mut notes);
            assert_eq!(notes.coverage.get("nodes").map(String::as_str), expected, "{path}");
        }
    }
}
