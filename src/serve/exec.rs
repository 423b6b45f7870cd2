//! Commands that were run in a container: what was recorded of them.

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use axum::extract::{FromRequestParts, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use super::answer::Answer;
use super::resources::Target;
use super::{Asked, Server, spdy};
use crate::facts::{CephCommand, Fact, NOT_CAPTURED, Source, Why};

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

    /// The words, or those of the simple line that a shell is to run.
    fn plain(&self) -> Vec<String> {
        let shells = ["sh", "bash", "/bin/sh", "/bin/bash"];
        match self.words.as_slice() {
            [shell, flag, line] if shells.contains(&shell.as_str()) && ["-c", "-lc"].contains(&flag.as_str()) => {
                let is_simple = !line.contains(|c: char| "|&;<>()$`\\\"'*?[]{}~#!\n".contains(c));
                if is_simple { line.split_whitespace().map(str::to_owned).collect() } else { self.words.clone() }
            }
            words => words.to_vec(),
        }
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

/// How the names of files end that hold the JSON answer to a command.
const FORMS: [&str; 2] = ["_--format_json-pretty", "_--format_json"];
/// The exit status of `timeout` when it had to end its command.
pub const KILLED_BY_TIMEOUT: i32 = 124;

impl Server {
    /// The command of an exec request, if it can be started.
    pub async fn command(&self, target: &Target<'_>, asked: &Asked) -> Result<Command, Answer> {
        let state = self.state();
        let pod = self.pod(target).await?;
        let container = container(&pod, asked.get("container"))?;
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

    /// The pod that is meant.
    pub async fn pod(&self, target: &Target<'_>) -> Result<Value, Answer> {
        let pods = self.state().listing(target.resource, target.ns.as_deref()).await;
        let pods = pods.map_err(|why| Answer::unknown(&why, target))?;
        let pod = pods.objects().iter().find(|pod| pod["metadata"]["name"] == target.name.as_str());
        pod.cloned().ok_or_else(|| Answer::not_found(target))
    }

    /// What the recording says that the command did.
    pub async fn ran(&self, command: &Command) -> Option<Ran> {
        let limited = command.is_limited();
        let words = command.plain();
        let Command { ns, pod, container, .. } = command;
        let at = words.iter().rposition(|word| word == "ceph").unwrap_or_default();
        for line in [&words[..], &words[at..]] {
            let base = format!("rookdoctor/exec/{ns}/{pod}/{container}/{}", file_name(&line.join(" ")));
            if let Some(ran) = self.recorded(&base, limited) {
                return Some(ran);
            }
        }
        match words.get(at).map(String::as_str) {
            Some("ceph") => {
                let words = &words[at + 1..];
                let is_json = words
                    .iter()
                    .any(|word| ["json", "--format=json", "-fjson"].iter().any(|form| word.starts_with(form)));
                let words: Vec<&str> = match words.first().map(String::as_str) {
                    Some("-s" | "--status") => vec!["status"],
                    _ => words.iter().map(String::as_str).take_while(|word| !word.starts_with('-')).collect(),
                };
                self.ceph(command.cluster(), &words, is_json, limited).await
            }
            _ => self.answered(command.cluster(), &words.join(" "), false),
        }
    }

    /// What was recorded of a Ceph command, in the form that it is asked for.
    pub async fn ceph(&self, ns: &str, words: &[&str], is_json: bool, limited: bool) -> Option<Ran> {
        let name = file_name(&format!("ceph {}", words.join(" ")));
        if let Some(ran) = self.answered(ns, &format!("ceph {}", words.join(" ")), is_json) {
            return Some(ran);
        }
        let forms = FORMS.map(|form| format!("{name}{form}"));
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

    /// A command that was asked of the cluster. Where only its JSON was recorded, that is shown to people, too.
    fn answered(&self, ns: &str, line: &str, is_json: bool) -> Option<Ran> {
        let name = file_name(line);
        let json = FORMS.map(|form| format!("must_gather_commands_json_output/{name}{form}"));
        let plain = [format!("must_gather_commands/{name}")];
        let answers = if is_json { &json[..] } else { &plain[..] };
        let find = |answers: &[String]| {
            let mut found = answers.iter().filter_map(|answer| self.bytes(&format!("ceph/namespaces/{ns}/{answer}")));
            found.find(|stdout| !stdout.trim_ascii().is_empty())
        };
        if let Some(stdout) = find(answers) {
            return Some(Ran { stdout, ..Ran::default() });
        }
        let stdout = find(&json).filter(|_| !is_json)?;
        Some(Ran { stdout, stderr: b"(recorded as JSON only)\n".to_vec(), ..Ran::default() })
    }

    /// Which commands were recorded for a cluster, as far as file names tell.
    pub fn commands(&self, ns: &str) -> Vec<String> {
        let mut lines = std::collections::BTreeSet::new();
        let state = self.state();
        for folder in ["must_gather_commands", "must_gather_commands_json_output"] {
            let folder = format!("ceph/namespaces/{ns}/{folder}/");
            for (path, _) in state.bundle.tree().below(&folder) {
                let name = &path[folder.len()..];
                let name = FORMS.iter().find_map(|form| name.strip_suffix(form)).unwrap_or(name);
                lines.insert(name.replace('_', " "));
            }
        }
        lines.into_iter().collect()
    }

    /// Why a command cannot be run.
    pub fn unknown_command(&self, command: &Command) -> String {
        const SHOWN: usize = 8;
        let known = self.commands(command.cluster());
        let more = if known.len() > SHOWN { format!(" and {} more", known.len() - SHOWN) } else { String::new() };
        let known = known.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
        let hint = if known.is_empty() { String::new() } else { format!("; recorded were: {known}{more}") };
        let line: String = command.words.join(" ").chars().take(200).collect();
        format!("this is a recorded cluster, and `{line}` was not recorded{hint}")
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

/// Streams stdout (1), stderr (2) and at last the status (3) of a command, or why there is nothing of it.
async fn stream(mut socket: WebSocket, ran: Result<Ran, String>) {
    let frame = |channel: u8, data: &[u8]| Message::Binary([&[channel], data].concat().into());
    let mut frames = Vec::new();
    if let Ok(ran) = &ran {
        frames.extend(ran.stdout.chunks(32_000).map(|part| frame(1, part)));
        frames.extend(ran.stderr.chunks(32_000).map(|part| frame(2, part)));
    }
    frames.push(frame(3, status_of(&ran).to_string().as_bytes()));
    frames.push(Message::Close(Some(CloseFrame { code: close_code::NORMAL, reason: "".into() })));
    for frame in frames {
        if socket.send(frame).await.is_err() {
            return;
        }
    }
    // The client closes when it has read all.
    while let Some(Ok(_)) = socket.recv().await {}
}

/// Turns the request into the streams of a command, over WebSocket or, for older clients, SPDY.
pub async fn upgrade(
    parts: &mut Parts,
    asked: &Asked,
    ran: impl Future<Output = Result<Ran, String>> + Send + 'static,
) -> Response {
    let header =
        |name: &str| parts.headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect::<Vec<_>>();
    if header("upgrade").iter().any(|protocol| protocol.eq_ignore_ascii_case(spdy::PROTOCOL)) {
        let offered = header("x-stream-protocol-version");
        let is_offered = offered.iter().flat_map(|list| list.split(',')).any(|one| one.trim() == spdy::CHANNEL);
        let Some(upgrading) = parts.extensions.remove::<OnUpgrade>().filter(|_| is_offered) else {
            return Answer::bad_request(&format!("only {} is spoken here", spdy::CHANNEL)).into_response();
        };
        let mut wanted = vec!["stdout", "stderr"];
        wanted.retain(|name| asked.is(name) && !(*name == "stderr" && asked.is("tty")));
        tokio::spawn(async move {
            if let Ok(connection) = upgrading.await {
                spdy::serve(TokioIo::new(connection), &wanted, ran.await).await;
            }
        });
        let headers =
            [("connection", "Upgrade"), ("upgrade", spdy::PROTOCOL), ("x-stream-protocol-version", spdy::CHANNEL)];
        return (StatusCode::SWITCHING_PROTOCOLS, headers).into_response();
    }
    match WebSocketUpgrade::from_request_parts(parts, &()).await {
        Ok(upgrade) => {
            let upgrade = upgrade.protocols(["v5.channel.k8s.io", "v4.channel.k8s.io"]);
            upgrade.on_upgrade(|socket| async { stream(socket, ran.await).await })
        }
        Err(_) => Answer::bad_request("unable to upgrade: commands are run over WebSocket or SPDY").into_response(),
    }
}

/// How a command ended, in the form of the API.
pub fn status_of(ran: &Result<Ran, String>) -> Value {
    match ran {
        Ok(Ran { rc: 0, .. }) => json!({"metadata": {}, "status": "Success"}),
        Ok(Ran { rc, .. }) => json!({"metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
            "message": format!("command terminated with non-zero exit code: exit status {rc}"),
            "details": {"causes": [{"reason": "ExitCode", "message": rc.to_string()}]}}),
        Err(why) => json!({"metadata": {}, "status": "Failure", "reason": NOT_CAPTURED, "code": 501, "message": why}),
    }
}

/// The container that is meant, if the pod has it.
pub fn container(pod: &Value, named: &str) -> Result<String, Answer> {
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

/// A command line as the name of its file.
pub fn file_name(line: &str) -> String {
    line.replace([' ', '/'], "_")
}
