//! Parses answers, once, when they arrive, and hands them out by type.

use std::any::Any;
use std::collections::BTreeSet;
use std::fmt;

use anstream::adapter::strip_str;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::kinds::{self, strip_nulls};
use super::tables::{self, FromRow};
use super::{Answer, Fact, Facts, Gap, Kind, PodRowTable, Row, Select, View};
use crate::objects::ceph;
use crate::objects::kube::Pod;
use crate::objects::rook::CephCluster;

type Parsed = Box<dyn Any + Send + Sync>;

/// A read-only Ceph command with constant arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CephCommand {
    Status,
    HealthDetail,
    TimeSyncStatus,
    Versions,
    QuorumStatus,
    OsdTree,
    OsdDump,
    OsdDf,
    OsdPoolLsDetail,
    FsDump,
    OsdMetadata,
    OsdCrushRuleDump,
    CrashLs,
}

impl CephCommand {
    pub const ALL: &'static [Self] = &[
        Self::Status,
        Self::HealthDetail,
        Self::TimeSyncStatus,
        Self::Versions,
        Self::QuorumStatus,
        Self::OsdTree,
        Self::OsdDump,
        Self::OsdDf,
        Self::OsdPoolLsDetail,
        Self::FsDump,
        Self::OsdMetadata,
        Self::OsdCrushRuleDump,
        Self::CrashLs,
    ];

    /// The words after `ceph`.
    pub fn words(self) -> &'static [&'static str] {
        match self {
            Self::Status => &["status"],
            Self::HealthDetail => &["health", "detail"],
            Self::TimeSyncStatus => &["time-sync-status"],
            Self::Versions => &["versions"],
            Self::QuorumStatus => &["quorum_status"],
            Self::OsdTree => &["osd", "tree"],
            Self::OsdDump => &["osd", "dump"],
            Self::OsdDf => &["osd", "df"],
            Self::OsdPoolLsDetail => &["osd", "pool", "ls", "detail"],
            Self::FsDump => &["fs", "dump"],
            Self::OsdMetadata => &["osd", "metadata"],
            Self::OsdCrushRuleDump => &["osd", "crush", "rule", "dump"],
            Self::CrashLs => &["crash", "ls"],
        }
    }

    /// Whether the active mgr answers it: without one such a command hangs for ever.
    pub fn needs_mgr(self) -> bool {
        match self {
            Self::OsdDf | Self::CrashLs => true,
            Self::Status
            | Self::HealthDetail
            | Self::TimeSyncStatus
            | Self::Versions
            | Self::QuorumStatus
            | Self::OsdTree
            | Self::OsdDump
            | Self::OsdPoolLsDetail
            | Self::FsDump
            | Self::OsdMetadata
            | Self::OsdCrushRuleDump => false,
        }
    }

    /// What every answer of the command has: without it an answer is not Ceph's, or not whole, and would read like
    /// one of a cluster where nothing is wrong.
    fn always(self) -> &'static [&'static str] {
        match self {
            Self::Status => &["health", "quorum_names"],
            Self::HealthDetail => &["status"],
            Self::Versions => &["overall"],
            Self::QuorumStatus => &["monmap", "quorum_names"],
            Self::OsdTree | Self::OsdDf => &["nodes"],
            Self::OsdDump => &["osds"],
            Self::FsDump => &["filesystems"],
            // A single monitor has nothing to compare.
            Self::TimeSyncStatus => &[],
            // Lists, which may be empty.
            Self::OsdPoolLsDetail | Self::OsdMetadata | Self::OsdCrushRuleDump | Self::CrashLs => &[],
        }
    }

    fn parse(self, answer: &[u8]) -> Result<Parsed, String> {
        let value = value(answer)?;
        if let Some(key) = self.always().iter().find(|key| value.get(key).is_none()) {
            return Err(format!("the answer has no {key}"));
        }
        match self {
            Self::Status => view::<ceph::Status>(value),
            Self::HealthDetail => view::<ceph::Health>(value),
            Self::TimeSyncStatus => view::<ceph::TimeSync>(value),
            Self::Versions => view::<ceph::Versions>(value),
            Self::QuorumStatus => view::<ceph::QuorumStatus>(value),
            Self::OsdTree => view::<ceph::OsdTree>(value),
            Self::OsdDump => view::<ceph::OsdDump>(value),
            Self::OsdDf => view::<ceph::OsdDf>(value),
            Self::OsdPoolLsDetail => view::<Vec<ceph::Pool>>(value),
            Self::FsDump => view::<ceph::FsDump>(value),
            Self::OsdCrushRuleDump => view::<Vec<ceph::CrushRule>>(value),
            Self::OsdMetadata => view::<Vec<ceph::OsdMetadata>>(value),
            Self::CrashLs => view::<Vec<ceph::Crash>>(value),
        }
    }
}

impl fmt::Display for CephCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join(" "))
    }
}

fn value(answer: &[u8]) -> Result<Value, String> {
    let mut value: Value = serde_json::from_slice(answer).map_err(|error| error.to_string())?;
    strip_nulls(&mut value);
    Ok(value)
}

fn view<T: DeserializeOwned + Send + Sync + 'static>(value: Value) -> Result<Parsed, String> {
    let view: T = serde_json::from_value(value).map_err(|error| error.to_string())?;
    Ok(Box::new(view))
}

/// The tail of a container's log.
#[derive(Clone, Debug, Default)]
pub struct Log {
    pub lines: Vec<LogLine>,
}

/// A line, without its time stamp and without control characters.
#[derive(Clone, Debug)]
pub struct LogLine {
    pub at: Option<Timestamp>,
    pub text: String,
}

impl Log {
    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        Self { lines: text.lines().filter(|line| !line.trim().is_empty()).map(LogLine::parse).collect() }
    }

    /// The last line that holds this text.
    pub fn last(&self, text: &str) -> Option<&LogLine> {
        self.lines.iter().rev().find(|line| line.text.contains(text))
    }

    pub fn first(&self, text: &str) -> Option<&LogLine> {
        self.lines.iter().find(|line| line.text.contains(text))
    }

    /// The last line that holds one of these texts.
    pub fn last_of(&self, texts: &[&str]) -> Option<&LogLine> {
        self.lines.iter().rev().find(|line| texts.iter().any(|text| line.text.contains(text)))
    }
}

impl LogLine {
    /// A log line is cut here: nobody reads more, and hostile ones have no end.
    const MAX: usize = 4096;

    fn parse(line: &str) -> Self {
        let stamped = line.split_once(' ').and_then(|(stamp, rest)| Some((stamp.parse::<Timestamp>().ok()?, rest)));
        let (at, text) = stamped.map_or((None, line), |(at, rest)| (Some(at), rest));
        let bare = strip_str(text).to_string();
        Self { at, text: bare.chars().filter(|c| !c.is_control() || *c == '\t').take(Self::MAX).collect() }
    }
}

pub(super) fn parse(fact: &Fact, answer: Answer) -> Result<Parsed, String> {
    match (fact, answer) {
        (Fact::Discovery, Answer::Kinds(kinds)) => Ok(Box::new(kinds)),
        (Fact::Rows { kind, ns, .. }, Answer::Rows(table)) => rows(*kind, ns, &table),
        (Fact::List { kind, .. } | Fact::Object { kind, .. }, Answer::Objects(objects)) => (kind.parse)(objects),
        (Fact::Whole { kind, .. }, Answer::Objects(objects)) => {
            objects.iter().try_for_each(|object| kinds::check_names(*kind, object))?;
            Ok(Box::new(objects))
        }
        (Fact::Log { .. }, Answer::Text(text)) => Ok(Box::new(Log::parse(&text))),
        (Fact::OkToStop { .. }, Answer::Text(text)) => view::<ceph::OkToStop>(value(&text)?),
        (Fact::Ceph { command, .. }, Answer::Text(text)) => command.parse(&text),
        (Fact::Socket { .. }, Answer::Text(text)) => view::<ceph::MonStatus>(value(&text)?),
        (_, answer) => Err(format!("the source answered with {answer:.40?}")),
    }
}

fn rows(kind: Kind, ns: &str, table: &super::Table) -> Result<Parsed, String> {
    fn read<T: FromRow>(table: &super::Table) -> Result<Parsed, String> {
        Ok(Box::new(tables::rows::<T>(table)?))
    }
    match kind.plural {
        "pods" => {
            let mut rows: Vec<tables::PodRow> = tables::rows(table)?;
            rows.iter_mut().for_each(|row| row.ns = ns.to_owned());
            rows.sort_by(|one, other| one.name.cmp(&other.name));
            Ok(Box::new(rows))
        }
        "nodes" => read::<tables::NodeRow>(table),
        "deployments" => read::<tables::DeploymentRow>(table),
        "jobs" => read::<tables::JobRow>(table),
        "persistentvolumeclaims" => read::<tables::ClaimRow>(table),
        "persistentvolumes" => read::<tables::VolumeRow>(table),
        "volumeattachments" => read::<tables::AttachmentRow>(table),
        other => Err(format!("no row is defined for {other}")),
    }
}

/// A monitor's pod, for its admin socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MonPod<'r> {
    pub id: &'r str,
    pub pod: &'r str,
}

impl<'s> Facts<'s> {
    /// Whether the API server serves the kind.
    pub fn installed(&self, kind: Kind) -> Result<bool, Gap> {
        self.touch(Row::Discovery);
        let kinds: &BTreeSet<String> = self.get(Fact::Discovery)?;
        Ok(kinds.contains(&format!("{}/{}", kind.group, kind.plural)))
    }

    fn require(&self, kind: Kind) -> Result<(), Gap> {
        if !kind.is_custom() || self.installed(kind)? { Ok(()) } else { Err(Gap::NotInstalled(kind)) }
    }

    /// The rows of the table of reads, or of a table asked for on suspicion.
    pub(super) fn rows_of<T: FromRow>(&self, fact: Fact) -> Result<&'s [T], Gap> {
        self.get::<Vec<T>>(fact).map(Vec::as_slice)
    }

    pub(super) fn list_of<T: View>(&self, fact: Fact) -> Result<&'s [T], Gap> {
        self.require(T::KIND)?;
        self.get::<Vec<T>>(fact).map(Vec::as_slice)
    }

    pub(super) fn ceph<T: 'static>(&self, fact: Fact) -> Result<&'s T, Gap> {
        self.get(fact)
    }

    /// Pods as rows, chosen by the server: `facts.pods_where("kube-system", "app=kube-ovn-cni")`.
    pub fn pods_where(&self, ns: &str, label: &str) -> Result<PodRowTable<'s>, Gap> {
        self.touch(Row::PodTables);
        self.rows_of(Fact::Rows { kind: kinds::POD, ns: ns.to_owned(), label: label.to_owned() })
    }

    /// Deployments of the CephCluster's namespace as rows, chosen by the server.
    pub fn deployments_where(&self, label: &str) -> Result<&'s [tables::DeploymentRow], Gap> {
        self.touch(Row::DeploymentTables);
        let ns = self.cluster()?.ns.clone();
        self.rows_of(Fact::Rows { kind: kinds::DEPLOYMENT, ns, label: label.to_owned() })
    }

    /// Every Deployment of a namespace as a row.
    pub fn deployments_of(&self, ns: &str) -> Result<&'s [tables::DeploymentRow], Gap> {
        self.touch(Row::DeploymentTables);
        self.rows_of(Fact::Rows { kind: kinds::DEPLOYMENT, ns: ns.to_owned(), label: String::new() })
    }

    /// Whole objects of one namespace (or all), chosen by the server. For what looks guilty.
    pub fn list<T: View>(&self, ns: Option<&str>, select: Select) -> Result<&'s [T], Gap> {
        self.touch(Row::Objects);
        self.list_of(Fact::List { kind: T::KIND, ns: ns.map(str::to_owned), select })
    }

    /// One object by name; `None` if it is known not to exist. An empty namespace for cluster-scoped kinds.
    pub fn object<T: View>(&self, ns: &str, name: &str) -> Result<Option<&'s T>, Gap> {
        self.touch(Row::Objects);
        let fact = Fact::Object { kind: T::KIND, ns: ns.to_owned(), name: name.to_owned() };
        Ok(self.list_of::<T>(fact)?.first())
    }

    /// One object with every field, as a fix needs it; `None` if it is known not to exist.
    pub fn whole(&self, kind: Kind, ns: &str, name: &str) -> Result<Option<&'s Value>, Gap> {
        self.touch(Row::Objects);
        self.require(kind)?;
        let fact = Fact::Whole { kind, ns: ns.to_owned(), name: name.to_owned() };
        Ok(self.get::<Vec<Value>>(fact)?.first())
    }

    /// Whether these OSDs may stop together without making PGs inactive.
    pub fn ok_to_stop(&self, osds: &[i64]) -> Result<&'s ceph::OkToStop, Gap> {
        self.get(Fact::OkToStop { ns: self.cluster()?.ns.clone(), osds: osds.to_vec() })
    }

    /// The reports of crashes that Ceph keeps, archived ones too. Only a fix asks for them.
    pub fn crashes(&self) -> Result<&'s Vec<ceph::Crash>, Gap> {
        self.get(Fact::Ceph { ns: self.cluster()?.ns.clone(), command: CephCommand::CrashLs })
    }

    /// A pod in full. One that went away between the two reads is unknown, not well.
    pub fn pod(&self, ns: &str, name: &str) -> Result<&'s Pod, Gap> {
        let fact = Fact::Object { kind: kinds::POD, ns: ns.to_owned(), name: name.to_owned() };
        let gone = || Gap::Unknown(super::Unknown { fact, why: super::Why::Unreachable("the pod is gone".into()) });
        self.object::<Pod>(ns, name)?.ok_or_else(gone)
    }

    /// The CephCluster under diagnosis. What was not recorded of others takes nothing from it; damage does.
    pub fn ceph_cluster(&self) -> Result<&'s CephCluster, Gap> {
        let cluster = self.cluster()?;
        let is_it =
            |object: &&CephCluster| object.metadata.namespace == cluster.ns && object.metadata.name == cluster.name;
        let alone = self.fresh();
        let all = alone.ceph_clusters();
        alone.touched().into_iter().for_each(|row| self.touch(row));
        if alone.flaws().iter().any(|flaw| flaw.why != super::Why::NotCaptured) {
            self.read.borrow_mut().extend(alone.read.take());
        }
        all?.iter().find(is_it).ok_or_else(|| Gap::NotOffered("the CephCluster is gone".into()))
    }

    /// The tail of a container's log.
    pub fn log(&self, ns: &str, pod: &str, container: &str) -> Result<&'s Log, Gap> {
        self.touch(Row::Logs);
        self.get(log_fact(ns, pod, container, false))
    }

    /// The tail of the log of the container that ran before this one.
    pub fn previous_log(&self, ns: &str, pod: &str, container: &str) -> Result<&'s Log, Gap> {
        self.touch(Row::Logs);
        self.get(log_fact(ns, pod, container, true))
    }

    /// `mon_status` from a monitor's admin socket.
    pub fn mon_socket(&self, mon: &MonPod<'_>) -> Result<&'s ceph::MonStatus, Gap> {
        self.touch(Row::MonSockets);
        self.get(Fact::Socket {
            ns: self.cluster()?.ns.clone(),
            pod: mon.pod.to_owned(),
            container: "mon".to_owned(),
            daemon: format!("mon.{}", mon.id),
            command: "mon_status",
        })
    }
}

fn log_fact(ns: &str, pod: &str, container: &str, previous: bool) -> Fact {
    Fact::Log { ns: ns.to_owned(), pod: pod.to_owned(), container: container.to_owned(), previous }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_loses_its_stamp_and_its_escapes() {
        let log = Log::parse(b"2025-03-04T14:02:58.123Z \x1b[31mmons running: [a]\n\nplain\r\n");
        assert_eq!(log.lines.len(), 2);
        assert_eq!(log.lines[0].text, "mons running: [a]");
        assert!(log.lines[0].at.is_some() && log.lines[1].at.is_none());
        assert_eq!(log.last("mons running").map(|line| line.at), Some(log.lines[0].at));
    }

    #[test]
    fn an_answer_without_what_all_have_is_none() {
        for command in CephCommand::ALL.iter().filter(|command| !command.always().is_empty()) {
            for answer in ["{}", "[]", r#"{"error": "ETIMEDOUT"}"#] {
                assert!(command.parse(answer.as_bytes()).is_err(), "{command}: {answer}");
            }
        }
        assert!(CephCommand::HealthDetail.parse(br#"{"status": "HEALTH_OK", "checks": {}, "mutes": []}"#).is_ok());
    }
}
