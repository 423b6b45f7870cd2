//! Recording a live cluster: the recording says what the cluster says.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rookdoctor::capture::{Captured, Plan, capture};
use rookdoctor::checks;
use rookdoctor::diagnosis::{Scope, diagnose};
use rookdoctor::examples;
use rookdoctor::facts::archive::Tree;
use rookdoctor::facts::bundle::Bundle;
use rookdoctor::facts::live::{Live, Options, connect};
use rookdoctor::facts::manifest::MANIFEST;
use rookdoctor::facts::{Cluster, Cost, Fact, Kind, Reading, Source, Why, kinds};
use rookdoctor::overview;
use rookdoctor::report::Report;
use serde_json::Value;

use crate::api::{differences, each};
use crate::double::{Act, Double, Fault, Faults};
use crate::support::{self, Scenario, run_of};

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
    Scope { timeout: A_MINUTE, overviews: overview::ALL.to_vec(), timeline: true, ..Scope::default() }
}

/// The report without when and from where it was made.
async fn report(source: &dyn Source, fallback_namespace: &str) -> Value {
    let scope = Scope { fallback_namespace: fallback_namespace.to_owned(), ..scope() };
    let diagnoses = diagnose(source, checks::ALL, &scope, &|_, _| {}).await;
    let run = run_of(source);
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
    // The namespace of the context, for who may not look into all.
    let namespace = Some("rook-ceph".to_owned());
    let kubeconfig = Some(double.kubeconfig());
    connect(&Options { kubeconfig, namespace, timeout: Some(A_MINUTE), ..Options::default() }).await.unwrap()
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

/// Scenarios in which logs, commands, sockets and single objects decide, and such that are hard to see.
const SCENARIOS: [&str; 13] = [
    "ACC005-not-captured",
    "ACC002-permission-missing",
    "ACC006-webhook-dead",
    "CSI001-service-account-missing",
    "MON013-no-place",
    "NODE013-quota",
    "OPR002-api-out-of-reach",
    "OPR003-operator-cannot-reach-mons-near-miss",
    "OPR012-rights-and-crds",
    "combined-full-and-without-certificate",
    "MON003-",
    "OSD004-",
    "NET015-",
];

#[test]
fn a_recording_says_what_scenarios_say() {
    // `EVERY=1 cargo test --test it what_scenarios_say` tries all of them.
    let every = std::env::var_os("EVERY").is_some();
    let chosen = |scenario: &Scenario| every || SCENARIOS.iter().any(|name| scenario.name.starts_with(name));
    let work: Vec<Scenario> = Scenario::all().into_iter().filter(chosen).collect();
    assert!(work.len() >= SCENARIOS.len());
    let wrong = each(&work, |scenario| {
        let (found, _) = compared(scenario.tree(), &Faults::none(), false);
        (!found.is_empty()).then(|| format!("## {}\n{}\n", scenario.name, found.join("\n")))
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const BASE: &str = "healthy-classic-podnet";

/// What fails for a diagnosis fails for a capture, and the recording says so as the cluster does.
#[test]
fn failures_are_recorded_as_what_they_are() {
    let lists = |path: &str, act| Faults::some([Fault::at(path, act)]);
    let all_namespaces = |path: &str| Fault::at(path, Act::Refuse(403)).query("limit=");
    let work = [
        ("no nodes", BASE, lists("/api/v1/nodes", Act::Refuse(403)), "nodes", "forbidden"),
        ("no DaemonSets", BASE, lists("/apis/apps/v1/daemonsets", Act::Refuse(403)), "daemonsets.apps/*", "forbidden"),
        (
            "no CephClusters of all",
            BASE,
            lists("/apis/ceph.rook.io/v1/cephclusters", Act::Refuse(403)),
            "cephclusters.ceph.rook.io/*",
            "forbidden",
        ),
        ("no pods", BASE, lists("/api/v1/namespaces/rook-ceph/pods", Act::Refuse(403)), "pods/rook-ceph", "forbidden"),
        (
            "no exec",
            BASE,
            lists("/api/v1/namespaces/*/pods/*/exec", Act::Refuse(403)),
            "ceph status/rook-ceph",
            "forbidden",
        ),
        (
            "no logs",
            "story7-mon-down-one",
            lists("/api/v1/namespaces/*/pods/*/log", Act::Refuse(403)),
            "log/rook-ceph",
            "forbidden",
        ),
        (
            "may get, not list",
            "story1-nad-default-route",
            Faults::some([all_namespaces("/api/v1/namespaces/rook-ceph/configmaps")]),
            "configmaps/rook-ceph",
            "forbidden",
        ),
        (
            "a broken list",
            BASE,
            lists("/apis/storage.k8s.io/v1/csidrivers", Act::Truncate),
            "csidrivers.storage.k8s.io",
            "error: malformed: ",
        ),
        (
            "a list that fails",
            BASE,
            lists("/api/v1/persistentvolumes", Act::Refuse(500)),
            "persistentvolumes",
            "error: 500",
        ),
        ("no discovery", BASE, lists("/apis", Act::Refuse(403)), "API discovery", "forbidden"),
        ("no quorum", "story4c-quorum-lost", Faults::none(), "ceph osd tree/rook-ceph", "timeout"),
    ];
    let wrong = each(&work, |(name, base, faults, what, how)| {
        let (found, captured) = compared(support::base(base), faults, false);
        let said = captured.missing().any(|(missing, why)| missing.starts_with(what) && why.starts_with(how));
        let missing: Vec<_> = captured.missing().collect();
        (!found.is_empty() || !said).then(|| format!("## {name}\n{}\n{missing:#?}", found.join("\n")))
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whose role is of one namespace sees little, and the recording neither more nor less.
#[test]
fn one_namespace_is_enough_to_record_it() {
    let path = |kind: &Kind| match kind.group {
        "" => format!("/api/{}/{}", kind.version, kind.plural),
        group => format!("/apis/{group}/{}/{}", kind.version, kind.plural),
    };
    let everywhere = kinds::ALL.iter().filter(|kind| **kind != kinds::NAMESPACE);
    let mut faults: Vec<Fault> = everywhere.map(|kind| Fault::at(&path(kind), Act::Refuse(403))).collect();
    let others = ["kube-system", "kube-node-lease"].map(|ns| format!("/api/v1/namespaces/{ns}"));
    faults.extend(others.iter().map(|path| Fault::at(path, Act::Refuse(403))));
    let (found, captured) = compared(support::base("story7-mon-down-one"), &Faults::some(faults), false);
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert!(captured.tree.file("namespaces/rook-ceph/ceph.rook.io/cephclusters.yaml").is_some());
    assert!(captured.counts.answers >= 10, "{:?}", captured.counts);
}

/// Everything that a person wants is there, bounded, and the diagnosis of it is still the same.
#[test]
fn all_is_more_and_says_the_same() {
    let tree = support::base("story2-csiaddons-9070-pending");
    let (found, captured) = compared(tree.clone(), &Faults::none(), true);
    assert!(found.is_empty(), "{}", found.join("\n"));
    let (_, few) = compared(tree, &Faults::none(), false);
    assert!(captured.counts.logs > 3 * few.counts.logs.max(1), "{:?} {:?}", captured.counts, few.counts);
    assert!(captured.counts.answers > 15 + few.counts.answers, "{:?} {:?}", captured.counts, few.counts);
    let has = |path: &str| captured.tree.below(path).next().is_some();
    for path in [
        "ceph/namespaces/rook-ceph/must_gather_commands/ceph_osd_tree",
        "ceph/namespaces/rook-ceph/must_gather_commands_json_output/ceph_df_detail_--format_json",
        "cluster-scoped-resources/kubeovn.io/vpcs.yaml",
        "namespaces/rook-ceph/core/serviceaccounts.yaml",
        "cluster-scoped-resources/rbac.authorization.k8s.io/clusterroles.yaml",
    ] {
        assert!(has(path), "{path} in {:#?}", captured.tree.below("").map(|(path, _)| path).collect::<Vec<_>>());
    }
    assert!(!captured.tree.below("").any(|(path, _)| path.contains("secret")));
    assert!(!captured.tree.below("namespaces/apps/core/").any(|(path, _)| path.contains("pods")), "pods of strangers");
}

/// A server that stays silent holds a capture up no longer than it may last, and what is left says so.
#[test]
fn the_time_is_kept() {
    let slow = Fault::at("/api/v1/events", Act::Slow(Duration::from_secs(30)));
    let double = Double::serve(support::base(BASE), Faults::some([slow]));
    let started = Instant::now();
    let folder = tempfile::tempdir().unwrap();
    let ran = run(&double, folder.path(), "capture -f a.tar.gz --timeout 5s -o json");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert_eq!(ran.status.code(), Some(3), "{}", said(&ran));
    let summary: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let missing = summary["missing"].as_array().unwrap();
    assert!(missing.iter().any(|missing| missing["what"] == "events in all namespaces" && missing["why"] == "timeout"));
}

fn command(double: &Double, folder: &Path, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-rookdoctor"));
    command.env_clear().env("LANG", "C.UTF-8").env("HOME", "/nonexistent").env("KUBECONFIG", double.kubeconfig());
    command.current_dir(folder).args(arguments.split(' '));
    command
}

fn run(double: &Double, folder: &Path, arguments: &str) -> Output {
    command(double, folder, arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn names(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn the_command_writes_a_file_that_is_diagnosed_elsewhere() {
    let double = Double::serve(support::base("story7-mon-down-one"), Faults::none());
    let folder = tempfile::tempdir().unwrap();
    let ran = run(&double, folder.path(), "capture");
    let [name] = &names(folder.path())[..] else { panic!("{:?} {}", names(folder.path()), said(&ran)) };
    assert!(name.starts_with("double-20250903T2008") && name.ends_with("Z.tar.gz"), "{name}");
    let stdout = String::from_utf8(ran.stdout.clone()).unwrap();
    assert!(stdout.starts_with(&format!("captured double in {name}\n")), "{}", said(&ran));
    let live = run(&double, folder.path(), "-o json");
    let elsewhere = run(&double, folder.path(), &format!("--bundle {name} -o json"));
    let [live, elsewhere]: [Value; 2] = [live, elsewhere]
        .map(|output| serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output))));
    assert_eq!((&live["rootCauses"], &live["verdict"]), (&elsewhere["rootCauses"], &elsewhere["verdict"]));

    let again = run(&double, folder.path(), &format!("capture -f {name}"));
    assert_eq!(again.status.code(), Some(64), "{}", said(&again));
    assert!(said(&again).contains("--overwrite"), "{}", said(&again));
    let again = run(&double, folder.path(), &format!("capture -q --overwrite -f {name}"));
    assert_eq!(String::from_utf8(again.stdout).unwrap(), format!("{name}\n"));
    let piped = run(&double, folder.path(), "capture -f -");
    let tree = Tree::from_archive("stdout", &piped.stdout).unwrap();
    assert!(tree.file(MANIFEST).is_some() && String::from_utf8(piped.stderr).unwrap().contains("captured double"));
    assert_eq!(names(folder.path()).len(), 1, "{:?}", names(folder.path()));
}

/// Names are gone from the archive, and the same is found in it.
#[test]
fn names_can_be_left_out() {
    let double = Double::serve(support::base("story7-mon-down-one"), Faults::none());
    let folder = tempfile::tempdir().unwrap();
    let ran = run(&double, folder.path(), "capture --anonymize -o json");
    let summary: Value = serde_json::from_slice(&ran.stdout).unwrap_or_else(|_| panic!("{}", said(&ran)));
    let file = summary["path"].as_str().unwrap();
    assert!(file.starts_with("rookdoctor-"), "{file}");
    let table = std::fs::read_to_string(folder.path().join(summary["replaced"].as_str().unwrap())).unwrap();
    assert!(table.contains("agate-3"), "{table}");
    let tree = Tree::open(&folder.path().join(file)).unwrap();
    for (path, file) in tree.below("") {
        let text = String::from_utf8_lossy(&file.bytes().unwrap()).into_owned() + path;
        assert!(!text.contains("agate-3") && !text.contains("\"double\""), "{path}");
    }
    let codes = |name: &str| -> Vec<String> {
        let report = run(&double, folder.path(), &format!("{name} -o json"));
        let report: Value = serde_json::from_slice(&report.stdout).unwrap();
        let roots = report["rootCauses"].as_array().unwrap().iter();
        roots.map(|root| root.as_str().unwrap().split('/').next().unwrap().to_owned()).collect()
    };
    assert_eq!(codes("diagnose"), codes(&format!("--bundle {file}")));
}

#[test]
fn what_could_not_be_read_is_told() {
    let refused = Fault::at("/api/v1/nodes", Act::Refuse(403));
    let double = Double::serve(support::base(BASE), Faults::some([refused]));
    let folder = tempfile::tempdir().unwrap();
    let ran = run(&double, folder.path(), "capture -f here");
    assert_eq!(ran.status.code(), Some(3), "{}", said(&ran));
    assert!(String::from_utf8_lossy(&ran.stdout).contains("forbidden: nodes"), "{}", said(&ran));
    assert!(String::from_utf8_lossy(&ran.stderr).contains("not everything could be captured: "), "{}", said(&ran));
    assert_eq!(names(folder.path()), ["here"]);
    let nobody = command(&double, folder.path(), "capture --server http://127.0.0.1:1").output().unwrap();
    assert_eq!((nobody.status.code(), names(folder.path()).len()), (Some(3), 1), "{}", said(&nobody));
    assert!(said(&nobody).contains("no connection to"), "{}", said(&nobody));
}

#[cfg(unix)]
#[test]
fn an_interruption_leaves_nothing_behind() {
    let slow = Fault::at("/api/v1/events", Act::Slow(Duration::from_secs(30)));
    let double = Double::serve(support::base(BASE), Faults::some([slow]));
    let folder = tempfile::tempdir().unwrap();
    for file in ["a.tar.gz", "folder"] {
        let mut command = command(&double, folder.path(), &format!("capture -f {file}"));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let begun = Instant::now();
        while names(folder.path()).is_empty() || begun.elapsed() < Duration::from_secs(2) {
            assert!(begun.elapsed() < Duration::from_secs(20) && child.try_wait().unwrap().is_none(), "it ended early");
            std::thread::sleep(Duration::from_millis(50));
        }
        let interrupted = Instant::now();
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert!(interrupted.elapsed() < Duration::from_secs(5), "{:?}", interrupted.elapsed());
        assert!(names(folder.path()).is_empty(), "{:?}", names(folder.path()));
    }
}
