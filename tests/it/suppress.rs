//! What somebody decided to live with: from a file, from the cluster, in every format, and what it never hides.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use quick_junit::{NonSuccessKind, TestCaseStatus};
use rookdoctor::facts::archive::Tree;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::{program, run};
use crate::diff::{diff, unpack};
use crate::double::{Act, Double, Fault, Faults};
use crate::support::base;

/// A cordoned node keeps a monitor from running: one root cause with two consequences, all of them warnings.
const EXAMPLE: &str = "story7-mon-down-one";
const CAUSE: &str = "NODE011/Node/agate-3";
const CONSEQUENCES: [&str; 2] =
    ["MON002/Deployment/rook-ceph/rook-ceph-mon-c", "MON006/Deployment/rook-ceph/rook-ceph-mon-c"];
const CONFIG_MAPS: &str = "namespaces/rook-ceph/core/configmaps.yaml";
const IN_CLUSTER: &str = "ConfigMap rook-ceph/rookdoctor-suppressions";

fn entry(id: &str, expires: &str) -> String {
    let (code, object) = id.split_once('/').unwrap();
    format!("- {{code: {code}, object: \"{object}\", reason: \"the *rack* moves\", by: ann, expires: {expires}}}\n")
}

fn document(items: &str) -> String {
    format!("apiVersion: rookdoctor.dev/v1\nkind: Suppressions\nitems:\n{items}")
}

fn all(expires: &str) -> String {
    document(&[CAUSE, CONSEQUENCES[0], CONSEQUENCES[1]].map(|id| entry(id, expires)).concat())
}

/// A file with decisions, and the folder that it lies in.
fn file(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("suppressions.yaml");
    fs::write(&path, text).unwrap();
    (folder, path)
}

fn diagnose(text: &str, args: &[&str]) -> Output {
    let (_folder, path) = file(text);
    run(&[&["--example", EXAMPLE, "--suppressions", path.to_str().unwrap()], args].concat())
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn json_of(output: &Output) -> Value {
    let errors = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"))
}

fn finding<'r>(report: &'r Value, id: &str) -> &'r Value {
    let findings = report["findings"].as_array().unwrap();
    findings.iter().find(|finding| finding["id"] == id).unwrap_or_else(|| panic!("there is no {id}"))
}

#[test]
fn what_is_suppressed_stays_in_the_report_and_does_not_count() {
    let output = diagnose(&all("2025-12-31"), &["-o", "json"]);
    let report = json_of(&output);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!((&report["verdict"], &report["rootCauses"]), (&"healthy".into(), &json!([])));
    let suppressed = &finding(&report, CAUSE)["suppressed"];
    assert_eq!((&suppressed["reason"], &suppressed["by"]), (&"the *rack* moves".into(), &"ann".into()));
    assert_eq!(suppressed["expires"], "2025-12-31T23:59:59Z");
    assert!(suppressed["from"].as_str().unwrap().ends_with("suppressions.yaml"));
    assert_eq!(report["suppressions"], json!({"unused": [], "unread": []}));
    let schema = jsonschema::validator_for(&rookdoctor::report::json::schema()).unwrap();
    assert!(schema.is_valid(&report));
    // The same report without a decision says that there is none.
    let plain = json_of(&run(&["--example", EXAMPLE, "-o", "json"]));
    assert_eq!(finding(&plain, CAUSE)["suppressed"], Value::Null);
}

#[test]
fn every_format_tells_what_is_suppressed() {
    let decisions = all("never");
    let said = |format: &str| {
        let output = diagnose(&decisions, &["-o", format]);
        assert_eq!(output.status.code(), Some(0), "{format}");
        text(&output)
    };
    for id in [CAUSE, CONSEQUENCES[0], CONSEQUENCES[1]] {
        let told = format!("{}: the *rack* moves (ann), for ever", id.replacen('/', " ", 1));
        let human = said("human").split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(human.contains(&told) && human.contains("3 suppressed"), "{human}");
        let told = told.replace('*', "\\*");
        assert!(said("markdown").contains(&told), "{told}: {}", said("markdown"));
    }
    let suites = quick_junit::Report::deserialize_from_str(&said("junit")).unwrap();
    let cases = suites.test_suites.iter().flat_map(|suite| &suite.test_cases);
    let skipped = cases.filter(|case| match &case.status {
        TestCaseStatus::Skipped { message, .. } => {
            message.as_ref().is_some_and(|message| message.as_str().starts_with("suppressed: "))
        }
        _ => false,
    });
    assert_eq!((skipped.count(), suites.failures, suites.errors), (3, 0, 0));
    let sarif: serde_sarif::sarif::Sarif = serde_json::from_str(&said("sarif")).unwrap();
    let sarif = serde_json::to_value(&sarif.runs[0].results).unwrap();
    let accepted = |result: &&Value| result["suppressions"][0]["status"] == "accepted";
    assert_eq!(sarif.as_array().unwrap().iter().filter(accepted).count(), 3);
    let metrics = said("prometheus");
    for line in ["rookdoctor_findings{", "rookdoctor_suppressed_findings{"] {
        let of = |severity: &str| {
            let is_it = |it: &&str| it.starts_with(line) && it.contains(&format!("severity=\"{severity}\""));
            metrics.lines().find(is_it).unwrap().rsplit_once(' ').unwrap().1.to_owned()
        };
        assert_eq!(of("warning"), if line.contains("suppressed") { "3" } else { "0" });
    }
    assert!(!metrics.contains("rookdoctor_root_cause{"));
}

#[test]
fn what_follows_from_a_suppressed_cause_still_counts() {
    let output = diagnose(&document(&entry(CAUSE, "never")), &["-o", "json"]);
    let report = json_of(&output);
    assert_eq!((output.status.code(), &report["verdict"]), (Some(1), &"warning".into()));
    // It is explained all the same, and so no root cause.
    assert_eq!(report["rootCauses"], json!([]));
    for id in CONSEQUENCES {
        let it = finding(&report, id);
        assert_eq!((&it["suppressed"], &it["unexplained"]), (&Value::Null, &false.into()), "{id}");
        assert!(!it["causes"].as_array().unwrap().is_empty(), "{id}");
    }
    let human = text(&diagnose(&document(&entry(CAUSE, "never")), &[]));
    assert!(human.contains("2 findings follow from what is suppressed"), "{human}");
    assert!(human.contains("└─ ▲ MON006") && human.contains("▲ MON002"), "{human}");
    let markdown = text(&diagnose(&document(&entry(CAUSE, "never")), &["-o", "markdown"]));
    assert!(markdown.contains("- still counts: MON002") && !markdown.contains("Worth knowing"), "{markdown}");
    // A consequence that is suppressed hangs below its cause, and says so.
    let report = json_of(&diagnose(&document(&entry(CONSEQUENCES[0], "never")), &["-o", "json"]));
    assert_eq!((&report["rootCauses"], &report["exitCode"]), (&json!([CAUSE]), &1.into()));
    let human = text(&diagnose(&document(&entry(CONSEQUENCES[0], "never")), &[]));
    assert!(human.split_whitespace().collect::<Vec<_>>().join(" ").contains("(suppressed)"), "{human}");
}

#[test]
fn what_is_over_comes_back_and_says_so() {
    // The recording is from 2025-09-03.
    let output = diagnose(&all("2025-09-02"), &["-o", "json"]);
    let report = json_of(&output);
    assert_eq!((output.status.code(), &report["rootCauses"]), (Some(1), &json!([CAUSE])));
    let it = finding(&report, CAUSE);
    assert_eq!((&it["suppressed"], &it["expiredSuppression"]["by"]), (&Value::Null, &"ann".into()));
    for format in ["human", "markdown"] {
        let said = text(&diagnose(&all("2025-09-02"), &["-o", format]));
        assert!(said.contains("suppressed until 2025-09-02 23:59Z: expired"), "{said}");
    }
    // One that is in effect goes before one that is over.
    let both = document(&format!("{}{}", entry(CAUSE, "2025-09-02"), entry("NODE011/Node/*", "never")));
    assert_eq!(json_of(&diagnose(&both, &["-o", "json"]))["rootCauses"], json!([]));
}

#[test]
fn a_decision_without_use_is_told_by_those_who_looked() {
    let decisions = document(&entry("NODE001/Node/agate-9", "never"));
    let unused = |args: &[&str]| {
        let report = json_of(&diagnose(&decisions, &[&["-o", "json"], args].concat()));
        report["suppressions"]["unused"].as_array().unwrap().len()
    };
    assert_eq!((unused(&[]), unused(&["--only", "NODE"]), unused(&["--skip", "NODE001"])), (1, 1, 0));
    let human = text(&diagnose(&decisions, &[]));
    assert!(human.contains("- matches nothing: NODE001 Node/agate-9: the *rack* moves"), "{human}");
}

#[test]
fn a_file_with_a_mistake_ends_the_run() {
    for (items, part) in [
        ("- {code: NODE011, object: a, expires: never}\n", "item 1 in line 4: reason is missing"),
        ("- {code: NODE999, object: a, reason: r, expires: never}\n", "no check or area is called \"NODE999\""),
    ] {
        let output = diagnose(&document(items), &[]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains(part) && error.contains("suppressions.yaml"), "{error}");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(64), 0));
    }
    let output = run(&["--example", EXAMPLE, "--suppressions", "/does/not/exist"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("No such file"));
    assert_eq!(run(&["checks", "--suppressions", "x"]).status.code(), Some(64));
}

/// The example with decisions of its own.
fn with_config_map(data: Value) -> Tree {
    let mut tree = base(EXAMPLE);
    let mut objects = tree.file(CONFIG_MAPS).map(|file| file.objects().unwrap().to_vec()).unwrap_or_default();
    objects.push(json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data,
        "metadata": {"name": "rookdoctor-suppressions", "namespace": "rook-ceph", "uid": "77777777-7777-7777-7777-777777777777",
            "resourceVersion": "7", "creationTimestamp": "2025-09-01T00:00:00Z"}}));
    tree.write(CONFIG_MAPS, json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string().into_bytes());
    tree
}

fn of_bundle(tree: &Tree) -> (Value, Option<i32>) {
    let folder = tempfile::tempdir().unwrap();
    unpack(tree, folder.path());
    let output = run(&["--bundle", folder.path().to_str().unwrap(), "-o", "json"]);
    (json_of(&output), output.status.code())
}

fn of_double(double: &Double, args: &[&str]) -> Output {
    program().arg("--kubeconfig").arg(double.kubeconfig()).args(args).output().unwrap()
}

#[test]
fn a_cluster_holds_decisions_of_its_own() {
    let tree = with_config_map(json!({"suppressions.yaml": all("never")}));
    let (report, exit) = of_bundle(&tree);
    assert_eq!((exit, &report["verdict"]), (Some(0), &"healthy".into()));
    assert_eq!(finding(&report, CAUSE)["suppressed"]["from"], IN_CLUSTER);
    let double = Double::serve(tree, Faults::none());
    let output = of_double(&double, &["-o", "json"]);
    let live = json_of(&output);
    assert_eq!((output.status.code(), &live["findings"]), (Some(0), &report["findings"]));
    let asked = double.requests().into_iter().filter(|it| it.contains("/configmaps/rookdoctor-suppressions"));
    assert_eq!(asked.count(), 1);
    // A capture holds it as it holds the rest.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("case.tgz");
    of_double(&double, &["capture", "-f", path.to_str().unwrap()]);
    let recorded = run(&["--bundle", path.to_str().unwrap(), "-o", "json"]);
    assert_eq!(recorded.status.code(), Some(0));
    assert_eq!(finding(&json_of(&recorded), CAUSE)["suppressed"]["from"], IN_CLUSTER);
}

#[test]
fn decisions_that_are_not_known_hide_nothing_and_it_is_said() {
    let path = "/api/v1/namespaces/rook-ceph/configmaps/rookdoctor-suppressions";
    let faults = Faults::some([Fault::at(path, Act::Refuse(403))]);
    let double = Double::serve(with_config_map(json!({"suppressions.yaml": all("never")})), faults);
    let output = of_double(&double, &["-o", "json"]);
    let report = json_of(&output);
    // Nobody is blind for it: the exit status is that of the findings.
    assert_eq!((output.status.code(), &report["rootCauses"]), (Some(1), &json!([CAUSE])));
    assert_eq!(report["suppressions"]["unread"][0]["from"], IN_CLUSTER);
    assert_eq!(report["suppressions"]["unread"][0]["why"], "forbidden");
    assert!(text(&of_double(&double, &[])).contains("not read, so nothing is suppressed by it"));
    for (data, part) in [
        (
            json!({"suppressions.yaml": document("- {code: NODE011, object: \"**\", expires: never}\n")}),
            "reason is missing",
        ),
        (json!({"suppressions.yaml": "\u{1b}[31m{["}), ""),
        (json!({"other.yaml": all("never")}), "it has no key suppressions.yaml"),
    ] {
        let (report, exit) = of_bundle(&with_config_map(data));
        assert_eq!((exit, &report["rootCauses"]), (Some(1), &json!([CAUSE])));
        let unread = &report["suppressions"]["unread"][0];
        assert_eq!(unread["why"], "malformed");
        let message = unread["message"].as_str().unwrap();
        assert!(message.contains(part) && !message.contains('\u{1b}'), "{message}");
    }
    let (report, _) = of_bundle(&with_config_map(json!({"suppressions.yaml": document(" []")})));
    assert_eq!(report["suppressions"], json!({"unused": [], "unread": []}));
}

#[test]
fn each_cluster_has_its_own_decisions() {
    let path = "namespaces/storage/ceph.rook.io/cephclusters.yaml";
    let mut tree = base("healthy-hostnet-120");
    let mut second = tree.file(path).unwrap().objects().unwrap()[0].clone();
    second["metadata"]["namespace"] = "second".into();
    tree.write("namespaces/second/ceph.rook.io/cephclusters.yaml", second.to_string().into_bytes());
    let plain = of_bundle(&tree).0;
    let found =
        plain["items"].as_array().unwrap().iter().find(|item| item["cluster"]["namespace"] == "second").unwrap();
    let id = found["rootCauses"][0].as_str().unwrap().to_owned();
    let unused = "MON001/CephCluster/nowhere/x";
    for (ns, suppressed) in [("second", true), ("storage", false)] {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "rookdoctor-suppressions", "namespace": ns},
            "data": {"suppressions.yaml": document(&format!("{}{}", entry(&id, "never"), entry(unused, "never")))}});
        let mut tree = tree.clone();
        let path = format!("namespaces/{ns}/core/configmaps.yaml");
        let mut objects = tree.file(&path).map(|file| file.objects().unwrap().to_vec()).unwrap_or_default();
        objects.push(map);
        tree.write(&path, json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string().into_bytes());
        let report = of_bundle(&tree).0;
        let second =
            report["items"].as_array().unwrap().iter().find(|item| item["cluster"]["namespace"] == "second").unwrap();
        assert_eq!(finding(second, &id)["suppressed"].is_object(), suppressed, "{ns}");
    }
}

#[test]
fn lost_sight_stays_lost() {
    let faults = Faults::some([Fault::at("/api/v1/nodes", Act::Refuse(403))]);
    let double = Double::serve(base("healthy-classic-podnet"), faults);
    let (_folder, path) = file(&document("- {code: ACC002, object: \"**\", reason: r, expires: never}\n"));
    let flags = ["--only", "ACC", "--suppressions", path.to_str().unwrap()];
    let output = of_double(&double, &[&flags[..], &["-o", "json"]].concat());
    let report = json_of(&output);
    let suppressed = report["findings"].as_array().unwrap().iter().filter(|it| it["suppressed"].is_object()).count();
    assert_eq!((suppressed, &report["rootCauses"]), (1, &json!([])), "{report:#}");
    assert_eq!((output.status.code(), &report["verdict"]), (Some(3), &"unknown".into()));
    let suites = text(&of_double(&double, &[&flags[..], &["-o", "junit"]].concat()));
    let suites = quick_junit::Report::deserialize_from_str(&suites).unwrap();
    let cases = suites.test_suites.iter().flat_map(|suite| &suite.test_cases);
    let is_error =
        |status: &TestCaseStatus| matches!(status, TestCaseStatus::NonSuccess { kind: NonSuccessKind::Error, .. });
    assert!(cases.filter(|case| is_error(&case.status)).count() >= 1);
}

#[test]
fn a_comparison_counts_what_is_not_suppressed() {
    let folder = tempfile::tempdir().unwrap();
    let lay = |name: &str, tree: &Tree| {
        let path = folder.path().join(name);
        unpack(tree, &path);
        path
    };
    let report = |name: &str, bundle: &Path| {
        let path = folder.path().join(name);
        fs::write(&path, run(&["--bundle", bundle.to_str().unwrap(), "-o", "json"]).stdout).unwrap();
        path
    };
    let open = lay("open", &base(EXAMPLE));
    let quiet = lay("quiet", &with_config_map(json!({"suppressions.yaml": all("never")})));
    // From suppressed to not suppressed is worse; the other way round is none of its business.
    let (document, exit) = diff(&quiet, &open);
    let stayed = &document["items"][0]["stayed"][0];
    assert_eq!((exit, &stayed["suppressedBefore"], &stayed["suppressed"]), (1, &true.into(), &false.into()));
    assert_eq!(diff(&open, &quiet).1, 0);
    // A report tells it as the bundle does, and an older one, where it is null, is read as before.
    let reports = (report("open.json", &open), report("quiet.json", &quiet));
    assert_eq!((diff(&reports.1, &reports.0).1, diff(&reports.0, &reports.1).1), (1, 0));
    let output = run(&["diff", quiet.to_str().unwrap(), open.to_str().unwrap()]);
    assert!(text(&output).contains("was suppressed"), "{}", text(&output));
}

#[test]
fn an_entry_is_printed_and_understood() {
    let flags = ["--reason", "the \"rack\": moves", "--until", "2025-12-31", "--by", "ann"];
    let printed = run(&[&["suppress", CAUSE], &flags[..]].concat());
    assert_eq!(printed.status.code(), Some(0), "{}", String::from_utf8_lossy(&printed.stderr));
    let report = json_of(&diagnose(&text(&printed), &["-o", "json"]));
    let suppressed = &finding(&report, CAUSE)["suppressed"];
    assert_eq!(
        (&suppressed["reason"], &suppressed["expires"]),
        (&"the \"rack\": moves".into(), &"2025-12-31T23:59:59Z".into())
    );
    let json = run(&[&["suppress", "drain-blocked", "-o", "json"], &flags[..]].concat());
    assert_eq!(
        (&json_of(&json)["items"][0]["code"], &json_of(&json)["items"][0]["object"]),
        (&"NODE011".into(), &"**".into())
    );
    for args in [
        &["suppress", "NODE011"][..],
        &["suppress", "NODE999", "--reason", "r", "--until", "never"],
        &["suppress", "NODE011", "--reason", "r", "--until", "soon"],
        &["suppress", "NODE011", "--reason", " ", "--until", "never"],
    ] {
        assert_eq!(run(args).status.code(), Some(64), "{args:?}");
    }
}
