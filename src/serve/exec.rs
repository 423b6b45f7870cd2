//! Commands that were run in a container: what was recorded of them.

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use serde_json::{Value, json};

use super::answer::Answer;
use super::resources::Target;
use super::{Asked, Server};
use crate::facts::{CephCommand, Fact, Source, Why};

/// A command and where it is to run.
#[derive(Clone, Debug)]
pub struct Command {
    pub ns: String,
    pub pod: String,
    pub container: String,
    pub words: Vec<String>,
}

impl Command {
    /// The namespace of the CephCluster that is asked: the operator may live in another than the cluster that
    /// its configuration file names.
    pub fn cluster(&self) -> &str {
        let conf = self.words.iter().find_map(|word| word.split_once("/var/lib/rook/"));
        conf.and_then(|(_, path)| path.split('/').next()).unwrap_or(&self.ns)
    }

    /// What follows `ceph`, if that is what runs.
    pub fn ceph(&self) -> Option<&[String]> {
        self.words.iter().rposition(|word| word == "ceph").map(|at| &self.words[at + 1..])
    }

    /// Whether `timeout` would have ended it.
    pub fn is_limited(&self) -> bool {
        self.words.iter().take_while(|word| *word != "ceph").any(|word| word == "timeout")
    }
}

/// What a command leaves behind.
#[derive(Clone, Debug, Default)]
pub struct Ran {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub rc: i32,
    /// Whether it hung until something ended it.
    pub hung: bool,
}

impl Ran {
    pub fn hung(stderr: Vec<u8>, rc: i32) -> Self {
        Self { stderr, rc, hung: true, ..Self::default() }
    }
}

/// The exit status of `timeout` when it had to end its command.
pub const KILLED_BY_TIMEOUT: i32 = 124;

impl Server {
    /// The command of an exec request, if it can be started.
    pub async fn command(&self, target: &Target<'_>, asked: &Asked) -> Result<Command, Answer> {
        let state = self.state();
        let pods = state.listing(target.resource, target.ns.as_deref()).await;
        let pods = pods.map_err(|why| Answer::unknown(&why, target))?;
        let pod = pods.objects().iter().find(|pod| pod["metadata"]["name"] == target.name.as_str());
        let pod = pod.ok_or_else(|| Answer::not_found(target))?;
        let container = container(pod, asked.get("container"))?;
        if pod["spec"]["nodeName"].as_str().unwrap_or_default().is_empty() {
            return Err(Answer::bad_request(&format!("pod {} does not have a host assigned", target.name)));
        }
        let words = asked.query.iter().filter(|(key, _)| key == "command").map(|(_, word)| word.clone()).collect();
        let command = Command { ns: target.ns.clone().unwrap_or_default(), pod: target.name.clone(), container, words };
        // Where the recording was refused its Ceph commands, exec itself is.
        let status = Fact::Ceph { ns: command.cluster().to_owned(), command: CephCommand::Status };
        match state.bundle.fetch(&status).await {
            Err(why @ Why::Forbidden(_)) => Err(Answer::unknown(&why, target)),
            _ => Ok(command),
        }
    }

    /// What the recording says that the command did.
    pub async fn ran(&self, command: &Command) -> Option<Ran> {
        let words = command.ceph()?;
        let limited = command.is_limited();
        let Command { ns, pod, container, .. } = command;
        if words.first().is_some_and(|word| word == "--admin-daemon") {
            let name = file_name(&format!("ceph {}", words.join(" ")));
            return self.recorded(&format!("rookdoctor/exec/{ns}/{pod}/{container}/{name}"), limited);
        }
        let is_json = words.iter().any(|word| word.starts_with("json") || word.starts_with("--format=json"));
        let words: Vec<&str> = words.iter().map(String::as_str).take_while(|word| !word.starts_with('-')).collect();
        self.ceph(command.cluster(), &words, is_json, limited).await
    }

    /// What was recorded of a Ceph command, in the form that it is asked for.
    pub async fn ceph(&self, ns: &str, words: &[&str], is_json: bool, limited: bool) -> Option<Ran> {
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
            Err(Why::Timeout) => Some(Ran::hung(b"timed out\n".to_vec(), 1)),
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
        Some(match rc.parse() {
            Ok(rc) if rc != 0 && String::from_utf8_lossy(&stderr).contains("timed out") => Ran::hung(stderr, rc),
            Ok(rc) => Ran { stdout, stderr, rc, hung: false },
            Err(_) if limited => Ran::hung(stderr, KILLED_BY_TIMEOUT),
            Err(_) => Ran::hung(b"timed out\n".to_vec(), 1),
        })
    }

    fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        self.state().bundle.tree().file(path).and_then(|file| file.bytes().ok()).map(|bytes| bytes.into_owned())
    }
}

/// Streams stdout (1), stderr (2) and at last the status (3) of a command, or that nothing was recorded of it.
pub async fn stream(mut socket: WebSocket, command: Command, ran: Option<Ran>) {
    let frame = |channel: u8, data: &[u8]| Message::Binary([&[channel], data].concat().into());
    let mut frames = Vec::new();
    let status = match ran {
        Some(ran) => {
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

/// The container that is meant, if the pod has it.
pub(super) fn container(pod: &Value, named: &str) -> Result<String, Answer> {
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

fn exit_status(rc: i32) -> Value {
    if rc == 0 {
        return json!({"metadata": {}, "status": "Success"});
    }
    json!({"metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
        "message": format!("command terminated with non-zero exit code: exit status {rc}"),
        "details": {"causes": [{"reason": "ExitCode", "message": rc.to_string()}]}})
}

/// A command line as the name of its file.
pub fn file_name(line: &str) -> String {
    line.replace([' ', '/'], "_")
}
