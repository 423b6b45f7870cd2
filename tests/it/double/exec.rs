//! What a container says: its log, and the commands run in it.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use jiff::Timestamp;
use rookdoctor::facts::{Answer as Known, CephCommand, Fact, Source, Why};
use serde_json::{Value, json};

use super::resources::Target;
use super::{Answer, Asked, Server, not_found};

/// A command and where it is to run.
pub(super) struct Command {
    ns: String,
    pod: String,
    container: String,
    words: Vec<String>,
}

impl Command {
    /// The namespace of the CephCluster that is asked: the operator may live in another than the cluster that
    /// its configuration file names.
    fn cluster(&self) -> &str {
        let conf = self.words.iter().find_map(|word| word.split_once("/var/lib/rook/"));
        conf.and_then(|(_, path)| path.split('/').next()).unwrap_or(&self.ns)
    }
}

/// What a command leaves behind.
#[derive(Debug, Default)]
pub(super) struct Ran {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub rc: i32,
    pub after: Duration,
}

/// The exit status of `timeout` when it had to end its command.
pub(super) const KILLED_BY_TIMEOUT: i32 = 124;

impl Server {
    pub(super) async fn log(&self, target: &Target<'_>, pod: &Value, asked: &Asked) -> Answer {
        let container = match container(pod, asked.get("container")) {
            Ok(container) => container,
            Err(answer) => return answer,
        };
        let (ns, pod_name) = (target.ns.clone().unwrap_or_default(), target.name.clone());
        let previous = asked.get("previous") == "true";
        let fact = Fact::Log { ns: ns.clone(), pod: pod_name.clone(), container: container.clone(), previous };
        match self.state().bundle.fetch(&fact).await.map(|reading| reading.answer) {
            Ok(Known::Text(text)) => {
                let text = String::from_utf8_lossy(&text);
                let lines: Vec<&str> = text.lines().collect();
                let tail = asked.get("tailLines").parse().unwrap_or(lines.len());
                let lines = &lines[lines.len().saturating_sub(tail)..];
                let stamped = asked.get("timestamps") == "true";
                let lines = lines.iter().map(|line| if stamped { line } else { without_stamp(line) });
                Answer::text(200, &lines.flat_map(|line| [line, "\n"]).collect::<String>())
            }
            _ => {
                let previous = if previous { "?previous=true" } else { "" };
                let message = format!(
                    "Get \"https://10.200.0.1:10250/containerLogs/{ns}/{pod_name}/{container}{previous}\": \
                     dial tcp 10.200.0.1:10250: connect: no route to host"
                );
                Answer::failure(500, "", &message, Value::Null)
            }
        }
    }

    /// The command of an exec request, if it can be started.
    pub(super) async fn command(&self, target: &Target<'_>, asked: &Asked) -> Result<Command, Answer> {
        let state = self.state();
        let listing = state.listing(target.resource, target.ns.clone()).await;
        let pods = listing.as_ref().as_ref().map_err(|why| super::lists::unknown(why, target))?;
        let pod = pods.iter().find(|pod| pod["metadata"]["name"] == target.name.as_str());
        let pod = pod.ok_or_else(|| not_found(target))?;
        let container = container(pod, asked.get("container"))?;
        if pod["spec"]["nodeName"].as_str().unwrap_or_default().is_empty() {
            return Err(Answer::bad_request(&format!("pod {} does not have a host assigned", target.name)));
        }
        let words = asked.query.iter().filter(|(key, _)| key == "command").map(|(_, word)| word.clone()).collect();
        let command = Command { ns: target.ns.clone().unwrap_or_default(), pod: target.name.clone(), container, words };
        // Where the recording was refused its Ceph commands, exec itself is.
        let status = Fact::Ceph { ns: command.cluster().to_owned(), command: CephCommand::Status };
        match state.bundle.fetch(&status).await {
            Err(why @ Why::Forbidden(_)) => Err(super::lists::unknown(&why, target)),
            _ => Ok(command),
        }
    }

    /// Streams stdout (1), stderr (2) and at last the status (3).
    pub(super) async fn run(&self, mut socket: WebSocket, command: Command) {
        let ran = self.outcome(&command).await;
        let frame = |channel: u8, data: &[u8]| Message::Binary([&[channel], data].concat().into());
        let mut frames = Vec::new();
        let status = match ran {
            Some(ran) => {
                tokio::time::sleep(ran.after).await;
                frames.extend(ran.stdout.chunks(32_000).map(|part| frame(1, part)));
                frames.extend(ran.stderr.chunks(32_000).map(|part| frame(2, part)));
                exit_status(ran.rc)
            }
            None => json!({"metadata": {}, "status": "Failure", "reason": "InternalError", "code": 500,
                "message": format!("Internal error occurred: nothing was recorded of: {}", command.words.join(" "))}),
        };
        frames.push(frame(3, status.to_string().as_bytes()));
        frames.push(Message::Close(Some(CloseFrame { code: close_code::NORMAL, reason: "".into() })));
        for frame in frames {
            if socket.send(frame).await.is_err() {
                return;
            }
        }
        // The client closes when it has read all.
        while let Some(Ok(_)) = socket.recv().await {}
    }

    /// What the recording says that the command did.
    async fn outcome(&self, command: &Command) -> Option<Ran> {
        let at = command.words.iter().rposition(|word| word == "ceph")?;
        let limited = command.words[..at].iter().any(|word| word == "timeout");
        let words = &command.words[at + 1..];
        let Command { ns, pod, container, .. } = command;
        if words.first().is_some_and(|word| word == "--admin-daemon") {
            let name = file_name(&format!("ceph {}", words.join(" ")));
            return self.recorded(&format!("rookdoctor/exec/{ns}/{pod}/{container}/{name}"), limited);
        }
        let ns = command.cluster();
        let is_json = words.iter().any(|word| word.starts_with("json") || word.starts_with("--format=json"));
        let sure = words.iter().any(|word| word == "--yes-i-really-mean-it");
        let words: Vec<&str> = words.iter().map(String::as_str).take_while(|word| !word.starts_with('-')).collect();
        match self.ceph(ns, &words, is_json, limited).await {
            None => self.ceph_change(ns, &words, sure, limited).await,
            ran => ran,
        }
    }

    /// What was recorded of a command, in the form that it is asked for.
    pub(super) async fn ceph(&self, ns: &str, words: &[&str], is_json: bool, limited: bool) -> Option<Ran> {
        let name = file_name(&format!("ceph {}", words.join(" ")));
        let forms = ["_--format_json-pretty", "_--format_json"].map(|form| format!("{name}{form}"));
        let answers = if is_json {
            forms.each_ref().map(|form| format!("must_gather_commands_json_output/{form}")).to_vec()
        } else {
            vec![format!("must_gather_commands/{name}")]
        };
        for answer in answers {
            let stdout = self.bytes(&format!("ceph/namespaces/{ns}/{answer}")).unwrap_or_default();
            if !stdout.trim_ascii().is_empty() {
                return Some(Ran { stdout, ..Ran::default() });
            }
        }
        let failed = forms.iter().find_map(|form| self.recorded(&format!("rookdoctor/ceph/{ns}/{form}"), limited));
        if failed.is_some() {
            return failed;
        }
        // The manifest may say that it did not end, without a file of its own.
        let command = CephCommand::ALL.iter().find(|command| command.words() == words)?;
        match self.state().bundle.fetch(&Fact::Ceph { ns: ns.to_owned(), command: *command }).await {
            Err(Why::Timeout) => Some(self.hung(b"timed out\n".to_vec(), 1)),
            Err(Why::Failed { rc, stderr }) => Some(Ran { rc, stderr: stderr.into_bytes(), ..Ran::default() }),
            _ => None,
        }
    }

    /// A command whose output and exit status lie in files of their own.
    fn recorded(&self, base: &str, limited: bool) -> Option<Ran> {
        let [stdout, stderr, rc] = ["stdout", "stderr", "rc"].map(|end| self.bytes(&format!("{base}.{end}")));
        if stdout.is_none() && stderr.is_none() && rc.is_none() {
            return None;
        }
        let (stdout, stderr) = (stdout.unwrap_or_default(), stderr.unwrap_or_default());
        let unsaid = if stderr.is_empty() { "0" } else { "1" };
        let rc = rc.map_or(unsaid.to_owned(), |rc| String::from_utf8_lossy(&rc).trim().to_owned());
        match rc.parse() {
            Ok(rc) if rc != 0 && String::from_utf8_lossy(&stderr).contains("timed out") => Some(self.hung(stderr, rc)),
            Ok(rc) => Some(Ran { stdout, stderr, rc, after: Duration::ZERO }),
            Err(_) if limited => Some(self.hung(stderr, KILLED_BY_TIMEOUT)),
            Err(_) => Some(self.hung(b"timed out\n".to_vec(), 1)),
        }
    }

    pub(super) fn hung(&self, stderr: Vec<u8>, rc: i32) -> Ran {
        Ran { stdout: Vec::new(), stderr, rc, after: self.hang }
    }

    fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        self.state().tree.file(path).and_then(|file| file.bytes().ok()).map(|bytes| bytes.into_owned())
    }
}

/// The container that is meant, if the pod has it.
fn container(pod: &Value, named: &str) -> Result<String, Answer> {
    let names = |field: &str| -> Vec<&str> {
        let containers = pod["spec"][field].as_array().into_iter().flatten();
        containers.filter_map(|container| container["name"].as_str()).collect()
    };
    let (main, init) = (names("containers"), names("initContainers"));
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    match (named, main.as_slice()) {
        ("", [only]) => Ok((*only).to_owned()),
        ("", _) => {
            let mut message =
                format!("a container name must be specified for pod {name}, choose one of: [{}]", main.join(" "));
            if !init.is_empty() {
                message += &format!(" or one of the init containers: [{}]", init.join(" "));
            }
            Err(Answer::bad_request(&message))
        }
        (named, _) if main.contains(&named) || init.contains(&named) => Ok(named.to_owned()),
        (named, _) => Err(Answer::bad_request(&format!("container {named} is not valid for pod {name}"))),
    }
}

/// The recording keeps the stamps that the kubelet puts before each line on demand.
fn without_stamp(line: &str) -> &str {
    match line.split_once(' ') {
        Some((stamp, rest)) if stamp.parse::<Timestamp>().is_ok() => rest,
        _ => line,
    }
}

fn exit_status(rc: i32) -> Value {
    if rc == 0 {
        return json!({"metadata": {}, "status": "Success"});
    }
    json!({"metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
        "message": format!("command terminated with non-zero exit code: exit status {rc}"),
        "details": {"causes": [{"reason": "ExitCode", "message": rc.to_string()}]}})
}

/// A command line as the name of its file.
pub(super) fn file_name(line: &str) -> String {
    line.replace([' ', '/'], "_")
}
