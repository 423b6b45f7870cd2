//! The double of the API server, and what is proved with it: a live cluster and its recording give one report.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use rookdoctor::checks;
use rookdoctor::diagnosis::{Diagnosis, Scope, diagnose};
use rookdoctor::examples;
use rookdoctor::facts::Cost;
use rookdoctor::facts::archive::Tree;
use rookdoctor::facts::live::{Options, connect};
use rookdoctor::report::{FailOn, Report, Run, SourceKind};
use serde_json::{Value, json};

use crate::double::{Double, Faults};
use crate::scenarios;
use crate::support::{self, Scenario};

/// Connects to the server and diagnoses the one cluster that it holds.
fn diagnose_live(double: &Double, timeout: Duration) -> Diagnosis {
    let options = Options { kubeconfig: Some(double.kubeconfig()), timeout: Some(timeout), ..Options::default() };
    let scope = Scope { timeout, ..Scope::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut all = runtime.block_on(async {
        let live = connect(&options).await.unwrap();
        diagnose(&live, checks::ALL, &scope, &|_, _| {}).await
    });
    assert_eq!(all.len(), 1, "one CephCluster is expected");
    all.remove(0)
}

/// The report, without what may differ between a cluster and its recording: the words of a reason.
fn report(diagnosis: &Diagnosis) -> Value {
    let run = Run {
        generated_at: Timestamp::UNIX_EPOCH,
        observed_at: Timestamp::UNIX_EPOCH,
        fail_on: FailOn::Warning,
        source: SourceKind::Live,
        context: None,
        kubernetes_version: None,
        cost: Cost::default(),
        duration: Duration::ZERO,
    };
    let mut report = serde_json::to_value(Report::new(diagnosis, &run)).unwrap();
    report["stats"] = Value::Null;
    for check in report["checks"].as_array_mut().unwrap() {
        *check = json!([check["code"], check["status"]]);
    }
    for unknown in report["unknowns"].as_array_mut().unwrap() {
        *unknown = json!([unknown["fact"], unknown["blinds"]]);
    }
    report
}

/// Where two reports differ.
fn differences(at: &str, live: &Value, bundle: &Value, found: &mut Vec<String>) {
    match (live, bundle) {
        (Value::Object(live), Value::Object(bundle)) => {
            let keys: std::collections::BTreeSet<_> = live.keys().chain(bundle.keys()).collect();
            for key in keys {
                let of = |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or_default();
                differences(&format!("{at}/{key}"), &of(live), &of(bundle), found);
            }
        }
        (Value::Array(live), Value::Array(bundle)) if live.len() == bundle.len() => {
            for (index, (live, bundle)) in live.iter().zip(bundle).enumerate() {
                differences(&format!("{at}/{index}"), live, bundle, found);
            }
        }
        _ if live != bundle => found.push(format!("{at}:\n    live   {live}\n    bundle {bundle}")),
        _ => {}
    }
}

#[test]
fn a_cluster_and_its_recording_give_one_report() {
    let recorded = examples::ALL.iter().map(|example| (example.name.to_owned(), support::base(example.name)));
    let scenarios = Scenario::all().into_iter().map(|scenario| (scenario.name.clone(), scenario.tree()));
    let work: Vec<(String, Tree)> = recorded.chain(scenarios).collect();
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((name, tree)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let started = std::time::Instant::now();
                    let double = Double::serve(tree.clone(), Faults::none());
                    let live = diagnose_live(&double, Duration::from_secs(60));
                    let mut found = Vec::new();
                    differences("", &report(&live), &report(scenarios::diagnosis(name)), &mut found);
                    eprintln!("{name} {:?}", started.elapsed());
                    if !found.is_empty() {
                        wrong.lock().unwrap().push(format!("## {name}\n{}\n", found.join("\n")));
                    }
                }
            });
        }
    });
    let mut wrong = wrong.into_inner().unwrap();
    wrong.sort();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
