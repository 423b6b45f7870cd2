//! How a Ceph command is run: in the toolbox, the operator, a monitor or the mgr's proxy, whichever answers a
//! probe first. The probe is `ceph status`, so it also answers the fact that every diagnosis wants.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::sync::OnceCell;

use super::Live;
use super::exec::{Container, Ran};
use crate::facts::tables::{self, PodRow};
use crate::facts::{CephCommand, Cluster, Why, kinds, redact};

/// Monitors that do not answer within this time have no quorum, or no network.
const PROBE_CONNECT: u32 = 5;
const PROBE_LIMIT: u32 = 8;
const CONNECT: u32 = 10;
const LIMIT: u32 = 20;
const SOCKET_LIMIT: u32 = 5;
/// The form of answers that programs read.
pub(super) const JSON: &str = "json";
/// What the way to the container and back may take on top.
const WAY: Duration = Duration::from_secs(3);
/// A lost quorum reaches every rung: the third try would tell nothing new.
const SILENT_AT_MOST: usize = 2;
/// A pod may sit on a dead node; the next one gets a chance.
const PODS_PER_RUNG: usize = 2;
const NO_MGR: &str = "no active mgr answers this command";

/// `$@` is the command. The keyring of a monitor holds the administrator's key beside its own.
const IN_MON: &str =
    r#"unset CEPH_ARGS; exec "$@" -n client.admin -k /etc/ceph/keyring-store/keyring -m "$ROOK_CEPH_MON_HOST""#;
/// The user of an external cluster is the section of the operator's configuration. `$1` is its path.
const IN_OPERATOR_EXTERNAL: &str =
    r#"conf="$1"; shift; exec "$@" --conf="$conf" -n "$(sed -n 's/^\[\(client\..*\)\]$/\1/p' "$conf" | head -n 1)""#;
const IN_TOOLBOX_EXTERNAL: &str = r#"exec "$@" ${ROOK_CEPH_USERNAME:+-n "$ROOK_CEPH_USERNAME"}"#;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rung {
    Toolbox,
    Operator,
    Mon,
    Mgr,
}

impl Rung {
    const ALL: [Self; 4] = [Self::Toolbox, Self::Operator, Self::Mon, Self::Mgr];

    fn word(self) -> &'static str {
        match self {
            Self::Toolbox => "toolbox",
            Self::Operator => "operator",
            Self::Mon => "mon",
            Self::Mgr => "mgr",
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Toolbox => "app in (rook-ceph-tools,rook-ceph-tools-operator-image)",
            Self::Operator => "app=rook-ceph-operator",
            Self::Mon => "app=rook-ceph-mon",
            Self::Mgr => "app=rook-ceph-mgr",
        }
    }

    fn namespace(self, cluster: &Cluster) -> &str {
        if self == Self::Operator { &cluster.operator_ns } else { &cluster.ns }
    }

    fn container(self, pod: &str) -> &'static str {
        match self {
            Self::Toolbox if pod.starts_with("rook-ceph-tools-operator-image") => "rook-ceph-tools-operator-image",
            Self::Toolbox => "rook-ceph-tools",
            Self::Operator => "rook-ceph-operator",
            Self::Mon => "mon",
            Self::Mgr => "cmd-proxy",
        }
    }

    /// The whole command line: `ceph` and its flags within whatever this rung needs around them.
    fn command(self, cluster: &Cluster, ceph: Vec<String>) -> Vec<String> {
        let conf = format!("/var/lib/rook/{0}/{0}.config", cluster.ns);
        let shell = |script: &str, argument: Option<String>| {
            let shell = ["sh", "-c", script, "ceph"].map(str::to_owned).into_iter();
            shell.chain(argument).chain(ceph.iter().cloned()).collect()
        };
        match (self, cluster.external) {
            (Self::Toolbox, false) | (Self::Mgr, _) => ceph,
            (Self::Toolbox, true) => shell(IN_TOOLBOX_EXTERNAL, None),
            (Self::Operator, false) => ceph.into_iter().chain([format!("--conf={conf}")]).collect(),
            (Self::Operator, true) => shell(IN_OPERATOR_EXTERNAL, Some(conf)),
            (Self::Mon, _) => shell(IN_MON, None),
        }
    }
}

/// `timeout 20 ceph osd tree --connect-timeout 10 --format json`: with no active mgr, or no quorum, a command
/// without limits hangs in the container for ever.
fn ceph(words: &[&str], form: &str, connect: u32, limit: Option<u32>) -> Vec<String> {
    let mut line: Vec<String> = limit.map(|limit| vec!["timeout".into(), limit.to_string()]).unwrap_or_default();
    line.push("ceph".into());
    line.extend(words.iter().map(|word| (*word).to_owned()));
    line.extend(["--connect-timeout".into(), connect.to_string(), "--format".into(), form.into()]);
    line
}

/// The rung that answered, and where.
#[derive(Clone, Debug)]
struct Way {
    rung: Rung,
    at: Container,
}

/// What came of trying the rungs.
#[derive(Default)]
pub(super) struct Climb {
    /// The way, what its probe said, and whether a mgr is active.
    found: Option<(Way, Vec<u8>, bool)>,
    tried: Vec<(Rung, String)>,
    silent: usize,
    why: Option<Why>,
}

impl Climb {
    fn note(&mut self, rung: Rung, pod: &str, why: Why) {
        let text = if pod.is_empty() { why.to_string() } else { format!("{pod}: {why}") };
        self.tried.push((rung, text));
        let weight = |why: &Why| match why {
            Why::Timeout => 3,
            Why::Failed { .. } => 2,
            Why::Forbidden(_) | Why::NotCaptured => 1,
            _ => 0,
        };
        // Silence of the monitors says more than a refusal, and a refusal more than an absent pod.
        if self.why.as_ref().is_none_or(|known| weight(&why) > weight(known)) {
            self.why = Some(why);
        }
    }

    /// The reason for every Ceph fact when no rung answered.
    fn why(&self) -> Why {
        match &self.why {
            Some(why @ (Why::Timeout | Why::Failed { .. } | Why::Forbidden(_) | Why::NotCaptured)) => why.clone(),
            _ => {
                let tried: Vec<String> = self.attempts().map(|(rung, why)| format!("{rung}: {why}")).collect();
                Why::Unreachable(tried.join("; "))
            }
        }
    }

    pub fn attempts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.tried.iter().map(|(rung, why)| (rung.word(), why.as_str()))
    }

    pub fn rung(&self) -> Option<&'static str> {
        self.found.as_ref().map(|(way, ..)| way.rung.word())
    }
}

impl Live {
    /// The JSON answer of a Ceph command.
    pub(super) async fn ceph(&self, ns: &str, command: CephCommand) -> Result<Vec<u8>, Why> {
        let cluster = self.cluster(ns);
        let ladder = self.ladder_of(ns);
        let climb = ladder.get_or_init(|| self.climb(&cluster)).await;
        let Some((way, status, mgr)) = &climb.found else { return Err(climb.why()) };
        if command == CephCommand::Status {
            return Ok(status.clone());
        }
        if command.needs_mgr() && !mgr {
            return Err(Why::Unreachable(NO_MGR.into()));
        }
        let ran = self.limited(&cluster, way, command.words(), JSON, (CONNECT, LIMIT)).await?;
        if ran.rc == 13 && cluster.external && ran.stderr.contains("access denied") {
            return Err(Why::NotOffered("the user of this external cluster may not ask the mgr".into()));
        }
        ran.succeeded()
    }

    /// Whether these OSDs may stop together. "No" is an answer, too: Ceph gives it with a status of its own.
    pub(super) async fn ok_to_stop(&self, ns: &str, osds: &[i64]) -> Result<Vec<u8>, Why> {
        const BUSY: i32 = 16;
        let ids: Vec<String> = osds.iter().map(i64::to_string).collect();
        let words: Vec<&str> = ["osd", "ok-to-stop"].into_iter().chain(ids.iter().map(String::as_str)).collect();
        let ran = self.run_ceph(ns, &words, JSON, true).await?;
        match ran.rc {
            BUSY if ran.stdout.trim_ascii_start().starts_with(b"{") => Ok(ran.stdout),
            BUSY => {
                let no = serde_json::json!({"ok_to_stop": false, "reason": redact::keys(&ran.stderr)});
                Ok(no.to_string().into_bytes())
            }
            _ => ran.succeeded(),
        }
    }

    /// Runs any command where the ladder's probe was answered.
    pub(super) async fn run_ceph(&self, ns: &str, words: &[&str], form: &str, needs_mgr: bool) -> Result<Ran, Why> {
        let cluster = self.cluster(ns);
        let ladder = self.ladder_of(ns);
        let climb = ladder.get_or_init(|| self.climb(&cluster)).await;
        match &climb.found {
            None => Err(climb.why()),
            Some((.., false)) if needs_mgr => Err(Why::Unreachable(NO_MGR.into())),
            Some((way, ..)) => self.limited(&cluster, way, words, form, (CONNECT, LIMIT)).await,
        }
    }

    /// The JSON answer of a daemon's admin socket, which needs neither quorum nor network nor key.
    pub(super) async fn socket(&self, at: &Container, daemon: &str, command: &str) -> Result<Vec<u8>, Why> {
        let socket = format!("/run/ceph/ceph-{daemon}.asok");
        let limit = SOCKET_LIMIT.to_string();
        let line = ["env", "-u", "CEPH_ARGS", "timeout", &limit, "ceph", "--admin-daemon", &socket];
        let line: Vec<String> = line.into_iter().chain(command.split(' ')).map(str::to_owned).collect();
        self.run_at(at, &line, SOCKET_LIMIT).await?.succeeded()
    }

    /// Runs a command that has `seconds` in its container; here it has a little more, but never more than the run.
    async fn run_at(&self, at: &Container, command: &[String], seconds: u32) -> Result<Ran, Why> {
        let limit = Duration::from_secs(seconds.into()) + WAY;
        self.api.run(at, command, limit.min(self.limits.run)).await
    }

    pub(super) fn ladder_of(&self, ns: &str) -> Arc<OnceCell<Climb>> {
        let mut ladders = self.ladders.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(ladders.entry(ns.to_owned()).or_default())
    }

    /// Tries the rungs in their order, within a third of the time of the whole run.
    async fn climb(&self, cluster: &Cluster) -> Climb {
        let end = Instant::now() + self.limits.run / 3;
        let mut climb = Climb::default();
        for rung in Rung::ALL {
            let left = end.saturating_duration_since(Instant::now());
            if tokio::time::timeout(left, self.step(rung, cluster, &mut climb)).await.is_err() {
                climb.note(rung, "", Why::Timeout);
            }
            if climb.found.is_some() || climb.silent >= SILENT_AT_MOST {
                break;
            }
        }
        climb
    }

    async fn step(&self, rung: Rung, cluster: &Cluster, climb: &mut Climb) {
        let pods = match self.running(rung, cluster).await {
            Ok(pods) if pods.is_empty() => {
                return climb.note(rung, "", Why::Unreachable("no running pod".into()));
            }
            Ok(pods) => pods,
            Err(why) => return climb.note(rung, "", why),
        };
        for at in pods.into_iter().take(PODS_PER_RUNG) {
            let way = Way { rung, at };
            match self.probe(cluster, &way, climb).await {
                Ok((status, mgr)) => return climb.found = Some((way, status, mgr)),
                Err(why) => {
                    let elsewhere = matches!(why, Why::Unreachable(_));
                    climb.note(rung, &way.at.pod, why);
                    if !elsewhere {
                        return;
                    }
                }
            }
        }
    }

    /// Where this rung's command could run, in the order of the pods' names.
    async fn running(&self, rung: Rung, cluster: &Cluster) -> Result<Vec<Container>, Why> {
        let ns = rung.namespace(cluster);
        let table = self.table(kinds::POD, ns, rung.label()).await?;
        let mut pods: Vec<PodRow> = tables::rows(&table).map_err(Why::Malformed)?;
        pods.retain(|pod| pod.status == "Running" && pod.ready.0 > 0);
        pods.sort_by(|a, b| a.name.cmp(&b.name));
        let place = |pod: PodRow| Container {
            ns: ns.to_owned(),
            container: rung.container(&pod.name).to_owned(),
            pod: pod.name,
        };
        Ok(pods.into_iter().map(place).collect())
    }

    async fn probe(&self, cluster: &Cluster, way: &Way, climb: &mut Climb) -> Result<(Vec<u8>, bool), Why> {
        let ran = self.limited(cluster, way, CephCommand::Status.words(), JSON, (PROBE_CONNECT, PROBE_LIMIT)).await?;
        climb.silent += usize::from(ran.timed_out());
        let status = ran.succeeded()?;
        let mgr = mgr_available(&status)?;
        Ok((status, mgr))
    }

    /// Runs `ceph` under `timeout`; without it where the image has none, as the limit on our side holds anyway.
    async fn limited(
        &self,
        cluster: &Cluster,
        way: &Way,
        words: &[&str],
        form: &str,
        (connect, limit): (u32, u32),
    ) -> Result<Ran, Why> {
        let run = async |within: Option<u32>| {
            let command = way.rung.command(cluster, ceph(words, form, connect, within));
            self.run_at(&way.at, &command, limit).await
        };
        let ran = run(Some(limit)).await;
        if lacks_timeout(&ran) { run(None).await } else { ran }
    }
}

/// The runtime says so before the command starts, a shell by its exit status.
fn lacks_timeout(ran: &Result<Ran, Why>) -> bool {
    let absent = |text: &str| text.contains("timeout") && text.contains("not found");
    match ran {
        Ok(ran) => ran.rc == 127 && absent(&ran.stderr),
        Err(Why::Unreachable(text)) => absent(text),
        Err(_) => false,
    }
}

fn mgr_available(status: &[u8]) -> Result<bool, Why> {
    #[derive(Deserialize)]
    struct Status {
        mgrmap: MgrMap,
    }
    #[derive(Deserialize)]
    struct MgrMap {
        available: bool,
    }
    let status: Status = serde_json::from_slice(status).map_err(|error| Why::Malformed(error.to_string()))?;
    Ok(status.mgrmap.available)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(external: bool) -> Cluster {
        Cluster { ns: "rook".into(), name: "rook".into(), operator_ns: "op".into(), external }
    }

    #[test]
    fn each_rung_has_its_command_line() {
        let line = |rung: Rung, external| rung.command(&cluster(external), ceph(&["osd", "tree"], JSON, 10, Some(20)));
        let plain = "timeout 20 ceph osd tree --connect-timeout 10 --format json";
        assert_eq!(line(Rung::Toolbox, false).join(" "), plain);
        assert_eq!(line(Rung::Operator, false).join(" "), format!("{plain} --conf=/var/lib/rook/rook/rook.config"));
        let mon = line(Rung::Mon, false);
        assert_eq!(&mon[..4], ["sh", "-c", IN_MON, "ceph"]);
        assert_eq!(mon[4..].join(" "), plain);
        assert_eq!(line(Rung::Operator, true)[4..6], ["/var/lib/rook/rook/rook.config", "timeout"]);
    }

    #[test]
    fn the_weightiest_reason_stands_for_all() {
        let mut climb = Climb::default();
        climb.note(Rung::Toolbox, "", Why::Unreachable("no running pod".into()));
        assert_eq!(climb.why(), Why::Unreachable("toolbox: unreachable: no running pod".into()));
        climb.note(Rung::Operator, "op-1", Why::Timeout);
        climb.note(Rung::Mon, "", Why::Forbidden("no".into()));
        assert_eq!(climb.why(), Why::Timeout);
        assert_eq!(climb.attempts().nth(1), Some(("operator", "op-1: no answer in time")));
    }

    #[test]
    fn a_container_without_timeout_is_recognised() {
        let oci = r#"OCI runtime exec failed: exec: "timeout": executable file not found in $PATH: unknown"#;
        assert!(lacks_timeout(&Err(Why::Unreachable(oci.into()))));
        assert!(lacks_timeout(&Ok(Ran { rc: 127, stdout: Vec::new(), stderr: "sh: exec: timeout: not found".into() })));
        assert!(!lacks_timeout(&Err(Why::Unreachable("404: pods \"x\" not found".into()))));
    }
}
