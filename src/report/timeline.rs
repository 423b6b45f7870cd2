//! The story of a cluster as scripts read it.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::Object;

/// What happened, in order.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Timeline {
    /// Oldest first.
    pub entries: Vec<Mark>,
    /// What could not be read, and so may be missing.
    pub blind: Vec<String>,
    /// How many marks there are beyond those in `entries`.
    pub left_out: usize,
}

/// One thing that happened.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Mark {
    /// When it began.
    #[schemars(with = "String")]
    pub at: Timestamp,
    pub kind: MarkKind,
    pub what: String,
    pub about: Option<Object>,
    /// Where it was read.
    pub from: String,
    pub bad: bool,
    /// Where the present trouble begins, as far as can be told; at most one of all has it.
    pub first_bad: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MarkKind {
    /// A node started.
    Boot,
    /// A node, or a condition of it, changed.
    Node,
    /// Somebody changed an object.
    Change,
    /// A container ended, or a pod was started.
    Restart,
    /// A monitor was replaced, or elected.
    Failover,
    /// What the operator was at.
    Operator,
    /// Ceph's health changed.
    Health,
    /// A daemon of Ceph crashed.
    Crash,
    /// An event of Kubernetes.
    Event,
    /// A line of a log.
    Log,
    /// Since when a finding of this diagnosis stands.
    Finding,
}
