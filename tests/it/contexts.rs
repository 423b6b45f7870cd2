//! `diagnose --contexts`: several Kubernetes clusters at once, one of them out of reach.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::program;
use crate::double::{Double, Faults};
use crate::support::base;

/// A healthy cluster, an ill one, and an address where nobody is.
struct Fleet {
    well: Double,
    ill: Double,
    folder: TempDir,
}

impl Fleet {
    fn new() -> Self {
        let well = Double::serve(base("healthy-classic-podnet"), Faults::none());
        let ill = Double::serve(base("story7-mon-down-one"), Faults::none());
        let folder = tempfile::tempdir().unwrap();
        let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let login = json!({"apiVersion": "client.authentication.k8s.io/v1", "command": "sh",
            "args": ["-c", "echo please log in at the portal >&2; exit 3"], "interactiveMode": "IfAvailable"});
        let clusters = [
            ("well", well.url().to_owned()),
            ("ill", ill.url().to_owned()),
            ("gone", format!("http://{dead}")),
            ("locked", well.url().to_owned()),
        ];
        let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "ill",
            "clusters": clusters.iter().map(|(name, url)| json!({"name": name, "cluster": {"server": url}})).collect::<Vec<_>>(),
            "users": [{"name": "nobody", "user": {}}, {"name": "plugin", "user": {"exec": login}}],
            "contexts": clusters.iter().map(|(name, _)| {
                let user = if *name == "locked" { "plugin" } else { "nobody" };
                json!({"name": name, "context": {"cluster": name, "user": user}})
            }).collect::<Vec<_>>()});
        std::fs::write(folder.path().join("config"), config.to_string()).unwrap();
        Self { well, ill, folder }
    }

    fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("config")
    }

    fn run(&self, args: &[&str]) -> Output {
        program().arg("--kubeconfig").arg(self.kubeconfig()).args(args).output().unwrap()
    }

    fn requests(&self) -> usize {
        self.well.requests().len() + self.ill.requests().len()
    }
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn list(output: &Output) -> Value {
    let errors = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"))
}

#[test]
fn each_context_has_its_report() {
    let fleet = Fleet::new();
    let output = fleet.run(&["diagnose", "--contexts", "gone,ill,well,ill", "-o", "json"]);
    let document = list(&output);
    assert_eq!(
        (output.status.code(), &document["kind"], &document["exitCode"]),
        (Some(1), &"DiagnosisList".into(), &1.into())
    );
    let schema = jsonschema::validator_for(&rookdoctor::report::json::schema()).unwrap();
    assert!(schema.is_valid(&document));
    let items = document["items"].as_array().unwrap();
    let told: Vec<_> =
        items.iter().map(|it| (it["context"].as_str().unwrap(), it["verdict"].as_str().unwrap())).collect();
    assert_eq!(
        told,
        [("gone", "unknown"), ("ill", "warning"), ("well", "healthy")],
        "in the order of the names, each once"
    );
    assert_eq!(items[1]["cluster"]["context"], "ill");
    assert_eq!(items[0]["cluster"], Value::Null);
    assert!(items[0]["rootCauses"][0].as_str().unwrap().starts_with("ACC001"));
    // The worst in the order 2, 1, 3, 0.
    for (names, status) in [("well", 0), ("gone,well", 3), ("well,ill", 1)] {
        assert_eq!(fleet.run(&["--contexts", names, "-q"]).status.code(), Some(status), "{names}");
    }
    // One context makes a list, too.
    assert_eq!(list(&fleet.run(&["--contexts", "well", "-o", "json"]))["kind"], "DiagnosisList");
}

#[test]
fn every_format_tells_the_contexts_apart() {
    let fleet = Fleet::new();
    let said = |args: &[&str]| {
        let output = fleet.run(&[&["--contexts", "well,ill,gone"], args].concat());
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        text(&output)
    };
    let human = said(&[]);
    let (_, table) = human.split_once("ALL CONTEXTS\n").unwrap();
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[1], ["well", "rook-ceph/rook-ceph", "✔", "healthy", "0"]);
    assert_eq!(rows[2], ["ill", "rook-ceph/rook-ceph", "▲", "warning", "NODE011", "drain-blocked", "0"]);
    assert_eq!(rows[3][..5], ["gone", "?", "unknown", "ACC001", "api-unreachable"]);
    assert!(human.contains("gone · no CephCluster was seen"), "{human}");
    assert_eq!(said(&["-q"]).lines().count(), 3);
    let markdown = said(&["-o", "markdown"]);
    assert!(markdown.contains("# ill · rook-ceph/rook-ceph: warning"), "{markdown}");
    assert!(markdown.contains("| well | rook-ceph/rook-ceph | healthy |  | 0 |"), "{markdown}");
    let suites = quick_junit::Report::deserialize_from_str(&said(&["-o", "junit"])).unwrap();
    let mut names: Vec<&str> = suites.test_suites.iter().map(|suite| suite.name.as_str()).collect();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "no two suites have one name");
    assert!(names.iter().any(|name| name.starts_with("gone · ")), "{names:?}");
    let sarif: serde_sarif::sarif::Sarif = serde_json::from_str(&said(&["-o", "sarif"])).unwrap();
    let ids = serde_json::to_value(&sarif.runs).unwrap();
    let ids: Vec<&str> =
        ids.as_array().unwrap().iter().map(|run| run["automationDetails"]["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["rookdoctor/well/rook-ceph/rook-ceph", "rookdoctor/ill/rook-ceph/rook-ceph", "rookdoctor/gone/"]);
    let metrics = said(&["-o", "prometheus"]);
    let ended = |context: &str| {
        let is_it =
            |line: &&str| line.starts_with("rookdoctor_exit_code{") && line.contains(&format!("context=\"{context}\""));
        metrics.lines().find(is_it).unwrap().rsplit_once(' ').unwrap().1.to_owned()
    };
    assert_eq!([ended("well"), ended("ill"), ended("gone")], ["0", "1", "3"]);
}

#[test]
fn a_wrong_name_is_told_before_anything_is_asked() {
    let fleet = Fleet::new();
    for (args, part) in [
        (&["--contexts", "well,lockd"][..], "no context \"lockd\"; do you mean locked?"),
        (&["--contexts", ","], "--contexts names none"),
        (&["--contexts", "well", "--context", "ill"], "--context belongs to one"),
        (&["--contexts", "well", "--server", "http://x"], "--server belongs to one"),
        (&["fix", "--contexts", "well"], "--contexts belongs to `diagnose`"),
    ] {
        let output = fleet.run(args);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(64), 0), "{args:?}: {error}");
        assert!(error.contains(part), "{args:?}: {error}");
    }
    assert_eq!(fleet.requests(), 0);
}

#[test]
fn a_login_that_fails_is_part_of_its_report() {
    let fleet = Fleet::new();
    let output = fleet.run(&["--contexts", "locked,well", "-o", "json"]);
    let document = list(&output);
    assert_eq!(output.status.code(), Some(3));
    assert!(document["items"][0].to_string().contains("please log in at the portal"), "{document:#}");
    assert_eq!(document["items"][1]["verdict"], "healthy");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "plugins do not talk into each other");
}
