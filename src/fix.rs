//! From a finding to a cluster that works again.
//!
//! A fix is a pure function from facts and a finding to a [`Plan`]: steps as data. The plan is shown
//! ([`preview`], [`script`]), and [`apply`] alone carries it out: before each step it asks the [`condition`]s again
//! with fresh facts, and writes into the [`journal`] what it is about to do and how that went. What a person must do
//! is a [`runbook`].

pub mod apply;
pub mod condition;
pub mod journal;
pub mod json_text;
pub mod object;
pub mod plans;
pub mod preview;
pub mod restart;
pub mod runbook;
pub mod script;
pub mod undo;

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::check::{Check, Finding, Text};
use crate::diagnosis::Placed;
use crate::facts::{Facts, Gap};

pub use condition::Condition;
pub use object::Object;

/// What a fix is asked about.
pub struct Case<'c> {
    pub facts: &'c Facts<'c>,
    pub check: &'static Check,
    pub finding: &'c Finding,
    /// Everything that was found, this finding among it.
    pub findings: &'c [Placed],
    /// Ceph's flags that earlier fixes of this tool set and did not take away: `noout`, `noout osd.3`.
    pub flags_left: &'c [String],
    /// What earlier plans saw and remembered, and when that was first.
    pub sighted: &'c BTreeMap<String, Timestamp>,
}

/// The fix of a check.
pub type Fix = fn(&Case<'_>) -> Result<Proposal, Gap>;

/// What a fix proposes.
#[derive(Clone, Debug)]
pub enum Proposal {
    /// The tool can do this.
    Plan(Plan),
    /// Here a person must act, and why.
    Guided(Text),
    /// What was seen proves enough only when it is seen again later: it is remembered.
    Later { seen: Vec<String>, why: Text },
}

/// How far a fix reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    /// Nothing that works is interrupted.
    Safe,
    /// Something that works is interrupted for a while.
    Disruptive,
    /// It cannot be taken back. Never covered by `--yes`.
    Irreversible,
}

impl Risk {
    pub fn word(self) -> &'static str {
        match self {
            Self::Safe => "safe",
            Self::Disruptive => "disruptive",
            Self::Irreversible => "irreversible",
        }
    }
}

/// The steps of a fix, as data: shown, dry-run, confirmed, journalled, applied, verified, undone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// What it does, in a sentence.
    pub does: Text,
    pub risk: Risk,
    /// What is interrupted meanwhile.
    pub interrupts: Vec<Text>,
    /// What a person must know before saying yes: who will revert it, what cannot be seen from here.
    pub warnings: Vec<Text>,
    /// What must hold before each step that changes something.
    pub guards: Vec<Condition>,
    pub steps: Vec<Step>,
    /// What to do where this does not help.
    pub next: Vec<Text>,
}

/// One step: one change, or one wait.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    pub does: Text,
    /// What must hold before this step, beside the guards of the plan.
    #[serde(default)]
    pub guards: Vec<Condition>,
    #[serde(flatten)]
    pub act: Act,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "act", rename_all = "camelCase")]
pub enum Act {
    /// Changes an object, if it still is what was read.
    Patch { object: Object, before: Value, after: Value },
    /// Deletes an object. What no owner makes anew is saved, to be brought back.
    Delete { object: Object, saved: Option<Value> },
    /// Deletes a pod as far as its disruption budgets allow.
    Evict { object: Object },
    /// Brings back what was deleted.
    Create { object: Object, whole: Value },
    /// Runs a Ceph command that may be run again; the inverse undoes it.
    Ceph { words: Vec<String>, inverse: Option<Vec<String>> },
    /// Waits until something holds.
    #[serde(rename_all = "camelCase")]
    Wait { until: Condition, at_most_seconds: u64 },
}

impl Plan {
    pub fn new(does: Text, risk: Risk) -> Self {
        Self {
            does,
            risk,
            interrupts: Vec::new(),
            warnings: Vec::new(),
            guards: vec![Condition::NoMaintenance],
            steps: Vec::new(),
            next: Vec::new(),
        }
    }
    pub fn interrupts(mut self, what: Text) -> Self {
        self.interrupts.push(what);
        self
    }
    pub fn warning(mut self, what: Text) -> Self {
        self.warnings.push(what);
        self
    }
    pub fn guard(mut self, condition: Condition) -> Self {
        self.guards.push(condition);
        self
    }
    pub fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }
    pub fn steps(mut self, steps: impl IntoIterator<Item = Step>) -> Self {
        self.steps.extend(steps);
        self
    }
    /// The next rung of the ladder, where this does not help.
    pub fn next(mut self, what: Text) -> Self {
        self.next.push(what);
        self
    }
}

impl Step {
    pub fn new(does: Text, act: Act) -> Self {
        Self { does, guards: Vec::new(), act }
    }

    pub fn wait(does: Text, until: Condition, at_most_seconds: u64) -> Self {
        Self::new(does, Act::Wait { until, at_most_seconds })
    }

    /// A Ceph command that may be run twice, and what undoes it.
    pub fn ceph(does: Text, words: &[&str], inverse: Option<&[&str]>) -> Self {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Self::new(does, Act::Ceph { words: owned(words), inverse: inverse.map(owned) })
    }

    pub fn guard(mut self, condition: Condition) -> Self {
        self.guards.push(condition);
        self
    }
}

impl Act {
    /// Whether it changes anything.
    pub fn writes(&self) -> bool {
        !matches!(self, Self::Wait { .. })
    }

    /// What takes it back; none for what cannot be taken back or needs not be, such as a restart.
    pub fn inverse(&self) -> Option<Self> {
        match self {
            Self::Patch { object, before, after } => {
                Some(Self::Patch { object: object.clone(), before: after.clone(), after: before.clone() })
            }
            Self::Delete { object, saved: Some(saved) } => {
                Some(Self::Create { object: object.clone(), whole: saved.clone() })
            }
            Self::Create { object, whole } => Some(Self::Delete { object: object.clone(), saved: Some(whole.clone()) }),
            Self::Ceph { words, inverse: Some(inverse) } => {
                Some(Self::Ceph { words: inverse.clone(), inverse: Some(words.clone()) })
            }
            Self::Delete { .. } | Self::Evict { .. } | Self::Ceph { .. } | Self::Wait { .. } => None,
        }
    }
}
