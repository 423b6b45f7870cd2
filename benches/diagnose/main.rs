//! What a diagnosis of a large cluster costs: 2,000 OSDs on 300 nodes, as a bundle in each of its forms and over
//! HTTP, against the same kinds fetched raw, whole and in parallel. Every figure comes from a process of its own, so
//! that time and peak memory are its own. Run by hand: `cargo bench --bench diagnose`.

// A measurement that cannot go on says where by panicking, and its figures go to standard output.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

#[path = "../../tests/it/double.rs"]
#[expect(dead_code, reason = "the tests use the rest")]
mod double;
mod synthetic;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use futures::StreamExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use rookdoctor::checks;
use rookdoctor::diagnosis::{Scope, diagnose};
use rookdoctor::facts::archive::Tree;
use rookdoctor::facts::bundle::Bundle;
use rookdoctor::facts::live::{Options, connect};
use rookdoctor::facts::{Cost, Fact, Reading, Source, Why};

const NODES: usize = 300;
const OSDS: usize = 2_000;
const PODS: usize = 6_000;
const RUNS: usize = 5;
const PART: &str = "ROOKDOCTOR_BENCH_PART";
const AT: &str = "ROOKDOCTOR_BENCH_AT";

/// What is fetched whole for comparison: the kinds that the diagnosis reads rows or parts of.
const RAW: &[&str] = &[
    "/api/v1/pods",
    "/api/v1/nodes",
    "/api/v1/events",
    "/api/v1/persistentvolumes",
    "/api/v1/persistentvolumeclaims",
    "/apis/apps/v1/deployments",
    "/apis/apps/v1/daemonsets",
    "/apis/apps/v1/replicasets",
    "/apis/batch/v1/jobs",
    "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases",
    "/apis/storage.k8s.io/v1/volumeattachments",
    "/apis/storage.k8s.io/v1/storageclasses",
    "/apis/ceph.rook.io/v1/cephclusters",
    "/apis/k8s.cni.cncf.io/v1/network-attachment-definitions",
];

fn main() {
    let at = std::env::var(AT).unwrap_or_default();
    match std::env::var(PART).as_deref() {
        Ok("write") => write(Path::new(&at)),
        Ok("serve") => serve(Path::new(&at)),
        Ok("bundle") => bundle(Path::new(&at)),
        Ok("live") => live(&at),
        Ok("raw") => raw(&at),
        _ => compare(),
    }
}

fn compare() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    print(&finish(part("write", folder.path())));
    let archive = folder.path().join("large.tar");
    let bare = folder.path().join("bare");
    let written = folder.path().join("yaml");
    for form in [&archive, &folder.path().join("large.tar.gz"), &folder.path().join("large"), &bare, &written] {
        for _ in 0..RUNS {
            print(&finish(part("bundle", form)));
        }
    }
    let mut server = part("serve", &archive);
    let mut lines = BufReader::new(server.stdout.take().expect("piped")).lines();
    let kubeconfig = lines.next().expect("the server names its kubeconfig").expect("text");
    for _ in 0..RUNS {
        print(&finish(part("live", Path::new(&kubeconfig))));
        print(&finish(part("raw", Path::new(&kubeconfig))));
    }
    drop(server.kill());
    drop(server.wait());
}

fn print(text: &str) {
    println!("{}", text.trim());
}

/// Starts this program again for one part.
fn part(name: &str, at: &Path) -> Child {
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new(program);
    command.env(PART, name).env(AT, at).stdout(Stdio::piped()).spawn().expect("started")
}

fn finish(child: Child) -> String {
    let output = child.wait_with_output().expect("ended");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Writes the cluster in every form: an archive, a compressed one, a folder, a folder without a manifest (then the
/// clock is looked for in everything), and a folder of YAML.
fn write(folder: &Path) {
    let tree = synthetic::cluster(NODES, OSDS, PODS);
    let mut archive = tar::Builder::new(Vec::new());
    let (mut files, mut bytes) = (0, 0);
    for (path, file) in tree.below("") {
        let content = file.bytes().expect("held in memory");
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, format!("large/{path}"), content.as_ref()).expect("written");
        write_file(&folder.join("large").join(path), &content);
        if path != "rookdoctor/manifest.yaml" {
            write_file(&folder.join("bare").join(path), &content);
        }
        write_file(&folder.join("yaml").join(path), as_yaml(path, &content).as_deref().unwrap_or(&content));
        files += 1;
        bytes += content.len();
    }
    let archive = archive.into_inner().expect("written");
    write_file(&folder.join("large.tar"), &archive);
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(&archive).expect("packed");
    write_file(&folder.join("large.tar.gz"), &packer.finish().expect("packed"));
    let pods = synthetic::pods(&tree);
    println!("cluster: {NODES} nodes, {OSDS} OSDs, {pods} pods, {files} files, {:.1} MB", bytes as f64 / 1e6);
}

fn write_file(path: &Path, content: &[u8]) {
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("created");
    std::fs::write(path, content).expect("written");
}

/// What was written as JSON, as tools for YAML write it.
fn as_yaml(path: &str, content: &[u8]) -> Option<Vec<u8>> {
    let value: serde_json::Value = path.ends_with(".yaml").then(|| serde_json::from_slice(content).ok())??;
    serde_saphyr::to_string(&value).ok().map(String::into_bytes)
}

fn serve(path: &Path) {
    let tree = Tree::open(path).expect("the archive");
    let double = double::Double::serve(tree, double::Faults::none());
    println!("{}", double.kubeconfig().display());
    std::thread::sleep(Duration::from_secs(3600));
}

/// Passes everything on, and adds up how long it took to read.
struct Timed<S> {
    inner: S,
    reading: AtomicU64,
}

impl<S: Source> Source for Timed<S> {
    fn fetch<'a>(&'a self, fact: &'a Fact) -> BoxFuture<'a, Result<Reading, Why>> {
        Box::pin(async move {
            let start = Instant::now();
            let answer = self.inner.fetch(fact).await;
            self.reading.fetch_add(start.elapsed().as_micros() as u64, Ordering::Relaxed);
            answer
        })
    }
    fn now(&self) -> Timestamp {
        self.inner.now()
    }
    fn cost(&self) -> Cost {
        self.inner.cost()
    }
    fn clusters(&self, clusters: &[rookdoctor::facts::Cluster]) {
        self.inner.clusters(clusters);
    }
    fn server_version(&self) -> Option<String> {
        self.inner.server_version()
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

async fn run<S: Source>(what: &str, source: S, start: Instant) {
    let source = Timed { inner: source, reading: AtomicU64::new(0) };
    let all = diagnose(&source, checks::ALL, &Scope::default(), &|_, _| {}).await;
    let elapsed = start.elapsed();
    let diagnosis = all.first().expect("one cluster");
    let roots: Vec<&str> = diagnosis.roots.iter().map(|&at| diagnosis.findings[at].id.as_str()).collect();
    let cost = source.cost();
    println!(
        "{what}: {:.0} ms, {:.0} ms CPU, {} requests, {:.2} MB, {} rounds, peak {:.0} MiB, roots {roots:?}",
        elapsed.as_secs_f64() * 1e3,
        cpu_ms(),
        cost.requests,
        cost.bytes as f64 / 1e6,
        diagnosis.rounds,
        peak_mib()
    );
}

fn bundle(path: &Path) {
    let start = Instant::now();
    let bundle = Bundle::open(path).expect("a bundle");
    let form = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    runtime().block_on(run(&form, bundle, start));
}

fn live(kubeconfig: &str) {
    let start = Instant::now();
    runtime().block_on(async {
        let options = Options { kubeconfig: Some(kubeconfig.into()), ..Options::default() };
        let live = connect(&options).await.expect("the double answers");
        run("live", live, start).await;
    });
}

fn raw(kubeconfig: &str) {
    let start = Instant::now();
    runtime().block_on(async {
        let config = kube::config::Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
        let config = kube::Config::from_custom_kubeconfig(config, &Default::default()).await.expect("a config");
        let client = kube::Client::try_from(config).expect("a client");
        let fetch = |path: &'static &'static str| {
            let client = client.clone();
            let request = http::Request::get(*path).body(Vec::new()).expect("a request");
            async move { client.request_text(request).await.map(|body| body.len()).unwrap_or_default() }
        };
        let sizes: Vec<usize> = futures::stream::iter(RAW).map(fetch).buffer_unordered(RAW.len()).collect().await;
        let bytes: usize = sizes.iter().sum();
        println!(
            "raw: {:.0} ms, {:.0} ms CPU, {} requests, {:.2} MB, peak {:.0} MiB (bodies only, nothing parsed)",
            start.elapsed().as_secs_f64() * 1e3,
            cpu_ms(),
            RAW.len(),
            bytes as f64 / 1e6,
            peak_mib()
        );
    });
}

/// User and system time of this process.
fn cpu_ms() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<f64>().ok()).unwrap_or_default();
    // The kernel's clock ticks a hundred times a second for user space.
    (ticks(11) + ticks(12)) * 10.0
}

fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or_default() / 1024.0
}
