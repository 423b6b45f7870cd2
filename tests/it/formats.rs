//! The report in the formats of other tools, each read back as those tools read it.

use std::collections::BTreeMap;
use std::fs;

use quick_junit::{NonSuccessKind, TestCaseStatus};
use serde_json::Value;

use crate::cli::run;

/// One for each exit status that a diagnosis has, and one with many findings. Each costs a process.
const EXAMPLES: [&str; 4] =
    ["healthy-classic-podnet", "story7-mon-down-one", "story5-kubeovn-after-reboot", "story4c-quorum-lost"];

/// What the program prints of an example, and its exit status.
fn print(example: &str, args: &[&str]) -> (String, i32) {
    let output = run(&[&["--example", example], args].concat());
    (String::from_utf8(output.stdout).unwrap(), output.status.code().unwrap())
}

fn json(example: &str, args: &[&str]) -> (Value, i32) {
    let (text, exit) = print(example, &[args, &["-o", "json"]].concat());
    (serde_json::from_str(&text).unwrap(), exit)
}

fn strings(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|item| item.as_str().unwrap()).collect()
}

#[test]
fn the_exit_status_is_the_same_in_every_format() {
    for example in EXAMPLES {
        let (_, expected) = json(example, &[]);
        for format in ["human", "yaml", "markdown", "html", "junit", "prometheus", "sarif"] {
            let (text, exit) = print(example, &["-o", format]);
            assert_eq!(exit, expected, "{} as {format}", example);
            assert!(!text.is_empty() && !text.contains('\u{1b}'));
        }
    }
}

#[test]
fn junit_fails_where_the_exit_status_does() {
    for example in EXAMPLES {
        for fail_on in ["warning", "critical", "never"] {
            let flags = ["--fail-on", fail_on];
            let (report, exit) = json(example, &flags);
            let (xml, _) = print(example, &[&flags[..], &["-o", "junit"]].concat());
            let suites = quick_junit::Report::deserialize_from_str(&xml).unwrap();
            let cases: Vec<_> = suites.test_suites.iter().flat_map(|suite| &suite.test_cases).collect();
            assert_eq!(cases.len(), report["checks"].as_array().unwrap().len());
            let of = |wanted| {
                let is_it = |status: &TestCaseStatus| match status {
                    TestCaseStatus::NonSuccess { kind, .. } => *kind == wanted,
                    _ => false,
                };
                cases.iter().filter(|case| is_it(&case.status)).count()
            };
            let (failures, errors) = (of(NonSuccessKind::Failure), of(NonSuccessKind::Error));
            assert_eq!(failures + errors > 0, exit != 0, "{} with --fail-on {fail_on}", example);
            assert_eq!((suites.failures, suites.errors), (failures, errors));
        }
    }
}

/// Each line of metrics: name, labels as they stand, value.
fn metrics(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        })
        .collect()
}

#[test]
fn metrics_count_what_the_report_counts() {
    for example in EXAMPLES {
        let (report, exit) = json(example, &[]);
        let metrics = metrics(&print(example, &["-o", "prometheus"]).0);
        let cluster = &report["cluster"];
        let labels = format!(
            "ceph_cluster=\"{}\",ceph_namespace=\"{}\"",
            cluster["name"].as_str().unwrap(),
            cluster["namespace"].as_str().unwrap()
        );
        assert_eq!(metrics[&format!("rookdoctor_exit_code{{{labels}}}")], f64::from(exit));
        let critical = report["findings"].as_array().unwrap().iter().filter(|it| it["severity"] == "critical").count();
        assert_eq!(metrics[&format!("rookdoctor_findings{{{labels},severity=\"critical\"}}")], critical as f64);
        let roots = metrics.keys().filter(|series| series.starts_with("rookdoctor_root_cause{")).count();
        assert_eq!(roots, strings(&report["rootCauses"]).len());
    }
}

#[test]
fn sarif_is_what_its_readers_expect() {
    for example in EXAMPLES {
        let (report, _) = json(example, &[]);
        let (text, _) = print(example, &["-o", "sarif"]);
        let sarif: serde_sarif::sarif::Sarif = serde_json::from_str(&text).unwrap();
        let run = &sarif.runs[0];
        let results = run.results.as_deref().unwrap();
        assert_eq!(results.len(), report["findings"].as_array().unwrap().len());
        let rules = run.tool.driver.rules.as_deref().unwrap();
        for result in results {
            let rule = &rules[usize::try_from(result.rule_index.unwrap()).unwrap()];
            assert_eq!(Some(&rule.id), result.rule_id.as_ref());
            let location = result.locations.as_deref().unwrap_or_default().first().unwrap();
            let artifact = location.physical_location.as_ref().unwrap().artifact_location.as_ref().unwrap();
            assert!(artifact.uri.as_ref().unwrap().ends_with(".yaml"));
        }
    }
}

#[test]
fn markdown_tells_every_root_cause_with_its_remedy() {
    for example in EXAMPLES {
        let (report, _) = json(example, &[]);
        let (text, _) = print(example, &["-o", "markdown"]);
        for id in strings(&report["rootCauses"]) {
            let findings = report["findings"].as_array().unwrap();
            let root = findings.iter().find(|finding| finding["id"] == id).unwrap();
            assert!(text.contains(&format!(": {} ", root["code"].as_str().unwrap())), "{text}");
            for command in strings(&root["remedy"]["commands"]) {
                assert!(text.contains(command), "{command}\n{text}");
            }
        }
    }
    insta::assert_snapshot!(print("story7-mon-down-one", &["-o", "markdown"]).0);
}

#[test]
fn a_file_is_replaced_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rookdoctor.prom");
    fs::write(&path, "old").unwrap();
    let (text, exit) = print(
        "story7-mon-down-one",
        &["-o", "prometheus", "--output-file", path.to_str().unwrap(), "--color", "always"],
    );
    assert_eq!((text.as_str(), exit), ("", 1));
    assert!(fs::read_to_string(&path).unwrap().contains("rookdoctor_root_cause{"));
    // Nothing else is left there, and a page in a file has no colours.
    let page = folder.path().join("page.txt");
    print("story7-mon-down-one", &["--output-file", page.to_str().unwrap(), "--color", "always"]);
    assert!(!fs::read_to_string(&page).unwrap().contains('\u{1b}'));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    let lost = run(&["--example", "story7-mon-down-one", "--output-file", "/does/not/exist/x"]);
    assert!(String::from_utf8(lost.stderr).unwrap().contains("cannot write /does/not/exist/x"));
    assert_eq!(lost.status.code(), Some(70));
}
