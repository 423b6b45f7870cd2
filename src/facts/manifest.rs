//! `rookdoctor/manifest.yaml`: when and with what a bundle was made, and what was asked for it.
//!
//! `coverage` says of each thing that was asked how it went: `ok`, `forbidden`, `timeout`, `not-found` (the cluster
//! has no such thing), `partial` (single objects of it are there), or `error: ...`. It speaks of
//!
//! - a kind as a whole, `pods` or `cephclusters.ceph.rook.io`; of one namespace only, `pods/rook-ceph`; of the list
//!   over all namespaces, where only that one failed, `pods/*`; of one object, `pods/rook-ceph/rook-ceph-mon-a`;
//! - a Ceph command, `ceph osd tree`, or that command for the CephCluster of one namespace, `ceph osd tree/rook-ceph`;
//! - a log, `log/<namespace>/<pod>/<container>` or `previous log/...`, and an admin socket, `socket/...`;
//! - `API discovery`.
//!
//! What is narrower speaks for itself: a kind with entries for some namespaces, and none as a whole, was read of
//! those only, and of all others nothing is known.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::archive::File;
use super::layout::{Notes, PARTIAL};
use super::{Fact, Why, redact, yaml};

/// The version of the manifest that is written, and the newest that is read.
pub const SCHEMA: u64 = 1;
pub const MANIFEST: &str = "rookdoctor/manifest.yaml";
/// The exit status of a command that Ceph did not allow.
pub(super) const EACCES: i32 = 13;

/// What the ladder of ways to Ceph tells of all its steps is longer than other reasons.
const LONGEST: usize = 8000;
const NOT_CAPTURED: &str = "not-captured";
const MALFORMED: &str = "malformed: ";
const NOT_OFFERED: &str = "not offered: ";
const OVER_BUDGET: &str = "over budget";

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Manifest {
    pub schema_version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_version: Option<String>,
    /// The server's clock when the objects were read.
    pub capture_time: Option<Timestamp>,
    pub server_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_name: Option<String>,
    pub coverage: BTreeMap<String, String>,
}

impl Manifest {
    pub(super) fn read(file: &File) -> Result<Self, String> {
        let documents = yaml::documents(&file.bytes()?)?;
        let manifest = documents.into_iter().next().ok_or("the file is empty")?;
        serde_json::from_value(manifest).map_err(|error| error.to_string())
    }

    /// What is known of a recording without one.
    pub(super) fn of(notes: &Notes) -> Self {
        Self {
            schema_version: SCHEMA,
            capture_time: notes.taken,
            server_version: notes.server_version.clone(),
            coverage: notes.coverage.clone(),
            ..Self::default()
        }
    }

    /// How asking for this went; nothing if it was not asked.
    pub fn said(&self, what: &str) -> Option<Result<(), Why>> {
        self.coverage.get(what).map(|said| meaning(what, said))
    }

    /// Why single namespaces of a kind could not be read.
    pub(super) fn failed_within(&self, resource: &str) -> Option<Why> {
        let from = format!("{resource}/");
        let parts = self.coverage.range(from.clone()..).take_while(|(key, _)| key.starts_with(&from));
        let mut namespaces = parts.filter(|(key, _)| !key[from.len()..].contains('/'));
        namespaces.find_map(|(key, said)| meaning(key, said).err())
    }
}

/// The entry for a kind, in one namespace, or in all.
pub fn scoped(resource: &str, ns: Option<&str>) -> String {
    format!("{resource}/{}", ns.unwrap_or("*"))
}

/// The entry for what is no list: one object, a log, the answer of a command.
pub fn entry(fact: &Fact) -> String {
    match fact {
        Fact::Object { kind, ns, name } | Fact::Whole { kind, ns, name } => {
            format!("{}/{ns}/{name}", kind.resource())
        }
        Fact::Log { ns, pod, container, previous } => {
            let previous = if *previous { "previous " } else { "" };
            format!("{previous}log/{ns}/{pod}/{container}")
        }
        Fact::Ceph { ns, command } => format!("ceph {command}/{ns}"),
        Fact::Socket { ns, pod, container, daemon, command } => {
            format!("socket/{ns}/{pod}/{container}/{daemon} {command}")
        }
        Fact::Discovery | Fact::Rows { .. } | Fact::List { .. } | Fact::OkToStop { .. } => fact.to_string(),
    }
}

/// How something went that failed, in the words of `coverage`; [`meaning`] takes it back.
pub fn word(why: &Why) -> String {
    match why {
        Why::Forbidden(text) if text.is_empty() => "forbidden".to_owned(),
        Why::Forbidden(text) => format!("forbidden: {text}"),
        Why::Timeout | Why::Deadline => "timeout".to_owned(),
        Why::Unreachable(text) => format!("error: {text}"),
        Why::Malformed(text) => format!("error: {MALFORMED}{text}"),
        Why::NotOffered(text) => format!("error: {NOT_OFFERED}{text}"),
        Why::OverBudget => format!("error: {OVER_BUDGET}"),
        // The cluster was itself a recording that is served.
        Why::NotCaptured => NOT_CAPTURED.to_owned(),
        Why::Failed { .. } => format!("error: {why}"),
    }
}

/// What an entry says of the absence of something: nothing was there (`Ok`), or why it is unknown.
fn meaning(what: &str, said: &str) -> Result<(), Why> {
    let (word, text) = said.split_once(':').unwrap_or((said, ""));
    let text = redact::keys_within(text, LONGEST);
    Err(match word {
        "ok" => return Ok(()),
        "" | PARTIAL | NOT_CAPTURED => Why::NotCaptured,
        "forbidden" => Why::Forbidden(text),
        "timeout" => Why::Timeout,
        "not-found" => Why::NotOffered(format!("{what} was not found")),
        _ if text == OVER_BUDGET => Why::OverBudget,
        _ if text.starts_with(MALFORMED) => Why::Malformed(text[MALFORMED.len()..].to_owned()),
        _ if text.starts_with(NOT_OFFERED) => Why::NotOffered(text[NOT_OFFERED.len()..].to_owned()),
        _ if text.contains("EACCES") => Why::Failed { rc: EACCES, stderr: text },
        _ if text.is_empty() => Why::Unreachable(redact::keys(word)),
        _ => Why::Unreachable(text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_is_read_as_it_was_written() {
        for why in [
            Why::Forbidden(String::new()),
            Why::Forbidden("nodes is forbidden: User \"x\" cannot list".into()),
            Why::Timeout,
            Why::Unreachable("500: Get \"https://10.0.0.1:10250\": no route to host".into()),
            Why::Malformed("EOF while parsing: line 1".into()),
            Why::NotOffered("the user of this external cluster may not ask the mgr".into()),
            Why::OverBudget,
            Why::NotCaptured,
            Why::Unreachable(format!("toolbox: {}; mgr: no running pod", "x".repeat(2000))),
        ] {
            assert_eq!(meaning("x", &word(&why)), Err(why.clone()), "{}", word(&why));
        }
        assert_eq!(meaning("x", "ok"), Ok(()));
        assert_eq!(meaning("x", &word(&Why::Deadline)), Err(Why::Timeout));
    }

    #[test]
    fn what_failed_within_is_told_from_other_kinds() {
        let coverage = [
            ("pods/a", "ok"),
            ("pods/b", "timeout"),
            ("pods/b/one", "forbidden"),
            ("pods.metrics.k8s.io/a", "forbidden"),
            ("jobs.batch", "ok"),
            ("jobs.batch/a/one", "forbidden"),
        ];
        let coverage = coverage.iter().map(|(key, said)| ((*key).to_owned(), (*said).to_owned())).collect();
        let manifest = Manifest { coverage, ..Manifest::default() };
        assert_eq!(manifest.failed_within("pods"), Some(Why::Timeout));
        assert_eq!(manifest.failed_within("jobs.batch"), None);
        assert_eq!((manifest.said("pods"), manifest.said("jobs.batch")), (None, Some(Ok(()))));
    }
}
