//! Recording a live cluster: the recording says what the cluster says.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use rookdoctor::capture::{Captured, Plan, capture};
use rookdoctor::checks;
use rookdoctor::diagnosis::{Scope, diagnose};
use rookdoctor::examples;
use rookdoctor::facts::archive::Tree;
use rookdoctor::facts::bundle::Bundle;
use rookdoctor::facts::live::{Live, Options, connect};
use rookdoctor::facts::manifest::MANIFEST;
use rookdoctor::facts::{Cluster, Cost, Fact, Reading, Source, Why};
use rookdoctor::overview;
use rookdoctor::report::{FailOn, Report, Run, SourceKind};
use serde_json::Value;

use crate::api::{differences, each};
use crate::double::{Act, Double, Fault, Faults};
use crate::support::{self, Scenario};

const A_MINUTE: Duration = Duration::from_secs(60);
const A_DAY: Duration = Duration::from_secs(24 * 3600);

/// A live cluster whose clock stands still.
struct Still(Live, Timestamp);

impl Source for Still {
    fn fetch<'a>(&'a self, fact: &'a Fact) -> futures::future::BoxFuture<'a, Result<Reading, Why>> {
        self.0.fetch(fact)
    }
    fn now(&self) -> Timestamp {
        self.1
    }
    fn cost(&self) -> Cost {
        self.0.cost()
    }
    fn clusters(&self, clusters: &[Cluster]) {
        self.0.clusters(clusters);
    }
    fn server_version(&self) -> Option<String> {
        self.0.server_version()
    }
}

fn scope() -> Scope {
    Scope { timeout: A_MINUTE, overviews: overview::ALL.to_vec(), ..Scope::default() }
}

/// The report without when and from where it was made.
async fn report(source: &dyn Source, fallback_namespace: &str) -> Value {
    let scope = Scope { fallback_namespace: fallback_namespace.to_owned(), ..scope() };
    let diagnoses = diagnose(source, checks::ALL, &scope, &|_, _| {}).await;
    let run = Run {
        generated_at: Timestamp::UNIX_EPOCH,
        observed_at: source.now(),
        fail_on: FailOn::Warning,
        source: SourceKind::Live,
        context: None,
        kubernetes_version: source.server_version(),
        cost: Cost::default(),
        duration: Duration::ZERO,
    };
    let reports = diagnoses.iter().map(|diagnosis| {
        let mut report = serde_json::to_value(Report::new(diagnosis, &run)).unwrap();
        report["stats"] = Value::Null;
        for (list, key) in [("findings", "id"), ("checks", "code"), ("unknowns", "fact")] {
            report[list] = by(&report[list], key);
        }
        report
    });
    reports.collect()
}

/// A list by a key of its items, which come with their places, so that differences name them.
fn by(items: &Value, key: &str) -> Value {
    let items = items.as_array().unwrap().iter().enumerate();
    let keyed = items.map(|(at, item)| (item[key].as_str().unwrap().to_owned(), serde_json::json!([at, item])));
    Value::Object(keyed.collect())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

async fn connected(double: &Double) -> Live {
    let options = Options { kubeconfig: Some(double.kubeconfig()), timeout: Some(A_MINUTE), ..Options::default() };
    connect(&options).await.unwrap()
}

fn captured(double: &Double, all: bool) -> Captured {
    let plan = Plan::new(Scope { timeout: A_MINUTE, ..Scope::default() }, all, A_DAY);
    runtime().block_on(async { capture(&connected(double).await, &plan, &|_, _, _, _| {}).await.unwrap() })
}

/// The recording, with the clock of the cluster at the beginning: how long this took is of no account.
fn recorded(captured: &Captured, now: Timestamp) -> Bundle {
    let mut tree = captured.tree.clone();
    let manifest = rookdoctor::facts::manifest::Manifest { capture_time: Some(now), ..captured.manifest.clone() };
    tree.write(MANIFEST, serde_json::to_vec(&manifest).unwrap());
    Bundle::from_tree(tree).unwrap()
}

/// Where the report of a cluster differs from that of its recording.
fn compared(tree: Tree, faults: &Faults, all: bool) -> (Vec<String>, Captured) {
    let double = Double::serve(tree.clone(), faults.clone());
    let (live, now, namespace) = runtime().block_on(async {
        let live = connected(&double).await;
        let now = Timestamp::from_second(live.now().as_second()).unwrap();
        let namespace = live.default_namespace().to_owned();
        (report(&Still(live, now), &namespace).await, now, namespace)
    });
    // Faults that strike so many times have been used up.
    let double = Double::serve(tree, faults.clone());
    let captured = captured(&double, all);
    assert!(double.requests().iter().all(|request| !is_secret(request)), "{:?}", double.requests());
    let recorded = runtime().block_on(report(&recorded(&captured, now), &namespace));
    let mut found = Vec::new();
    differences("", &live, &recorded, &mut found);
    (found, captured)
}

/// Whether a request is for Secrets.
fn is_secret(request: &str) -> bool {
    let path = request.split(' ').nth(1).unwrap().split('?').next().unwrap();
    path.split('/').any(|segment| segment.to_lowercase().starts_with("secret"))
}

#[test]
fn a_recording_says_what_the_cluster_says() {
    let work: Vec<(String, Tree)> =
        examples::ALL.iter().map(|example| (example.name.to_owned(), support::base(example.name))).collect();
    let wrong = each(&work, |(name, tree)| {
        let (found, _) = compared(tree.clone(), &Faults::none(), false);
        (!found.is_empty()).then(|| format!("## {name}\n{}\n", found.join("\n")))
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
