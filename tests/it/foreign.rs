//! Recordings that other tools make: each format is written from a recorded cluster, as that tool lays it out, and
//! gives the same root causes; what it cannot hold is unknown.

mod writers;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use rookdoctor::check::Severity;
use rookdoctor::diagnosis::{Diagnosis, Status};
use rookdoctor::facts::archive::Tree;
use rookdoctor::facts::bundle::Bundle;
use rookdoctor::facts::layout::Format;
use rookdoctor::facts::{Row, Source};

use crate::support::{base, outline, run};
use writers::{Files, Recorded};

const KUBE_OVN: &str = "story5-kubeovn-after-reboot";
const CLOCK: &str = "story4-clock-and-pool-app";
/// What stands in the Secrets of every format.
const SECRET: &str = "c2VjcmV0LXBhc3N3b3Jk";

/// A writer of each format.
fn formats(recorded: &Recorded) -> Vec<(&'static str, Format, Files)> {
    vec![
        ("inspect", Format::MustGather, writers::inspect(recorded)),
        ("odf", Format::MustGather, writers::odf(recorded)),
        ("dump", Format::Dump, writers::dump(recorded)),
        ("support bundle", Format::SupportBundle, writers::support_bundle(recorded)),
        ("gather", Format::Gather, writers::gather(recorded)),
    ]
}

/// As a folder, which goes with its guard: what is read later is read from the disk.
fn as_folder(files: &Files) -> (Bundle, Option<tempfile::TempDir>) {
    let folder = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    (Bundle::open(folder.path()).unwrap(), Some(folder))
}

fn archive(files: &Files) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path, content.as_slice()).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

fn as_archive(files: &Files) -> Bundle {
    Bundle::from_archive("test.tar.gz", &archive(files)).unwrap()
}

fn open(files: &Files) -> Result<Tree, String> {
    Tree::from_archive("test.tar.gz", &archive(files)).map_err(|error| error.to_string())
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

fn roots(diagnosis: &Diagnosis) -> BTreeSet<&str> {
    diagnosis.roots.iter().map(|&at| diagnosis.findings[at].id.as_str()).collect()
}

fn statuses(diagnosis: &Diagnosis) -> BTreeMap<&str, Status> {
    diagnosis.outcomes.iter().map(|outcome| (outcome.check.code, outcome.status)).collect()
}

/// Nothing passes, and nothing is said not to arise, where the whole recording says otherwise.
fn nothing_is_lost_in_silence(name: &str, whole: &Diagnosis, part: &Diagnosis) {
    let of_whole = statuses(whole);
    for (code, status) in statuses(part) {
        let before = of_whole[code];
        assert!(status != Status::Passed || before == Status::Passed, "{name}: {code} passed, and was {before:?}");
        let is_dropped = status == Status::NotApplicable && before != Status::NotApplicable;
        assert!(!is_dropped, "{name}: {code} is said not to apply, and was {before:?}");
    }
}

#[test]
fn every_format_gives_the_same_root_cause() {
    let tree = base(KUBE_OVN);
    let whole = run(&Bundle::from_tree(tree.clone()).unwrap());
    for (name, format, files) in formats(&Recorded::of(&tree)) {
        for (bundle, _folder) in [as_folder(&files), (as_archive(&files), None)] {
            assert_eq!(bundle.format(), Some(format), "{name}");
            let part = run(&bundle);
            assert_eq!(roots(&part), roots(&whole), "{name}\n{}", outline(&part));
            nothing_is_lost_in_silence(name, &whole, &part);
            let late = whole_seconds(&bundle) - whole_seconds(&Bundle::from_tree(tree.clone()).unwrap());
            assert!(late.abs() < 120, "{name}: the clock is off by {late} s");
        }
    }
}

fn whole_seconds(bundle: &Bundle) -> i64 {
    bundle.now().as_second()
}

#[test]
fn a_stream_gives_what_its_folder_gives() {
    let tree = base(KUBE_OVN);
    let whole = run(&Bundle::from_tree(tree.clone()).unwrap());
    let stream = writers::stream(&Recorded::of(&tree));
    for bytes in [packed(&stream), stream] {
        let bundle = Bundle::from_archive("cluster.json", &bytes).unwrap();
        let part = run(&bundle);
        assert_eq!(bundle.format(), Some(Format::Dump));
        assert_eq!(roots(&part), roots(&whole), "{}", outline(&part));
        nothing_is_lost_in_silence("stream", &whole, &part);
    }
}

#[test]
fn answers_of_ceph_are_found_where_each_tool_puts_them() {
    let tree = base(CLOCK);
    let recorded = Recorded::of(&tree);
    let whole = run(&Bundle::from_tree(tree.clone()).unwrap());
    for (name, files) in [("odf", writers::odf(&recorded)), ("support bundle", writers::support_bundle(&recorded))] {
        let part = run(&as_archive(&files));
        assert_eq!(roots(&part), roots(&whole), "{name}\n{}", outline(&part));
        nothing_is_lost_in_silence(name, &whole, &part);
    }
}

#[test]
fn a_healthy_cluster_raises_no_alarm_and_is_not_said_to_be_healthy() {
    for name in ["healthy-multus-kubeovn", "healthy-csi-operator"] {
        let tree = base(name);
        let whole = run(&Bundle::from_tree(tree.clone()).unwrap());
        for (format, _, files) in formats(&Recorded::of(&tree)) {
            let part = run(&as_archive(&files));
            let alarms = part
                .findings
                .iter()
                .filter(|placed| placed.finding.severity > Severity::Info && !placed.check.about_sight);
            let alarms: Vec<&str> = alarms.map(|placed| placed.id.as_str()).collect();
            assert!(alarms.is_empty(), "{name} {format}: {alarms:?}");
            assert!(statuses(&part).values().any(|status| *status == Status::Unknown), "{name} {format}");
            nothing_is_lost_in_silence(format, &whole, &part);
        }
    }
}

#[test]
fn what_a_format_cannot_hold_is_unknown() {
    let tree = base(CLOCK);
    let ceph = [Row::CephStatus, Row::CephHealth, Row::TimeSync, Row::OsdTree, Row::OsdDump, Row::Pools];
    let objects =
        [Row::CephClusters, Row::Claims, Row::Volumes, Row::Attachments, Row::NodeLeases, Row::StorageClasses];
    for (name, format, files) in formats(&Recorded::of(&tree)) {
        let lacking: &[&[Row]] = match (name, format) {
            (_, Format::Dump) => &[&ceph, &objects],
            (_, Format::Gather) | ("inspect", _) => &[&ceph],
            (_, Format::SupportBundle) => &[&[Row::TimeSync, Row::OsdDump, Row::CsiDrivers]],
            _ => continue,
        };
        let part = run(&as_archive(&files));
        for row in lacking.iter().flat_map(|rows| rows.iter()) {
            let rests =
                part.outcomes.iter().filter(|outcome| outcome.touched.contains(row) && !outcome.check.about_sight);
            for outcome in rests {
                assert_ne!(outcome.status, Status::Passed, "{name}: {} passed without {row:?}", outcome.check.code);
            }
        }
    }
}

#[test]
fn no_secret_is_read() {
    let recorded = Recorded::of(&base(KUBE_OVN));
    for (name, _, files) in formats(&recorded) {
        let holds = |bytes: &[u8]| bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
        assert!(files.values().any(|content| holds(content)), "{name} holds no Secret to be left unread");
        let tree = open(&files).unwrap();
        for (path, file) in tree.below("") {
            assert!(!holds(&file.bytes().unwrap()), "{name}: {path}");
        }
    }
}

#[test]
fn a_folder_that_only_looks_like_a_recording_is_none() {
    for (path, content) in [
        ("cluster-resources/README.md", "x"),
        ("namespaces/README", "x"),
        ("namespaces/team-a/notes.txt", "x"),
        ("nodes.json", "{}"),
        ("a/pods.json", "{}"),
        ("ceph/status.json", "{}"),
        ("cluster/README", "x"),
    ] {
        let files = Files::from([(path.to_owned(), content.into())]);
        let error = open(&files).unwrap_err();
        assert!(error.contains("holds no recorded cluster") && error.contains("cluster-info dump"), "{path}: {error}");
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join(path);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::fs::write(at, content).unwrap();
        assert!(Bundle::open(folder.path()).is_err(), "{path}");
    }
    let other = br#"{"kind": "PodList", "items": []}"#;
    let error = Bundle::from_archive("pods.json", other).err().unwrap().to_string();
    assert!(error.contains("pods.json holds no recorded cluster"), "{error}");
}

fn pod(name: &str, node: &str) -> String {
    format!("{{kind: Pod, metadata: {{name: {name}, namespace: a}}, spec: {{nodeName: {node}}}}}")
}

fn pods(bundle: &Bundle) -> Vec<(String, String)> {
    use rookdoctor::facts::{Answer, Fact, Select, kinds};
    let fact = Fact::List { kind: kinds::POD, ns: Some("a".into()), select: Select::all() };
    let Answer::Objects(pods) = futures::executor::block_on(bundle.fetch(&fact)).unwrap().answer else { panic!() };
    let text = |pod: &serde_json::Value, path: &str| pod.pointer(path).unwrap().as_str().unwrap().to_owned();
    pods.iter().map(|pod| (text(pod, "/metadata/name"), text(pod, "/spec/nodeName"))).collect()
}

#[test]
fn of_two_digests_the_richer_is_believed() {
    let list = |pods: &[String]| format!("kind: List\nitems: [{}]\n", pods.join(", ")).into_bytes();
    let files = Files::from([
        ("mg/a-poor/namespaces/a/core/pods.yaml".to_owned(), list(&[pod("p", "old"), pod("q", "old")])),
        ("mg/b-rich/namespaces/a/core/pods.yaml".to_owned(), list(&[pod("p", "new")])),
        ("mg/b-rich/namespaces/a/core/events.yaml".to_owned(), list(&[])),
        (
            "mg/timestamp".to_owned(),
            b"2024-05-28 20:57:32.6 +0000 UTC m=+0.3\n2024-05-28 20:59:00.6 +0000 UTC m=+99\n".into(),
        ),
    ]);
    let expected = [("p", "new"), ("q", "old")].map(|(name, node)| (name.to_owned(), node.to_owned()));
    for (bundle, _folder) in [as_folder(&files), (as_archive(&files), None)] {
        assert_eq!(pods(&bundle), expected);
        assert_eq!(bundle.now(), "2024-05-28T20:59:00.6Z".parse().unwrap());
    }
}

#[test]
fn what_lies_beside_the_lists_of_a_must_gather_is_read() {
    use rookdoctor::facts::{Answer, Fact, Select, Why, kinds};
    let fetch = |bundle: &Bundle, fact: Fact| futures::executor::block_on(bundle.fetch(&fact)).map(|read| read.answer);
    let discovery = "kind: APIGroupDiscoveryList\napiVersion: apidiscovery.k8s.io/v2\nitems:\n\
        - metadata: {name: ceph.rook.io}\n  versions:\n  - version: v1\n    resources: [{resource: cephclusters}]\n";
    let claim = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: objectbucket.io/v1alpha1\n  kind: ObjectBucketClaim\n  \
        metadata: {name: obc, namespace: a}\n";
    let logs = "mg/image/namespaces/a/pods/p/c/c/logs";
    let files = [
        ("mg/image/namespaces/a/core/pods.yaml".to_owned(), pod("p", "w")),
        ("mg/image/aggregated-discovery-apis.yaml".to_owned(), discovery.to_owned()),
        ("mg/image/namespaces/a/oc_output/obc.yaml".to_owned(), claim.to_owned()),
        ("mg/image/namespaces/a/oc_output/storagecluster.yaml".to_owned(), "error: no such resource\n".to_owned()),
        (format!("{logs}/current.insecure.log"), "from the kubelet\n".to_owned()),
    ];
    let (bundle, _folder) = as_folder(&files.into_iter().map(|(path, text)| (path, text.into_bytes())).collect());
    let Ok(Answer::Kinds(served)) = fetch(&bundle, Fact::Discovery) else { panic!() };
    assert!(served.contains("ceph.rook.io/cephclusters") && !served.contains("kubeovn.io/subnets"));
    let list = |kind| Fact::List { kind, ns: Some("a".into()), select: Select::all() };
    let Ok(Answer::Objects(claims)) = fetch(&bundle, list(kinds::BUCKET_CLAIM)) else { panic!() };
    assert_eq!(claims.len(), 1);
    assert_eq!(fetch(&bundle, list(kinds::EVENT)).unwrap_err(), Why::NotCaptured);
    let log = Fact::Log { ns: "a".into(), pod: "p".into(), container: "c".into(), previous: false };
    assert!(matches!(fetch(&bundle, log), Ok(Answer::Text(text)) if text == b"from the kubelet\n"));
}

#[test]
fn an_empty_folder_says_nothing_of_its_kind() {
    use rookdoctor::facts::{Fact, Select, Why, kinds};
    let folder = tempfile::tempdir().unwrap();
    for path in ["namespaces/a/core/pods", "namespaces/a/core/events"] {
        std::fs::create_dir_all(folder.path().join(path)).unwrap();
    }
    std::fs::write(folder.path().join("namespaces/a/core/pods/p.yaml"), pod("p", "w")).unwrap();
    let bundle = Bundle::open(folder.path()).unwrap();
    let fact = Fact::List { kind: kinds::EVENT, ns: Some("a".into()), select: Select::all() };
    assert_eq!(futures::executor::block_on(bundle.fetch(&fact)).unwrap_err(), Why::NotCaptured);
}

#[test]
fn packed_files_are_unpacked_and_damaged_ones_named() {
    use rookdoctor::facts::{Fact, Why};
    let logs = "mg/namespaces/a/pods/p/c/c/logs";
    let long = packed(&b"line\n".repeat(300_000));
    let files = Files::from([
        (format!("{logs}/current.log.gz"), long.clone()),
        (format!("{logs}/previous.log.gz"), long[..long.len() / 2].to_vec()),
        ("mg/namespaces/a/core/pods.yaml.gz".to_owned(), packed(pod("p", "w").as_bytes())),
    ]);
    for (bundle, _folder) in [as_folder(&files), (as_archive(&files), None)] {
        assert_eq!(pods(&bundle).len(), 1);
        let log = |previous| {
            let (ns, pod, container) = ("a".into(), "p".into(), "c".into());
            let fact = Fact::Log { ns, pod, container, previous };
            futures::executor::block_on(bundle.fetch(&fact))
        };
        assert!(log(false).is_ok());
        let Err(Why::Malformed(why)) = log(true) else { panic!() };
        assert!(why.contains("namespaces/a/pods/p/c/c/logs/previous.log") && why.contains("gzip"), "{why}");
    }
}

#[test]
fn several_clusters_are_not_mixed() {
    let cluster = |name: &str| (format!("gather.all/{name}/namespaces/a/pods/p.yaml"), pod("p", "w").into_bytes());
    let mut files = Files::from([cluster("dr1"), cluster("dr2")]);
    let error = open(&files).unwrap_err();
    assert!(error.contains("several clusters: gather.all/dr1, gather.all/dr2"), "{error}");
    let ceph = "gather.all/dr2/namespaces/a/ceph.rook.io/cephclusters/a.yaml";
    files.insert(ceph.to_owned(), b"kind: CephCluster\nmetadata: {name: a, namespace: a}\n".to_vec());
    assert!(open(&files).unwrap().file("namespaces/a/ceph.rook.io/cephclusters/a.yaml").is_some());

    let gathered =
        |folder: &str| (format!("case/{folder}/image/namespaces/a/core/pods.yaml"), pod("p", "w").into_bytes());
    let error = open(&Files::from([gathered("monday"), gathered("tuesday")])).unwrap_err();
    assert!(error.contains("case/monday/image, case/tuesday/image"), "{error}");
}

#[test]
fn a_reason_that_was_recorded_is_told() {
    use rookdoctor::facts::{CephCommand, Fact, Select, Why, kinds};
    let recorded = Recorded::of(&base(CLOCK));
    let ask = |files: &Files, fact: Fact| futures::executor::block_on(as_archive(files).fetch(&fact));
    let ceph = || Fact::Ceph { ns: "rook-ceph".into(), command: CephCommand::OsdTree };

    let mut files = writers::support_bundle(&recorded);
    assert_eq!(as_archive(&files).server_version().as_deref(), Some("v1.34.1"));
    let root = "support-bundle-2026-10-06T05_44_51";
    files.retain(|path, _| !path.ends_with("/pods/kube-system.json") && !path.ends_with("/osd-tree.json"));
    let refused = br#"{"kube-system": "pods is forbidden: User \"u\" cannot list resource \"pods\""}"#;
    files.insert(format!("{root}/cluster-resources/pods-errors.json"), refused.to_vec());
    files.insert(format!("{root}/ceph/osd-tree.json-error"), b"failed to exec command: timeout".to_vec());
    let pods = Fact::List { kind: kinds::POD, ns: Some("kube-system".into()), select: Select::all() };
    assert!(matches!(ask(&files, pods), Err(Why::Forbidden(why)) if why.contains("cannot list")));
    assert_eq!(ask(&files, ceph()).unwrap_err(), Why::Timeout);

    let mut files = writers::odf(&recorded);
    files.retain(|path, _| !path.ends_with("/ceph_osd_tree_--format_json-pretty"));
    let log = format!("{}/ceph/logs/gather-ceph osd tree-json-debug.log", writers::DIGEST);
    files.insert(log, b"Error EINVAL: no such thing\ncommand terminated with exit code 22\n".to_vec());
    assert!(matches!(ask(&files, ceph()), Err(Why::Failed { stderr, .. }) if stderr.contains("EINVAL")));
}

#[test]
fn the_report_says_which_format_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dump.tar.gz");
    std::fs::write(&path, archive(&writers::dump(&Recorded::of(&base(KUBE_OVN))))).unwrap();
    let diagnose = |more: &[&str]| {
        let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_kubectl-rookdoctor"));
        let output = program.args(["diagnose", "--only", "OVN", "--bundle"]).arg(&path).args(more).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let report: serde_json::Value = serde_json::from_str(&diagnose(&["-o", "json"])).unwrap();
    assert_eq!(report["recording"]["format"], "kubectl cluster-info dump");
    assert!(report["recording"]["lacks"].as_str().unwrap().contains("no answers of Ceph"));
    assert_eq!((&report["cluster"]["name"], &report["cluster"]["source"]), (&"rook-ceph".into(), &"bundle".into()));
    let human = diagnose(&[]);
    assert!(human.contains("read as kubectl cluster-info dump: it has no custom resources"), "{human}");
}
