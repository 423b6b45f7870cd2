//! `serve`, as a process: the real kubectl, and requests as no kubectl sends them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::api::{differences, each};
use crate::support::kubectl_minor;

const BROKEN: &str = "story5-kubeovn-after-reboot";
const CLASSIC: &str = "healthy-classic-podnet";
const PROGRAM: &str = env!("CARGO_BIN_EXE_kubectl-rookdoctor");

/// A running `serve`. It ends when this is dropped.
struct Served {
    child: Child,
    folder: TempDir,
    /// What it said when it began.
    said: String,
}

impl Served {
    fn example(name: &str) -> Self {
        Self::start(&["--example", name])
    }

    fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config");
        let mut child = Command::new(PROGRAM)
            .arg("serve")
            .args(arguments)
            .arg("-f")
            .arg(&config)
            .stderr(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        while !said.contains("serving ") {
            assert!(lines.read_line(&mut said).unwrap() > 0, "it ended: {said}");
        }
        Self { child, folder, said }
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("config")
    }

    /// Host and port, and the path that leads in.
    fn address(&self) -> (String, String) {
        let config = std::fs::read_to_string(self.config()).unwrap();
        let url = config.lines().find_map(|line| line.trim().strip_prefix("server: http://")).unwrap();
        let (host, key) = url.split_once('/').unwrap();
        (host.to_owned(), format!("/{key}"))
    }

    fn kubectl(&self, arguments: &str) -> Output {
        let ran = Command::new("kubectl")
            .args(arguments.split(' '))
            .env("HOME", self.folder.path())
            .env("KUBECONFIG", self.config())
            .env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "true")
            .output();
        ran.unwrap_or_else(|error| panic!("kubectl cannot be run ({error}): these tests need it, install it"))
    }

    /// What kubectl prints when all goes well.
    fn shown(&self, arguments: &str) -> String {
        let ran = self.kubectl(arguments);
        assert!(ran.status.success(), "kubectl {arguments}: {}", text(&ran.stderr));
        text(&ran.stdout)
    }

    /// What kubectl complains of.
    fn refused(&self, arguments: &str) -> String {
        let ran = self.kubectl(arguments);
        assert_eq!(ran.status.code(), Some(1), "kubectl {arguments}: {}", text(&ran.stdout));
        text(&ran.stderr)
    }

    /// One request, with the key in front of its path and these headers instead of the usual one.
    fn ask(&self, method: &str, path: &str, headers: &str) -> (u16, String) {
        let (host, key) = self.address();
        ask(&host, method, &format!("{key}{path}"), &format!("Host: {host}\r\n{headers}"))
    }

    fn json(&self, path: &str, accept: &str) -> (u16, Value) {
        let (status, body) = self.ask("GET", path, &format!("Accept: {accept}\r\n"));
        (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Status and body of one request over a connection of its own.
fn ask(host: &str, method: &str, path: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\n{headers}Connection: close\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = text(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// From this minor version on kubectl does what these tests ask; before, some of it.
const KNOWN_KUBECTL: u32 = 27;

/// The name of one pod.
fn pod(served: &Served, app: &str) -> String {
    let names = served.shown(&format!("get pods -n rook-ceph -l app={app} -o name"));
    names.lines().next().unwrap().trim_start_matches("pod/").to_owned()
}

#[test]
fn kubectl_reads_a_served_recording() {
    for (example, lines) in [
        (
            BROKEN,
            &[
                ("get pods", &["NAME", "READY", "STATUS", "Running", "Unknown"][..]),
                ("get subnets.kubeovn.io", &["NAME", "ovn-default"]),
                ("get network-attachment-definitions -A", &["NAMESPACE", "rook-ceph"]),
                ("describe node ash-w2", &["Non-terminated Pods", "rook-ceph-osd-4", "Rebooted", "RenewTime"]),
                ("describe network-attachment-definitions -A", &["Kind:", "NetworkAttachmentDefinition", "Config:"]),
                ("describe pod -l app=rook-ceph-osd", &["FailedCreatePodSandBox", "Events:"]),
            ][..],
        ),
        (
            CLASSIC,
            &[
                ("get pods -o wide", &["NOMINATED NODE", "READINESS GATES", "birch-w1"]),
                ("get po -A --chunk-size=5", &["NAMESPACE", "kube-system", "rook-ceph-mon-a"]),
                ("get nodes -o custom-columns=A:.metadata.name,B:.spec.podCIDR", &["A", "B", "birch-w1"]),
                ("get deploy rook-ceph-operator", &["UP-TO-DATE", "1/1"]),
                ("get deploy -l app=rook-ceph-osd -o name", &["deployment.apps/rook-ceph-osd-0"]),
                ("get pods --field-selector spec.nodeName=birch-w1,status.phase=Running", &["Running"]),
                ("get nodes --field-selector spec.unschedulable=false", &["birch-w1"]),
                ("get pods --sort-by=.metadata.creationTimestamp", &["rook-ceph-operator"]),
                ("get ns,sc,pv,pvc,cm,svc -A", &["namespace/kube-system", "rook-ceph-block", "Bound", "ClusterIP"]),
                ("get csidrivers,csinodes,clusterroles", &["ATTACHREQUIRED", "DRIVERS", "CREATED AT"]),
                ("get cephclusters -A -o yaml", &["kind: CephCluster", "dataDirHostPath"]),
                ("get events -A", &["LAST SEEN", "REASON"]),
                ("describe deploy rook-ceph-operator", &["NewReplicaSet:", "Pod Template:"]),
                ("describe pvc -A", &["Used By:", "StorageClass:"]),
                ("describe pv", &["Source:", "rook-ceph.rbd.csi.ceph.com"]),
                ("describe cephclusters", &["Data Dir Host Path:"]),
                ("describe ns rook-ceph", &["Status:"]),
                ("describe svc", &["Endpoints:"]),
                ("api-resources", &["cephclusters", "statefulsets", "sts"]),
                ("api-versions", &["apps/v1", "ceph.rook.io/v1"]),
                ("cluster-info", &["127.0.0.1"]),
                ("version", &["v1.28.11"]),
                ("auth can-i list pods", &["yes"]),
                ("rollout status deploy/rook-ceph-operator", &["successfully rolled out"]),
            ],
        ),
    ] {
        let served = Served::example(example);
        let minor = kubectl_minor();
        let wrong = each(lines, |(arguments, parts)| {
            // An old kubectl shows no namespace whose quotas are not known.
            if *arguments == "describe ns rook-ceph" && minor < KNOWN_KUBECTL {
                return None;
            }
            let shown = served.shown(arguments);
            // An old kubectl asks for the events of a node by its name as UID, and so finds none.
            let is_shown = |part: &str| shown.contains(part) || (part == "Rebooted" && minor < KNOWN_KUBECTL);
            let absent = parts.iter().find(|part| !is_shown(part))?;
            Some(format!("kubectl {arguments} shows no {absent:?}:\n{shown}"))
        });
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

#[test]
fn what_was_not_recorded_is_an_error_and_the_rest_is_shown() {
    let served = Served::example(BROKEN);
    let all = served.kubectl("get all");
    assert!(text(&all.stdout).contains("pod/rook-ceph-operator") && text(&all.stdout).contains("service/"));
    let missing = text(&all.stderr);
    assert!(missing.contains("cronjobs.batch in the namespace \"rook-ceph\" were not recorded"), "{missing}");
    for (arguments, part) in [
        ("get secrets -A", "Secrets are never recorded"),
        ("get limitranges -A", "limitranges were not recorded"),
        ("get pods nobody", "pods \"nobody\" not found"),
        ("top pods", "Metrics API not available"),
        ("explain pods", "schemas that explain and validation need are not recorded"),
        ("get unicorns", "the server doesn't have a resource type"),
    ] {
        let said = served.refused(arguments);
        assert!(said.contains(part), "kubectl {arguments}: {said}");
    }
}

#[test]
fn kubectl_reads_recorded_logs() {
    let served = Served::example(BROKEN);
    let operator = pod(&served, "rook-ceph-operator");
    let all = served.shown(&format!("logs {operator}"));
    assert!(all.lines().count() > 50 && all.contains("starting Rook"), "{all}");
    assert_eq!(served.shown(&format!("logs -f {operator}")), all, "a recording has an end");
    let tail = served.shown(&format!("logs {operator} -c rook-ceph-operator --tail=2 --timestamps"));
    assert!(tail.lines().count() == 2 && tail.lines().all(|line| line.starts_with("2025-06-30T10:4")), "{tail}");
    let young = served.shown(&format!("logs {operator} --since=1m"));
    assert!(!young.is_empty() && young.lines().count() < 10, "{young}");
    assert_eq!(served.shown(&format!("logs {operator} --since-time=2025-07-01T00:00:00Z")), "");
    // An old kubectl gives up at the first log that is not there, whatever it was told.
    if kubectl_minor() >= KNOWN_KUBECTL {
        let several = served.shown("logs -l app=rook-ceph-mon -c mon --tail=1 --ignore-errors");
        assert!(several.lines().count() > 1, "{several}");
    }
    let crashed = served.shown(&format!("logs -p {} -c osd --tail=5", pod(&served, "rook-ceph-osd,osd=1")));
    assert!(!crashed.is_empty());
    let absent = served.refused(&format!("logs -p {operator}"));
    assert!(absent.contains("the previous log of container rook-ceph-operator"), "{absent}");
}

#[test]
fn kubectl_runs_recorded_commands() {
    let served = Served::example(BROKEN);
    let tools = pod(&served, "rook-ceph-tools");
    let status = served.shown(&format!("exec {tools} -c rook-ceph-tools -- ceph status"));
    assert!(status.contains("health: HEALTH_WARN"), "{status}");
    assert_eq!(served.shown("exec deploy/rook-ceph-tools -- ceph -s"), status);
    let tree = served.shown(&format!("exec {tools} -- ceph osd tree -f json"));
    assert!(serde_json::from_str::<Value>(&tree).unwrap()["nodes"].is_array());
    let only_json = served.kubectl(&format!("exec {tools} -- ceph df"));
    assert!(only_json.status.success() && text(&only_json.stderr).contains("recorded as JSON only"));
    for command in ["ls /", "bash", "ceph osd out 1", "cat /etc/ceph/keyring"] {
        let said = served.refused(&format!("exec {tools} -- {command}"));
        assert!(said.contains(&format!("`{command}` was not recorded; recorded were: ceph ")), "{said}");
    }
    assert!(served.refused("exec nobody -- ceph status").contains("not found"));
    let lost = Served::example("story4c-quorum-lost");
    let ran = lost.kubectl(&format!("exec {} -- ceph status", pod(&lost, "rook-ceph-operator")));
    assert!(ran.status.code() == Some(1) && text(&ran.stderr).contains("timed out"), "{}", text(&ran.stderr));
}

#[test]
fn nothing_can_be_changed() {
    let served = Served::example(CLASSIC);
    let operator = pod(&served, "rook-ceph-operator");
    for arguments in [
        format!("delete pod {operator}"),
        "scale deploy rook-ceph-operator --replicas=0".to_owned(),
        "label node birch-w1 a=b".to_owned(),
        "create ns shop".to_owned(),
        "patch cephcluster rook-ceph --type=merge -p {}".to_owned(),
        "rollout restart deploy/rook-ceph-operator".to_owned(),
        format!("attach {operator}"),
    ] {
        let ran = served.kubectl(&arguments);
        let said = text(&ran.stderr);
        // An unchanged object is not sent at all.
        let fits = said.contains("this is a recorded cluster") || text(&ran.stdout).contains("(no change)");
        assert!(fits, "kubectl {arguments}: {said}{}", text(&ran.stdout));
    }
    let can = served.kubectl("auth can-i delete pods");
    assert!(text(&can.stdout).starts_with("no - this is a recorded cluster"), "{}", text(&can.stdout));
    for (method, path) in [
        ("POST", format!("/api/v1/namespaces/rook-ceph/pods/{operator}/eviction")),
        ("POST", "/apis/apps/v1/namespaces/rook-ceph/deployments".to_owned()),
        ("PUT", "/api/v1/nodes/birch-w1".to_owned()),
        ("PATCH", "/api/v1/nodes/birch-w1/status".to_owned()),
        ("DELETE", "/api/v1/namespaces/rook-ceph/pods".to_owned()),
        ("POST", "/whatever".to_owned()),
    ] {
        let (status, body) = served.ask(method, &path, "");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (status, &body["reason"], &body["kind"]),
            (405, &json!("MethodNotAllowed"), &json!("Status")),
            "{path}"
        );
    }
}

/// Who does not have the kubeconfig, and any page in a browser, reads nothing.
#[test]
fn only_clients_with_the_kubeconfig_are_answered() {
    let served = Served::example(CLASSIC);
    let (host, key) = served.address();
    assert!(host.starts_with("127.0.0.1:") && key.len() > 30);
    let status = |path: &str, headers: &str| ask(&host, "GET", path, headers).0;
    let whole = format!("{key}/api/v1/pods");
    assert_eq!(status(&whole, &format!("Host: {host}\r\n")), 200);
    assert_eq!(status(&whole, "Host: localhost\r\n"), 200);
    assert_eq!(status("/api/v1/pods", &format!("Host: {host}\r\n")), 403);
    assert_eq!(status(&whole, "Host: rebound.example\r\n"), 403);
    assert_eq!(status(&whole, &format!("Host: {host}\r\nOrigin: http://{host}\r\n")), 403);
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: \
                   dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: https://page.example\r\n";
    let exec = format!("{key}/api/v1/namespaces/rook-ceph/pods/{}/exec?command=ceph", pod(&served, "rook-ceph-tools"));
    assert_eq!(status(&exec, &format!("Host: {host}\r\n{upgrade}")), 403);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(served.config()).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert!(
        served.said.contains("as it was at 2024-07-09 07:52Z") && served.said.lines().count() == 1,
        "{}",
        served.said
    );
}

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
const METADATA: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
const ONE: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";

/// Every kind in every form: either all forms tell of the same objects, or all say that nothing was recorded.
#[test]
fn every_kind_is_told_in_every_form() {
    for example in [BROKEN, CLASSIC] {
        let served = Served::example(example);
        let mut kinds = Vec::new();
        let (_, groups) = served.json("/apis", "application/json");
        let groups = groups["groups"].as_array().unwrap().iter();
        let versions =
            groups.map(|group| format!("/apis/{}", group["preferredVersion"]["groupVersion"].as_str().unwrap()));
        for base in std::iter::once("/api/v1".to_owned()).chain(versions) {
            let (_, found) = served.json(&base, "application/json");
            let found = found["resources"].as_array().unwrap().iter();
            let lists = found.filter(|kind| kind["verbs"].as_array().unwrap().contains(&json!("list")));
            kinds.extend(
                lists.map(|kind| (base.clone(), kind["name"].as_str().unwrap().to_owned(), kind["namespaced"] == true)),
            );
        }
        assert!(kinds.len() > 50, "{}", kinds.len());
        let mut seen = 0;
        for (base, plural, namespaced) in &kinds {
            let path = format!("{base}/{plural}");
            let (status, list) = served.json(&path, "application/json");
            if status != 200 {
                assert_eq!(list["reason"], "NotCaptured", "{path}: {list}");
                assert_eq!(served.json(&format!("{path}?watch=true"), "application/json").0, status, "{path}");
                assert_eq!(served.json(&path, TABLE).1["reason"], "NotCaptured", "{path}");
                continue;
            }
            let items = list["items"].as_array().unwrap();
            assert_eq!(
                (list["kind"].as_str().unwrap().ends_with("List"), &list["metadata"]["resourceVersion"]),
                (true, &json!("672")),
                "{path}"
            );
            let (_, table) = served.json(&path, TABLE);
            let columns = table["columnDefinitions"].as_array().unwrap();
            assert_eq!(table["rows"].as_array().unwrap().len(), items.len(), "{path}");
            let fits =
                |row: &Value| row["cells"].as_array().unwrap().len() == columns.len() && row["cells"][0].is_string();
            assert!(table["rows"].as_array().unwrap().iter().all(fits) || plural == "events", "{path}: {table}");
            assert_eq!(served.json(&path, METADATA).1["items"].as_array().unwrap().len(), items.len(), "{path}");
            let (_, page) = served.json(&format!("{path}?limit=1"), "application/json");
            assert_eq!(page["metadata"]["continue"].is_string(), items.len() > 1, "{path}");
            let Some(first) = items.last() else { continue };
            seen += 1;
            let (name, ns) = (&first["metadata"]["name"], first["metadata"]["namespace"].as_str());
            assert_eq!((ns.is_some(), first["kind"].is_string()), (*namespaced, true), "{path}");
            let within = ns.map_or(String::new(), |ns| format!("/namespaces/{ns}"));
            let one = format!("{base}{within}/{plural}/{}", name.as_str().unwrap());
            assert_eq!(served.json(&one, "application/json").1, *first, "{one}");
            assert_eq!(served.json(&one, TABLE).1["rows"][0]["object"]["metadata"]["name"], *name, "{one}");
            assert_eq!(served.json(&one, ONE).1["metadata"]["name"], *name, "{one}");
            let part = served.json(&format!("{base}{within}/{plural}"), "application/json").1;
            let here = items.iter().filter(|item| item["metadata"]["namespace"].as_str() == ns).count();
            assert_eq!(part["items"].as_array().unwrap().len(), here, "{path} in {ns:?}");
            assert_eq!(served.json(&format!("{one}-absent"), "application/json").1["reason"], "NotFound", "{one}");
        }
        assert!(seen > 20, "{example}: {seen} kinds have objects");
    }
}

/// kubectl prints each of them, too.
#[test]
fn kubectl_gets_every_kind() {
    let served = Served::example(BROKEN);
    let names = served.shown("api-resources --verbs=list -o name");
    let names: Vec<&str> = names.lines().collect();
    let wrong = each(&names, |name| {
        let ran = served.kubectl(&format!("get {name} -A -o wide"));
        let said = text(&ran.stderr);
        let fits = match ran.status.success() {
            true => text(&ran.stdout).contains("NAME") || said.contains("No resources found"),
            false => said.contains("recorded"),
        };
        (!fits).then(|| format!("{name}: {said}{}", text(&ran.stdout)))
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_watch_tells_the_list_and_stays() {
    let served = Served::example(CLASSIC);
    let path = "/api/v1/namespaces/rook-ceph/pods?watch=true&timeoutSeconds=1";
    let count =
        served.json("/api/v1/namespaces/rook-ceph/pods", "application/json").1["items"].as_array().unwrap().len();
    let events = |more: &str| -> Vec<String> {
        let started = Instant::now();
        let (status, body) = served.ask("GET", &format!("{path}{more}"), "");
        assert!(status == 200 && started.elapsed() >= Duration::from_millis(900), "it stays as long as it is asked to");
        let lines = body.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let events = lines.filter(|event| event.is_object());
        events.map(|event| event["type"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(events(""), vec!["ADDED"; count]);
    assert!(events("&resourceVersion=672").is_empty());
    let initial = events("&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true");
    assert_eq!((initial.len(), initial.last().unwrap().as_str()), (count + 1, "BOOKMARK"));
    let watched = served.kubectl("wait --for=condition=Ready pod -l app=rook-ceph-operator --timeout=5s");
    assert!(watched.status.success(), "{}", text(&watched.stderr));
}

/// The tool itself says of a served recording what it says of the recording.
#[test]
fn the_report_is_the_same() {
    for example in [BROKEN, CLASSIC, "story4c-quorum-lost", "story4b-cold-start"] {
        let served = Served::example(example);
        let report = |arguments: &[&str]| -> Value {
            let ran = Command::new(PROGRAM).args(arguments).args(["-o", "json"]).output().unwrap();
            let mut report: Value = serde_json::from_slice(&ran.stdout).unwrap();
            // Connected, the clock goes on from what the server says.
            for own in ["context", "generatedAt", "observedAt", "stats"] {
                report[own] = Value::Null;
            }
            report["cluster"]["source"] = Value::Null;
            report["cluster"]["context"] = Value::Null;
            report
        };
        let config = served.config();
        let recorded = report(&["--example", example]);
        // On a slow machine an age may be a second older.
        let live = |_| report(&["--kubeconfig", config.to_str().unwrap()]);
        let mut found = Vec::new();
        let is_same = (0..3).map(live).any(|live| {
            found.clear();
            differences("", &live, &recorded, &mut found);
            found.is_empty()
        });
        assert!(is_same, "{example}: {}", found.join("\n"));
    }
}

/// A broken file is told to people, and never makes the rest look like all.
#[test]
fn a_list_that_is_not_whole_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ("cluster-scoped-resources/core/nodes/w1.yaml", "kind: Node\nmetadata: {name: w1}\n"),
        ("cluster-scoped-resources/core/nodes/w2.yaml", "kind: Node\nmetadata: {name: [}\n"),
    ];
    for (path, content) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let served = Served::start(&[folder.path().to_str().unwrap()]);
    let shown = served.kubectl("get nodes");
    let warning = text(&shown.stderr);
    assert!(text(&shown.stdout).contains("w1") && warning.contains("not all was read: malformed: "), "{warning}");
    assert!(served.refused("get node w2").contains("w2.yaml"));
    let config = served.config();
    let config = ["--kubeconfig", config.to_str().unwrap(), "--only", "NODE001", "-o", "json"];
    let ran = Command::new(PROGRAM).args(config).output().unwrap();
    let report: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_ne!(report["verdict"], "healthy");
    assert_eq!(report["cluster"]["kubernetesVersion"], Value::Null);
}

fn ended(arguments: &[&str]) -> (Option<i32>, String) {
    let ran = Command::new(PROGRAM).arg("serve").args(arguments).output().unwrap();
    (ran.status.code(), text(&ran.stderr))
}

#[test]
fn what_cannot_be_served_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (status, said) = ended(&[folder.path().join("nothing.tar.gz").to_str().unwrap()]);
    assert!(status == Some(3) && said.contains("cannot read"), "{status:?} {said}");
    let (status, said) = ended(&["--example", "story99"]);
    assert!(status == Some(64) && said.contains("no example is called \"story99\""), "{status:?} {said}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let config = folder.path().join("config");
    let (status, said) = ended(&["--example", CLASSIC, "--port", &port, "-f", config.to_str().unwrap()]);
    assert!(status == Some(3) && said.contains(&format!("cannot listen on 127.0.0.1:{port}")), "{status:?} {said}");
    assert!(!config.exists());
    std::fs::write(&config, "apiVersion: v1\nkind: Config\n").unwrap();
    let (status, said) = ended(&["--example", CLASSIC, "-f", config.to_str().unwrap()]);
    assert!(status == Some(64) && said.contains("it is not replaced"), "{status:?} {said}");
    assert_eq!(std::fs::read_to_string(&config).unwrap(), "apiVersion: v1\nkind: Config\n");
}

/// The kubeconfig is the result, and a bundle may be an archive in a file.
#[cfg(unix)]
#[test]
fn the_kubeconfig_is_printed_and_an_interrupt_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("shop.tar.gz");
    let example = rookdoctor::examples::find(CLASSIC).unwrap();
    std::fs::write(&archive, example.archive).unwrap();
    let mut child = Command::new(PROGRAM)
        .args(["serve", archive.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    lines.read_line(&mut said).unwrap();
    assert!(said.starts_with("serving recorded-shop on 127.0.0.1:"), "{said}");
    let started = Instant::now();
    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let status = child.wait().unwrap();
    assert!(interrupted.success() && started.elapsed() < Duration::from_secs(5));
    assert_eq!(status.code(), Some(130));
    let mut printed = String::new();
    child.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
    let config = kube::config::Kubeconfig::from_yaml(&printed).unwrap();
    assert_eq!(config.current_context.as_deref(), Some("recorded-shop"));
    lines.read_line(&mut said).unwrap();
    assert_eq!(said.lines().count(), 1, "an interrupt is no error: {said}");
}
