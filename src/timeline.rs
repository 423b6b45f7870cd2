//! What happened, in order: `--timeline`. Events, ends of containers, boots, what the operator and the monitors
//! logged, Ceph's health, and since when findings stand become one story, oldest first.
//!
//! # Where the trouble begins
//!
//! One mark of a story may be the *first bad* one. It is chosen for the first root cause, the one that a person
//! should act on; for the next one where no mark belongs to it:
//!
//! 1. What belongs to the trouble is what the root cause and all that it explains are about: their objects and
//!    their places (nodes, daemons, networks). A mark about one of them, or at one of them, belongs to it.
//! 2. The trouble stands since the time that the root cause tells, else since the earliest one of what it
//!    explains. Where none tells a time, the last row of bad marks without a pause of half a day counts.
//! 3. The earliest bad mark that belongs to it, and is not older than that, is the first bad one. A boot of a node of
//!    the trouble, or a change of a guilty object, counts as bad there, and only there; it may be ten minutes older.
//!
//! A cluster without a root cause has no present trouble, so its story has no first bad mark, whatever was bad in it.

mod events;
mod findings;
mod logs;
mod order;
mod sources;
mod things;

use std::collections::BTreeSet;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::check::{ObjectRef, Place, Text};
use crate::diagnosis::Placed;
use crate::facts::{Fact, Facts, Row, Unknown};
use crate::say;
pub use order::shape;
use sources::Sources;

/// Reads that are asked for ahead.
pub const NEEDS: &[Row] = sources::NEEDS;

/// What a mark is. In this order where several bear the same time: what may be a cause comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MarkKind {
    /// A node started.
    Boot,
    /// Somebody changed an object.
    Change,
    /// A node, or a condition of it, changed.
    Node,
    /// A container ended or began, or a pod became unready.
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
    /// Since when a finding of this diagnosis stands, or when its evidence is from.
    Finding,
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub struct Moment {
    pub at: Timestamp,
    pub kind: MarkKind,
    pub what: Text,
    pub about: Option<ObjectRef>,
    /// Where it was read.
    pub from: String,
    pub bad: bool,
    pub first_bad: bool,
    /// Where it happened.
    places: BTreeSet<Place>,
    /// The finding that it is of.
    finding: Option<usize>,
    /// When it was said for the last time; `at` if it was said once.
    until: Timestamp,
    /// Words that a finding quotes, which may have been read for the story as well.
    quote: bool,
    /// Not bad by itself, but it may be what a trouble begins with.
    may_begin: bool,
}

impl Moment {
    fn new(at: Timestamp, kind: MarkKind, what: Text, from: impl ToString) -> Self {
        Self {
            at,
            kind,
            what,
            about: None,
            from: from.to_string(),
            bad: false,
            first_bad: false,
            places: BTreeSet::new(),
            finding: None,
            until: at,
            quote: false,
            may_begin: false,
        }
    }

    fn about(mut self, object: ObjectRef) -> Self {
        if object.kind == "Node" {
            self.places.insert(Place::node(&object.name));
        }
        self.about = Some(object);
        self
    }

    fn bad(self, bad: bool) -> Self {
        Self { bad, ..self }
    }

    fn at(mut self, places: impl IntoIterator<Item = Place>) -> Self {
        self.places.extend(places);
        self
    }

    fn until(self, until: Timestamp) -> Self {
        Self { until: until.max(self.at), ..self }
    }

    fn may_begin(self) -> Self {
        Self { may_begin: true, ..self }
    }
}

/// What happened to one cluster.
#[derive(Debug, Default)]
pub struct Story {
    pub moments: Vec<Moment>,
    pub blind: Vec<Text>,
    /// How many moments there are beyond these, or have no time.
    pub left_out: usize,
}

/// What a story still has to read.
pub(crate) fn wants(facts: &Facts<'_>) -> BTreeSet<Fact> {
    if facts.cluster().is_err() { BTreeSet::new() } else { Sources::read(facts).wanted }
}

/// The story as far as it can be told of what was read.
pub(crate) fn story(facts: &Facts<'_>, findings: &[Placed], roots: &[usize]) -> Story {
    if facts.cluster().is_err() {
        let nothing = say!("no CephCluster was seen, so there is none whose story could be told");
        return Story { blind: vec![nothing], ..Story::default() };
    }
    let view = facts.fresh();
    let sources = Sources::read(&view);
    let (mut moments, undated) = events::moments(&sources);
    moments.extend(things::moments(&sources));
    let (lines, unstamped) = logs::moments(&sources);
    moments.extend(lines);
    moments.extend(findings::moments(findings));
    let (moments, left_out) = order::ordered(moments, findings, roots);
    let unopened = Some(sources.unopened).filter(|count| *count > 0);
    let unopened =
        unopened.map(|count| say!("pods and nodes that look as if they had more to tell, not opened: {}", count));
    // Its lines do not say which cluster they are about.
    let several = facts.ceph_clusters().is_ok_and(|all| all.len() > 1);
    let shared = several.then(|| say!("the operator serves several CephClusters: its log may tell of another one"));
    let blind = sources.blind(&view).iter().map(blindness).chain(unstamped).chain(unopened).chain(shared).collect();
    Story { moments, blind, left_out: left_out + undated }
}

fn blindness(unknown: &Unknown) -> Text {
    say!("{}: {}", unknown.fact.text(), unknown.why.text())
}
