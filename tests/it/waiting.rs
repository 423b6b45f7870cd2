//! `diagnose --wait`: against a cluster that heals, one that does not, and one that is not there yet.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cli::program;
use crate::double::{Act, Double, Fault, Faults};
use crate::support::base;

const HEALTHY: &str = "healthy-classic-podnet";

/// A waiting program, and what it says line by line.
struct Waiter {
    child: Child,
    said: BufReader<std::process::ChildStderr>,
}

impl Waiter {
    fn start(kubeconfig: &Path, args: &[&str]) -> Self {
        let mut command = program();
        command.args(["diagnose", "--wait", "--kubeconfig"]).arg(kubeconfig).args(args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        Self { child, said }
    }

    /// The next line of progress.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line
    }

    /// The report, what else was said, and the exit status.
    fn end(mut self) -> (Value, String, i32) {
        let (mut out, mut said) = (String::new(), String::new());
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        self.said.read_to_string(&mut said).unwrap();
        let status = self.child.wait().unwrap().code().unwrap();
        let report = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{said}"));
        (report, said, status)
    }
}

/// A cluster with a node that is not ready.
fn broken() -> (Double, String) {
    let double = Double::serve(base(HEALTHY), Faults::none());
    let path = "cluster-scoped-resources/core/nodes/";
    let node = base(HEALTHY).below(path).next().unwrap().1.objects().unwrap()[0].clone();
    let name = node["metadata"]["name"].as_str().unwrap().to_owned();
    double.change(|cluster| {
        cluster.edit("", "nodes", &name, |node| {
            let conditions = node["status"]["conditions"].as_array_mut().unwrap();
            let ready = conditions.iter_mut().find(|condition| condition["type"] == "Ready").unwrap();
            ready["status"] = "False".into();
        });
    });
    (double, name)
}

fn heal(double: &Double) {
    double.change(|cluster| cluster.restore(&base(HEALTHY), "cluster-scoped-resources/core/nodes/"));
}

#[test]
fn it_ends_when_the_cluster_is_healthy() {
    let (double, node) = broken();
    let mut waiter = Waiter::start(&double.kubeconfig(), &["--timeout", "2m", "-o", "json"]);
    let line = waiter.line();
    assert!(line.starts_with("waiting: rook-ceph/rook-ceph: NODE001 ") && line.contains(&node), "{line}");
    // A server that fails for a while is waited for, too.
    heal(&double);
    let (report, said, status) = waiter.end();
    assert_eq!((status, &report["verdict"]), (0, &"healthy".into()), "{said}{report:#}");
    // One report, nothing twice, and one connection for all looks.
    assert_eq!(said, "");
    let asked = |path: &str| double.requests().iter().filter(|request| request.ends_with(path)).count();
    assert_eq!(asked("/version"), 1);
    assert!(asked("/apis") > 1, "what is served is asked anew");
}

#[test]
fn it_ends_with_the_last_look_when_the_time_is_over() {
    let (double, _) = broken();
    let started = Instant::now();
    let waiter = Waiter::start(&double.kubeconfig(), &["--timeout", "8s", "-o", "json"]);
    let (report, said, status) = waiter.end();
    let took = started.elapsed();
    assert!(took >= Duration::from_secs(8) && took < Duration::from_secs(20), "{took:?}");
    assert_eq!((status, &report["exitCode"]), (1, &1.into()));
    assert_eq!(report["unknowns"], serde_json::json!([]), "the last look was a whole one");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2, "what does not change is told once: {said}");
    assert!(lines[0].starts_with("waiting: ") && lines[1].contains("the time to wait is over"), "{said}");
    // What is told is for who watches: not for -q, which is content with what is wrong from --fail-on up.
    let quiet =
        program().args(["--wait", "--timeout", "5s", "-q", "--kubeconfig"]).arg(double.kubeconfig()).output().unwrap();
    assert_eq!((quiet.status.code(), String::from_utf8_lossy(&quiet.stderr).as_ref()), (Some(1), ""));
    assert_eq!(String::from_utf8_lossy(&quiet.stdout).lines().count(), 1);
}

/// Hands connections at this address on to a server.
fn proxy(at: SocketAddr, to: &Double) {
    let to = to.url().trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind(at).unwrap();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(&to).unwrap();
            let pairs = [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)];
            for (mut from, mut to) in pairs {
                thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
            }
        }
    });
}

#[test]
fn a_server_that_is_not_there_yet_is_waited_for() {
    let double = Double::serve(base(HEALTHY), Faults::none());
    let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("config");
    let text = std::fs::read_to_string(double.kubeconfig()).unwrap();
    std::fs::write(&kubeconfig, text.replace(double.url(), &format!("http://{at}"))).unwrap();
    let mut waiter = Waiter::start(&kubeconfig, &["--timeout", "2m", "-o", "json"]);
    let line = waiter.line();
    assert!(line.starts_with("waiting: ACC001 ") && line.contains("could not look"), "{line}");
    proxy(at, &double);
    let (report, said, status) = waiter.end();
    assert_eq!((status, &report["verdict"], &report["context"]), (0, &"healthy".into(), &"double".into()), "{said}");
    // What only the user can mend is not waited for.
    let started = Instant::now();
    let args = ["--wait", "--timeout", "1m", "-q", "--context", "nowhere", "--kubeconfig"];
    let output = program().args(args).arg(&kubeconfig).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_server_that_fails_for_a_while_is_waited_through() {
    let faults = Faults::some([Fault::at("/api/v1/nodes", Act::Refuse(500)).times(4)]);
    let double = Double::serve(base(HEALTHY), faults);
    let waiter = Waiter::start(&double.kubeconfig(), &["--timeout", "2m", "-o", "json"]);
    let (report, said, status) = waiter.end();
    assert_eq!((status, &report["verdict"]), (0, &"healthy".into()), "{said}{report:#}");
    assert!(said.starts_with("waiting: ") && said.contains("could not look"), "{said}");
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_the_waiting_at_once() {
    let (double, _) = broken();
    let mut waiter = Waiter::start(&double.kubeconfig(), &["--timeout", "2m"]);
    waiter.line();
    let interrupted = Instant::now();
    Command::new("kill").args(["-INT", &waiter.child.id().to_string()]).status().unwrap();
    let status = waiter.child.wait().unwrap().code();
    assert!(interrupted.elapsed() < Duration::from_secs(3), "{:?}", interrupted.elapsed());
    let mut said = String::new();
    waiter.said.read_to_string(&mut said).unwrap();
    assert_eq!((status, said.as_str()), (Some(130), "error: interrupted\n"));
}
