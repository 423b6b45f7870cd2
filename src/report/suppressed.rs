//! Which findings of a report are suppressed, and what becomes of decisions that are over or match nothing.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Finding, Report, known, sentence};
use crate::check::{Severity, Text};
use crate::diagnosis::{Diagnosis, Status};
use crate::facts::Why;
use crate::say;
use crate::suppress::{self, Entry};

/// A decision about a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Suppression {
    pub reason: String,
    pub by: Option<String>,
    /// The last moment; null for ever.
    #[schemars(with = "Option<String>")]
    pub expires: Option<Timestamp>,
    /// The path of a file, or `ConfigMap namespace/name`.
    pub from: String,
}

/// What is to say of the decisions themselves.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Suppressions {
    /// Decisions about findings that are not there, whose checks did look.
    pub unused: Vec<Unused>,
    /// Decisions that are not known, or not understood: nothing is suppressed by them.
    pub unread: Vec<Unread>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Unused {
    pub code: String,
    pub object: String,
    #[serde(flatten)]
    pub suppression: Suppression,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Unread {
    pub from: String,
    /// One word, as in `unknowns`; `malformed` if it was read and not understood.
    pub why: String,
    pub message: String,
}

impl Suppression {
    fn of(entry: &Entry) -> Self {
        Self {
            reason: sentence(&entry.reason),
            by: entry.by.as_deref().and_then(known),
            expires: entry.expires,
            from: sentence(&entry.from),
        }
    }

    /// `a rack moves (ann), until 2026-01-31 23:59Z`
    pub fn told(&self) -> Text {
        let until = self.expires.map(super::human::minute);
        match (&self.by, until) {
            (Some(by), Some(until)) => say!("{} ({}), until {}", self.reason, by, until),
            (Some(by), None) => say!("{} ({}), for ever", self.reason, by),
            (None, Some(until)) => say!("{}, until {}", self.reason, until),
            (None, None) => say!("{}, for ever", self.reason),
        }
    }
}

impl Finding {
    /// The note of a finding whose suppression is over.
    pub fn expired_note(&self) -> Option<Text> {
        let over = self.expired_suppression.as_ref()?;
        let until = over.expires.map(super::human::minute)?;
        Some(say!("suppressed until {}: expired ({})", until, over.reason))
    }

    /// `Node/w1`: what the id says after the code.
    pub fn object(&self) -> &str {
        self.id.split_once('/').map_or(self.id.as_str(), |(_, object)| object)
    }

    /// Whether it is something wrong that was not decided to be lived with.
    pub fn counts(&self) -> bool {
        self.suppressed.is_none() && self.severity > Severity::Info
    }
}

/// What decisions say about the findings of a diagnosis, by their places in it.
#[derive(Default)]
pub(super) struct Decided {
    pub suppressed: BTreeMap<usize, Suppression>,
    pub expired: BTreeMap<usize, Suppression>,
    pub told: Suppressions,
}

impl Decided {
    /// The decisions of a file go before those in the cluster; what is in effect goes before what is over.
    pub fn of(diagnosis: &Diagnosis, ids: &[String], of_file: &[Entry], now: Timestamp) -> Self {
        let mut decided = Self::default();
        let entries: Vec<Entry> = of_file.iter().cloned().chain(decided.in_cluster(diagnosis)).collect();
        for (at, id) in ids.iter().enumerate() {
            let (over, valid): (Vec<&Entry>, Vec<&Entry>) =
                entries.iter().filter(|entry| entry.names(id)).partition(|entry| entry.is_over(now));
            match (valid.first(), over.first()) {
                (Some(entry), _) => decided.suppressed.insert(at, Suppression::of(entry)),
                (None, Some(entry)) => decided.expired.insert(at, Suppression::of(entry)),
                (None, None) => None,
            };
        }
        // Who did not look cannot say that there is nothing.
        let looked = |entry: &&Entry| {
            let outcome = diagnosis.outcomes.iter().find(|outcome| outcome.check.code == entry.code);
            outcome.is_some_and(|outcome| outcome.blind.is_empty() && outcome.status != Status::Unknown)
        };
        let unused = entries.iter().filter(|entry| !ids.iter().any(|id| entry.names(id))).filter(looked);
        decided.told.unused = unused
            .map(|entry| Unused {
                code: entry.code.to_owned(),
                object: sentence(&entry.object),
                suppression: Suppression::of(entry),
            })
            .collect();
        decided
    }

    /// What the ConfigMap says. What is not known of it suppresses nothing, and is told.
    fn in_cluster(&mut self, diagnosis: &Diagnosis) -> Vec<Entry> {
        let Some(cluster) = &diagnosis.cluster else { return Vec::new() };
        let from = suppress::source(&cluster.ns);
        let read = match &diagnosis.suppressions {
            Ok(None) => return Vec::new(),
            Ok(Some(text)) => suppress::parse(text, &from).map_err(|mistakes| Why::Malformed(mistakes.join("; "))),
            Err(why) => Err(why.clone()),
        };
        read.unwrap_or_else(|why| {
            let from = sentence(&from);
            self.told.unread.push(Unread { from, why: why.word().to_owned(), message: sentence(&why) });
            Vec::new()
        })
    }
}

/// A decision is for all clusters of a run: what one of them has use for is not without use.
pub(super) fn settle(reports: &mut [Report]) {
    let all: Vec<Vec<Unused>> = reports.iter().map(|report| report.suppressions.unused.clone()).collect();
    let mine = |from: &str| from.starts_with("ConfigMap ");
    for report in reports {
        let everywhere = |unused: &Unused| all.iter().all(|others| others.contains(unused));
        report.suppressions.unused.retain(|unused| mine(&unused.suppression.from) || everywhere(unused));
    }
}
