//! The double of the API server, and what is proved with it: a live cluster and its recording give one report.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use rookdoctor::checks;
use rookdoctor::diagnosis::{Diagnosis, Scope, diagnose};
use rookdoctor::examples;
use rookdoctor::facts::archive::Tree;
use rookdoctor::facts::live::{Live, Options, connect};
use rookdoctor::facts::{Cluster, Cost, Fact, Reading, Source, Why};
use rookdoctor::report::{FailOn, Report, Run, SourceKind};
use serde_json::Value;

use crate::double::{Double, Faults};
use crate::scenarios;
use crate::support::{self, Scenario};

/// A live cluster whose clock stands still, so that no age depends on how fast this machine is.
struct Still {
    live: Live,
    now: Timestamp,
}

impl Source for Still {
    fn fetch<'a>(&'a self, fact: &'a Fact) -> BoxFuture<'a, Result<Reading, Why>> {
        self.live.fetch(fact)
    }
    fn now(&self) -> Timestamp {
        self.now
    }
    fn cost(&self) -> Cost {
        self.live.cost()
    }
    fn clusters(&self, clusters: &[Cluster]) {
        self.live.clusters(clusters);
    }
    fn server_version(&self) -> Option<String> {
        self.live.server_version()
    }
}

/// Connects to the server and diagnoses the one cluster that it holds.
fn diagnose_live(double: &Double, timeout: Duration) -> Diagnosis {
    let options = Options { kubeconfig: Some(double.kubeconfig()), timeout: Some(timeout), ..Options::default() };
    let scope = Scope { timeout, ..Scope::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut all = runtime.block_on(async {
        let live = connect(&options).await.unwrap();
        let now = Timestamp::from_second(live.now().as_second()).unwrap();
        diagnose(&Still { live, now }, checks::ALL, &scope, &|_, _| {}).await
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
    report["order"] = report["findings"].as_array().unwrap().iter().map(|finding| finding["id"].clone()).collect();
    report["findings"] = by(&report["findings"], "id", |finding| finding.clone());
    report["checks"] = by(&report["checks"], "code", |check| check["status"].clone());
    report["unknowns"] = by(&report["unknowns"], "fact", |unknown| unknown["blinds"].clone());
    report
}

fn by(items: &Value, key: &str, keep: fn(&Value) -> Value) -> Value {
    let items = items.as_array().unwrap().iter();
    Value::Object(items.map(|item| (item[key].as_str().unwrap().to_owned(), keep(item))).collect())
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
