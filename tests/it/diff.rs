//! `diff`: what changed between two looks, from the command line.

use std::fs;
use std::path::Path;

use rookdoctor::facts::archive::Tree;
use serde_json::{Value, json};

use crate::cli::run;
use crate::double::{Double, Faults};
use crate::support::base;

/// Lays a recorded cluster down as a folder.
pub fn unpack(tree: &Tree, folder: &Path) {
    for (path, file) in tree.below("") {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file.bytes().unwrap()).unwrap();
    }
}

pub fn diff(old: &Path, new: &Path) -> (Value, i32) {
    let (old, new) = (old.to_str().unwrap(), new.to_str().unwrap());
    let output = run(&["diff", old, new, "-o", "json"]);
    let document = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (document, output.status.code().unwrap())
}

fn codes(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|finding| finding["code"].as_str().unwrap()).collect()
}

/// A recorded cluster in which a monitor's pod restarted, a node was rebooted and another image runs.
fn later(folder: &Path) {
    let replace = |path: &str, pairs: &[(&str, &str)]| {
        let path = folder.join(path);
        let mut text = fs::read_to_string(&path).unwrap();
        for (from, to) in pairs {
            assert!(text.contains(from), "{from} in {}", path.display());
            text = text.replace(from, to);
        }
        fs::write(path, text).unwrap();
    };
    let nodes = folder.join("cluster-scoped-resources/core/nodes");
    let node = fs::read_dir(&nodes).unwrap().map(|entry| entry.unwrap().path()).min().unwrap();
    let text = fs::read_to_string(&node).unwrap();
    let boot = text.lines().find(|line| line.contains("bootID:")).unwrap().trim();
    fs::write(&node, text.replace(boot, "bootID: 11111111-2222-3333-4444-555555555555")).unwrap();
    replace("namespaces/rook-ceph/core/pods.yaml", &[("restartCount: 0", "restartCount: 3")]);
}

#[test]
fn two_bundles_tell_what_changed() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    unpack(&base("healthy-classic-podnet"), &old);
    unpack(&base("healthy-classic-podnet"), &new);
    let (same, exit) = diff(&old, &new);
    assert_eq!((exit, &same["items"][0]["changes"], &same["items"][0]["came"]), (0, &json!([]), &json!([])));
    later(&new);
    let (document, _) = diff(&old, &new);
    let changes = document["items"][0]["changes"].as_array().unwrap();
    let of = |attribute: &str| changes.iter().filter(|it| it["attribute"] == attribute).collect::<Vec<_>>();
    assert_eq!(of("boot").len(), 1, "{changes:#?}");
    assert!(of("restarts").iter().any(|it| it["what"] == "rook-ceph-tools" && it["new"] == "3"), "{changes:#?}");
    assert!(changes.iter().all(|it| ["boot", "restarts"].contains(&it["attribute"].as_str().unwrap())), "{changes:#?}");
}

#[test]
fn faults_come_and_go() {
    let folder = tempfile::tempdir().unwrap();
    let (well, ill) = (folder.path().join("well"), folder.path().join("ill"));
    let ill_report = folder.path().join("ill.json");
    unpack(&base("healthy-classic-podnet"), &well);
    unpack(&base("story4c-quorum-lost"), &ill);
    fs::write(&ill_report, run(&["--bundle", ill.to_str().unwrap(), "-o", "json"]).stdout).unwrap();
    let (came, exit) = diff(&well, &ill);
    assert!(codes(&came["items"][0]["came"]).contains(&"MON001"), "{came:#}");
    assert_eq!(exit, 2);
    // The other way round it is good news, and what Ceph tells again was unknown before.
    let (went, exit) = diff(&ill, &well);
    assert!(codes(&went["items"][0]["went"]).contains(&"MON001"));
    assert!(went["items"][0]["sight"].as_array().unwrap().iter().all(|sight| sight["before"] == "unknown"));
    assert_eq!(exit, 0);
    // A report in place of a bundle tells the same findings.
    let (report, exit) = diff(&well, &ill_report);
    assert_eq!((&report["items"][0]["came"], exit), (&came["items"][0]["came"], 2));
    assert!(report["items"][0]["notCompared"][0].as_str().unwrap().contains("ill.json"));
}

#[test]
fn a_recording_is_compared_with_the_live_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("yesterday.yaml");
    fs::write(&report, run(&["--example", "story7-mon-down-one", "-o", "yaml"]).stdout).unwrap();
    let double = Double::serve(base("story7-mon-down-one"), Faults::none());
    let kubeconfig = double.kubeconfig();
    let args = ["diff", report.to_str().unwrap(), "--kubeconfig", kubeconfig.to_str().unwrap(), "-o", "json"];
    let output = run(&args);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let item = &document["items"][0];
    assert_eq!((&item["came"], &item["went"]), (&json!([]), &json!([])), "{item:#}");
    assert!(codes(&item["stayed"]).contains(&"NODE011"));
}

#[test]
fn what_is_no_look_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let bad = folder.path().join("report.json");
    for (content, expected) in [
        (r#"{"apiVersion": "rookdoctor.dev/v1", "kind": "Diagnosis", "find"#, "is not a report: EOF"),
        (r#"{"apiVersion": "rookdoctor.dev/v9", "kind": "Diagnosis"}"#, "its apiVersion is rookdoctor.dev/v9"),
        (r#"{"apiVersion": "rookdoctor.dev/v1", "kind": "FixList"}"#, "it is a FixList"),
        ("some words", "neither a folder nor a readable"),
    ] {
        fs::write(&bad, content).unwrap();
        let output = run(&["diff", bad.to_str().unwrap(), bad.to_str().unwrap()]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains(expected) && error.contains("report.json"), "{error}");
        assert_eq!(output.status.code(), Some(3));
    }
    let output = run(&["diff", "/does/not/exist", "/does/not/exist"]);
    assert_eq!(output.status.code(), Some(3));
}
