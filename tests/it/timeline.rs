//! `--timeline`: what happened, in order, and where the trouble begins.

use std::process::{Command, Output};
use std::time::Duration;

use rookdoctor::checks;
use rookdoctor::diagnosis::{Diagnosis, Scope, diagnose};
use rookdoctor::examples;
use rookdoctor::facts::archive::Tree;
use rookdoctor::facts::live::{Options, connect};
use rookdoctor::facts::{Source, Why};
use rookdoctor::report::{Mark, Report, Timeline};
use serde_json::{Value, json};

use crate::double::{Act, Double, Fault, Faults};
use crate::support::{self, run_of};

const A_MINUTE: Duration = Duration::from_secs(60);

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

async fn tell(source: &dyn Source, timeline: bool) -> (Diagnosis, Report) {
    let scope = Scope { timeline, timeout: A_MINUTE, ..Scope::default() };
    let diagnosis = diagnose(source, checks::ALL, &scope, &|_, _| {}).await.remove(0);
    let run = run_of(source);
    let report = Report::new(&diagnosis, &run);
    (diagnosis, report)
}

fn recorded(tree: Tree) -> Timeline {
    runtime().block_on(tell(&support::bundle(tree), true)).1.timeline.unwrap()
}

fn first_bad(timeline: &Timeline) -> Option<&Mark> {
    timeline.entries.iter().find(|mark| mark.first_bad)
}

/// Where the trouble of each story begins, as a person who knows it would say.
const BEGINNINGS: &[(&str, &str, &str)] = &[
    ("story1-nad-default-route", "2025-03-04T14:02:50Z", "3 of 3 monitors of a new cluster"),
    ("story1b-nad-host-local-duplicates", "2025-03-04T13:22:10Z", "from HEALTH_OK to HEALTH_WARN"),
    ("story2-csiaddons-9070-pending", "2025-03-19T04:15:37Z", "no node for pod csi-cephfsplugin-provisioner-"),
    ("story2b-csiaddons-9070-crash", "2024-12-10T13:38:32Z", "csi-cephfsplugin-provisioner-"),
    ("story2c-csi-operator-port", "2025-09-10T09:47:48Z", "cephfs.csi.ceph.com-ctrlplugin-"),
    ("story3-mixed-images", "2025-10-25T08:21:41Z", "leaves rook-ceph-osd-13 alone"),
    ("story3b-needless-osd-restarts", "2025-08-25T13:42:49Z", "9 OSDs were restarted without a new image"),
    ("story4-clock-and-pool-app", "2026-10-05T20:44:51Z", "from HEALTH_OK to HEALTH_WARN"),
    ("story4b-cold-start", "2025-12-29T07:08:34Z", "node schist-cp1 booted"),
    ("story4c-quorum-lost", "2025-10-14T17:50:45Z", "node marl-1 became unready"),
    ("story5-kubeovn-after-reboot", "2025-06-30T10:34:43Z", "node ash-w2 booted"),
    ("story5b-multus-text-file-busy", "2025-07-08T06:50:58Z", "node yew-w2 booted"),
    ("story6-osd-devices-skipped", "2025-05-20T11:48:57Z", "skipping device \"sdc\" because it contains"),
    ("story7-mon-down-one", "2025-09-03T18:03:52Z", "node agate-3 was cordoned by kubectl-cordon"),
];

#[test]
fn every_story_is_known_to_begin_somewhere() {
    let mut wrong = Vec::new();
    for example in examples::ALL {
        let timeline = recorded(support::base(example.name));
        let first = first_bad(&timeline);
        let known = BEGINNINGS.iter().find(|(name, ..)| *name == example.name);
        let is_right = match (first, known) {
            (Some(mark), Some((_, at, what))) => {
                mark.at.strftime("%FT%TZ").to_string() == *at && mark.what.contains(what) && mark.bad
            }
            (None, None) => example.name.starts_with("healthy"),
            _ => false,
        };
        if !is_right {
            wrong.push(format!("{}: {first:?}", example.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_story_is_in_order_whole_and_the_same_again() {
    for example in examples::ALL {
        let timeline = recorded(support::base(example.name));
        assert!(timeline.entries.is_sorted_by_key(|mark| mark.at), "{}", example.name);
        assert!(timeline.entries.iter().filter(|mark| mark.first_bad).count() <= 1, "{}", example.name);
        let over = Why::OverBudget.to_string();
        assert!(timeline.blind.iter().all(|blind| !blind.contains(&over)), "{}: {:?}", example.name, timeline.blind);
        let again = recorded(support::base(example.name));
        assert_eq!(json!(timeline), json!(again), "{}", example.name);
    }
}

#[test]
fn a_story_changes_neither_findings_nor_verdict() {
    for example in examples::ALL {
        let source = support::bundle(support::base(example.name));
        let (_, with) = runtime().block_on(tell(&source, true));
        let (_, without) = runtime().block_on(tell(&source, false));
        assert!(without.timeline.is_none());
        let plain = |report: &Report| {
            let mut value = json!(report);
            value["timeline"] = Value::Null;
            value["stats"] = Value::Null;
            value
        };
        assert_eq!(plain(&with), plain(&without), "{}", example.name);
    }
}

/// The events of a namespace of a tree, changed.
fn with_events(name: &str, change: impl Fn(&mut Vec<Value>)) -> Tree {
    const EVENTS: &str = "namespaces/rook-ceph/core/events.yaml";
    let mut tree = support::base(name);
    let mut events = tree.file(EVENTS).unwrap().objects().unwrap().to_vec();
    change(&mut events);
    let list = json!({"apiVersion": "v1", "kind": "List", "items": events});
    tree.write(EVENTS, list.to_string().into_bytes());
    tree
}

fn warning(number: usize, message: &str, at: &str) -> Value {
    json!({
        "metadata": {"name": format!("added-{number}"), "namespace": "rook-ceph"}, "type": "Warning",
        "reason": "Added", "message": message, "firstTimestamp": at, "lastTimestamp": at,
        "involvedObject": {"kind": "Pod", "namespace": "rook-ceph", "name": "some-pod"},
    })
}

#[test]
fn hostile_messages_stay_words() {
    let evil = format!("\u{1b}[31mred\u{202e} | ![x](http://a)\nTIMELINE <b>@all {}", "x".repeat(100_000));
    let tree = with_events("story7-mon-down-one", |events| {
        events.push(warning(0, &evil, "2025-09-03T19:00:00Z"));
        events.push(warning(1, "from the far future", "9999-12-30T00:00:00Z"));
        events.push(warning(2, "from before all time", "-009999-01-02T01:59:59Z"));
        let mut undated = warning(3, "at no time", "");
        undated.as_object_mut().unwrap().retain(|key, _| !key.ends_with("Timestamp"));
        events.push(undated);
    });
    let (_, report) = runtime().block_on(tell(&support::bundle(tree), true));
    let timeline = report.timeline.as_ref().unwrap();
    let told = timeline.entries.iter().find(|mark| mark.what.contains("red")).unwrap();
    assert!(!told.what.contains(['\u{1b}', '\u{202e}', '\n']) && told.what.chars().count() <= 401, "{}", told.what);
    assert_eq!(timeline.left_out, 1, "the one without a time");
    let first = first_bad(timeline).unwrap();
    assert!(first.what.contains("was cordoned"), "{first:?}");
    let look = rookdoctor::report::human::Look { width: 80, verbose: true, quiet: false };
    let page = rookdoctor::report::human::render(&report, look);
    assert!(page.contains("from the far future") && !page.contains('\u{202e}') && !page.contains("[31mred"));
    let table = rookdoctor::report::markdown::markdown(&rookdoctor::report::Document::new(vec![report]));
    let row = table.lines().find(|line| line.contains("\\!\\[x")).unwrap();
    assert!(row.starts_with("| 2025-09-03 19:00:00Z | bad | event |"), "{row}");
}

#[test]
fn a_flood_of_events_is_bounded_and_counted() {
    let tree = with_events("story7-mon-down-one", |events| {
        events.extend((0..1000).map(|number| warning(number, &format!("number {number}"), "2025-09-03T19:00:00Z")));
    });
    let timeline = recorded(tree);
    assert_eq!(timeline.entries.len(), 200);
    assert!(timeline.left_out >= 800, "{}", timeline.left_out);
    assert!(first_bad(&timeline).unwrap().what.contains("was cordoned"));
}

#[test]
fn an_operator_of_several_clusters_may_tell_of_another() {
    let path = "namespaces/storage/ceph.rook.io/cephclusters.yaml";
    let said = |tree: Tree| recorded(tree).blind.iter().any(|blind| blind.contains("several CephClusters"));
    let alone = support::base("healthy-hostnet-120");
    let mut both = alone.clone();
    let mut clusters = alone.file(path).unwrap().objects().unwrap().to_vec();
    let mut other = clusters[0].clone();
    other["metadata"]["name"] = "other".into();
    clusters.push(other);
    both.write(path, json!({"apiVersion": "v1", "kind": "List", "items": clusters}).to_string().into_bytes());
    assert!(!said(alone) && said(both));
}

/// What a live cluster tells, with and without its story, and how many requests each took.
fn live(name: &str, faults: &Faults) -> [(Report, usize); 2] {
    [true, false].map(|timeline| {
        let double = Double::serve(support::base(name), faults.clone());
        let report = runtime().block_on(async {
            let options =
                Options { kubeconfig: Some(double.kubeconfig()), timeout: Some(A_MINUTE), ..Options::default() };
            tell(&connect(&options).await.unwrap(), timeline).await.1
        });
        (report, double.requests().len())
    })
}

#[test]
fn a_live_cluster_tells_the_story_of_its_recording_with_few_more_requests() {
    for name in ["story5-kubeovn-after-reboot", "story4c-quorum-lost", "healthy-classic-podnet"] {
        let [(with, many), (_, few)] = live(name, &Faults::none());
        let recording = recorded(support::base(name));
        assert_eq!(json!(with.timeline.unwrap()), json!(recording), "{name}");
        assert!(many <= few + 10, "{name}: {many} requests, {few} without");
    }
}

#[test]
fn what_could_not_be_read_is_told() {
    let refused = Faults::some([Fault::at("/api/v1/events", Act::Refuse(403))]);
    let [(with, _), _] = live("story7-mon-down-one", &refused);
    let timeline = with.timeline.unwrap();
    assert!(
        timeline.blind.iter().any(|blind| blind.contains("events (involvedObject.kind=Node): forbidden")),
        "{:?}",
        timeline.blind
    );
    assert!(!timeline.entries.is_empty());
}

fn run(args: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_kubectl-rookdoctor");
    Command::new(program).args(args).env("NO_COLOR", "1").env("COLUMNS", "100").output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn the_story_stands_after_the_causes() {
    let story = ["--example", "story7-mon-down-one", "--timeline"];
    let output = run(&story);
    assert_eq!(output.status.code(), Some(1));
    let page = stdout(&output);
    let place = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text} is not in {page}"));
    assert!(place("ROOT CAUSE") < place("TIMELINE (UTC)") && place("TIMELINE (UTC)") < place("THE TREE"));
    assert!(page.contains("18:03:52 → ✖ change   FIRST BAD: node agate-3 was cordoned by kubectl-cordon"), "{page}");
    let longer = ["--example", "story5-kubeovn-after-reboot", "--timeline"];
    let page = stdout(&run(&longer));
    let part: Vec<&str> = page.lines().skip_while(|line| !line.starts_with("TIMELINE")).collect();
    let part: Vec<&str> = part.into_iter().take_while(|line| !line.starts_with("CONTEXT")).collect();
    assert!(part.iter().any(|line| line.contains("lines not shown: ")), "{part:#?}");
    assert!(part.iter().all(|line| line.chars().count() <= 100), "{part:#?}");
    let whole = stdout(&run(&[&longer[..], &["-v"]].concat()));
    assert!(!whole.contains("lines not shown: "), "{whole}");
    assert!(!stdout(&run(&story[..2])).contains("TIMELINE"));
    let quiet = run(&[&story[..], &["-q"]].concat());
    assert_eq!((quiet.status.code(), stdout(&quiet).lines().count()), (Some(1), 1));
    let markdown = stdout(&run(&[&story[..], &["-o", "markdown"]].concat()));
    assert!(markdown.contains("| **first bad** | change | node agate-3 was cordoned"), "{markdown}");
    let healthy = stdout(&run(&["--example", "healthy-classic-podnet", "--timeline"]));
    assert!(healthy.contains("TIMELINE (UTC)") && !healthy.contains("FIRST BAD"), "{healthy}");
}

#[test]
fn without_a_cluster_there_is_no_story() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("namespaces/default")).unwrap();
    std::fs::write(folder.path().join("namespaces/default/default.yaml"), "kind: Namespace\n").unwrap();
    let output = run(&["--bundle", folder.path().to_str().unwrap(), "--timeline", "-o", "json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["cluster"], Value::Null);
    assert_eq!(report["timeline"]["entries"], json!([]));
    let blind = report["timeline"]["blind"][0].as_str().unwrap();
    assert!(blind.starts_with("no CephCluster was seen"), "{blind}");
}
