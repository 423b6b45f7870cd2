//! The pages that are looked at.

use rookdoctor::checks;
use rookdoctor::diagnosis::{Scope, diagnose};
use rookdoctor::facts::archive::Tree;
use rookdoctor::overview;
use rookdoctor::report::html::html;
use rookdoctor::report::{Document, Report};
use serde_json::Value;

use crate::support;

pub const BROKEN: &str = "story5-kubeovn-after-reboot";
pub const HEALTHY: &str = "healthy-classic-podnet";

/// What a hostile cluster calls its nodes and says in its events.
pub const HOSTILE: &str =
    "<script>alert(1)</script>\"onmouseover=\"alert(2)' </style><svg onload=alert(3)>\u{202e}javascript:alert(4)";

const HEALTH: &str =
    "ceph/namespaces/rook-ceph/must_gather_commands_json_output/ceph_health_detail_--format_json-pretty";

/// In a thread of its own: the browser's test is within a runtime already.
fn report(tree: Tree) -> Report {
    std::thread::spawn(|| judged(tree)).join().unwrap()
}

fn judged(tree: Tree) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let scope = Scope { overviews: overview::ALL.to_vec(), timeline: true, ..Scope::default() };
    let source = support::bundle(tree);
    let diagnoses = runtime.block_on(diagnose(&source, checks::ALL, &scope, &|_, _| {}));
    let run = support::run_of(&source);
    Report::new(&diagnoses[0], &run)
}

/// The page of a recorded cluster.
pub fn example(name: &str) -> String {
    html(&Document::new(vec![report(support::base(name))]))
}

/// Several clusters in one page.
pub fn several() -> String {
    html(&Document::new([BROKEN, HEALTHY, "story1-nad-default-route"].map(|name| report(support::base(name))).into()))
}

/// A cluster in which the same happened to forty nodes.
pub fn many() -> String {
    let mut report = report(support::base(BROKEN));
    let (findings, roots) = (report.findings.clone(), report.root_causes.clone());
    for copy in 1..40 {
        let renamed = |id: &String| format!("{id}-{copy}");
        report.root_causes.extend(roots.iter().map(renamed));
        report.findings.extend(findings.iter().cloned().map(|mut finding| {
            finding.id = renamed(&finding.id);
            finding.summary = finding.summary.replace("ash-w2", &format!("ash-w{}", copy + 2));
            finding.consequences = finding.consequences.iter().map(renamed).collect();
            finding.causes.iter_mut().for_each(|cause| cause.finding = renamed(&cause.finding));
            finding
        }));
    }
    html(&Document::new(vec![report]))
}

/// A cluster in which the name of a node, every event, and every word of Ceph about its health is an attack.
pub fn hostile() -> String {
    let mut tree = support::base(BROKEN);
    let paths: Vec<String> =
        tree.below("").map(|(path, _)| path.to_owned()).filter(|path| path.ends_with(".yaml")).collect();
    for path in paths {
        let objects = tree.file(&path).unwrap().objects().unwrap().to_vec();
        let mut objects: Vec<Value> = objects;
        objects.iter_mut().for_each(poison);
        let body = match objects.len() {
            1 => objects.remove(0),
            _ => serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects}),
        };
        tree.write(&path, serde_json::to_vec(&body).unwrap());
    }
    let mut health: Value = serde_json::from_slice(&tree.file(HEALTH).unwrap().bytes().unwrap()).unwrap();
    poison(&mut health);
    tree.write(HEALTH, serde_json::to_vec(&health).unwrap());
    html(&Document::new(vec![report(tree)]))
}

fn poison(value: &mut Value) {
    match value {
        Value::String(text) if text == "ash-w2" => text.push_str(HOSTILE),
        Value::Array(items) => items.iter_mut().for_each(poison),
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(text) if key == "message" => text.push_str(HOSTILE),
                    value => poison(value),
                }
            }
        }
        _ => {}
    }
}
