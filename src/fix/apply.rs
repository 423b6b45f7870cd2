//! Carries a plan out: the only place that changes anything.
//!
//! Before each step its guards are asked again with fresh facts; then the journal says what is about to happen, the
//! step is taken, and the journal says how it went. At the end the check that found the fault is asked again. An
//! interruption falls between steps.

mod change;
mod lease;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use self::change::{Change, change};
use self::lease::Lease;
use super::condition::Held;
use super::journal::{Begun, Ended, Journal, Outcome, What};
use super::object::Object;
use super::{Act, Condition, Step};
use crate::check::{Answered, Check};
use crate::diagnosis::{ask, id};
use crate::facts::live::{Live, Permission, Write};
use crate::facts::{Cluster, Fact, Facts, Gap, Source, Unknown, Why, kinds};
use crate::lookup;

pub use lease::HELD_FOR;

/// How long one question may take: well below the time of the Lease.
const QUESTION: Duration = Duration::from_secs(45);

/// How fast things are asked again, and how long they may take.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between two questions of a wait.
    pub poll: Duration,
    /// For the check to pass after the last step.
    pub verify: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { poll: Duration::from_secs(2), verify: Duration::from_secs(600) }
    }
}

/// What happens, for whoever watches.
#[derive(Clone, Debug)]
pub enum News<'n> {
    Step {
        at: usize,
        of: usize,
        step: &'n Step,
    },
    /// What a wait sees, or what verification still finds.
    Waiting(&'n str),
    Done {
        already: bool,
    },
    Verifying,
    /// Something beside the fix itself did not work.
    Note(&'n str),
}

/// A fix under way.
pub struct Applying<'a> {
    pub live: &'a Live,
    pub cluster: &'a Cluster,
    pub journal: &'a Journal,
    pub id: &'a str,
    pub begun: &'a Begun,
    /// The first step to take: not 0 where a broken-off fix is finished.
    pub from: usize,
    pub pace: Pace,
    /// Set when the user interrupts.
    pub stop: &'a AtomicBool,
    pub tell: &'a (dyn Fn(News<'_>) + Sync),
}

/// The conditions that do not hold now, and what was seen instead. One that cannot be seen does not hold.
pub async fn refusals(source: &dyn Source, cluster: &Cluster, conditions: &[&Condition]) -> Vec<String> {
    let judged = ask(source, cluster, QUESTION, |facts| {
        let judged: Vec<Result<Held, Gap>> = conditions.iter().map(|condition| condition.judge(facts)).collect();
        let wanted = judged.iter().filter_map(|held| match held {
            Err(Gap::Wanted(wanted)) => Some(wanted.clone()),
            _ => None,
        });
        let wanted: BTreeSet<Fact> = wanted.flatten().collect();
        if wanted.is_empty() { Ok(judged) } else { Err(Gap::Wanted(wanted)) }
    });
    let judged = match judged.await {
        Ok(judged) => judged,
        Err(gap) => return vec![format!("the guards could not be asked: {}", unseen(&gap))],
    };
    let refused = conditions.iter().zip(judged).filter_map(|(condition, held)| match held {
        Ok(Held::Yes) => None,
        Ok(Held::No(seen)) => Some(format!("{condition}: no, {}", seen.english())),
        Err(gap) => Some(format!("{condition}: not known, {}", unseen(&gap))),
    });
    refused.collect()
}

/// Why something is not known.
pub fn unseen(gap: &Gap) -> String {
    match gap {
        Gap::Unknown(Unknown { fact, why }) => format!("{fact}: {why}"),
        Gap::NotInstalled(kind) => format!("{} is not installed", kind.resource()),
        Gap::NotOffered(reason) => reason.clone(),
        Gap::Wanted(_) => "it was not read in time".into(),
    }
}

/// What a plan needs the user to be allowed to do.
pub fn permissions(plan: &super::Plan, cluster: &Cluster) -> Vec<Permission> {
    let of = |verb, object: &Object, part| {
        let (plural, group) = object.resource.split_once('.').unwrap_or((&object.resource, ""));
        Permission { verb, group: group.to_owned(), plural: plural.to_owned(), part, ns: object.namespace.clone() }
    };
    let mut all: Vec<Permission> = Vec::new();
    for step in &plan.steps {
        match &step.act {
            Act::Patch { object, .. } => all.extend([of("get", object, ""), of("patch", object, "")]),
            Act::Delete { object, .. } => all.push(of("delete", object, "")),
            Act::Evict { object } => all.push(of("create", object, "eviction")),
            Act::Create { object, .. } => all.push(of("create", object, "")),
            Act::Ceph { .. } => {
                let ns = cluster.ns.clone();
                all.push(Permission { verb: "create", group: String::new(), plural: "pods".into(), part: "exec", ns });
            }
            Act::Wait { .. } => {}
        }
    }
    for verb in ["get", "create", "update", "delete"] {
        let (group, plural) = ("coordination.k8s.io".to_owned(), "leases".to_owned());
        all.push(Permission { verb, group, plural, part: "", ns: cluster.ns.clone() });
    }
    all.sort();
    all.dedup();
    all
}

/// What the server makes of each change, without making it. Ceph commands cannot be tried.
pub async fn dry_run(live: &Live, plan: &super::Plan) -> Vec<(usize, Result<(), String>)> {
    let mut answers = Vec::new();
    for (at, step) in plan.steps.iter().enumerate() {
        let answer = match &step.act {
            Act::Wait { .. } | Act::Ceph { .. } => continue,
            act => match change(live, act, true).await {
                Ok(Change::Withheld(why)) | Err(why) => Err(why),
                Ok(Change::Made | Change::Already) => Ok(()),
            },
        };
        answers.push((at, answer));
    }
    answers
}

impl Applying<'_> {
    /// Takes the steps, one after the other, and verifies.
    pub async fn run(&self) -> std::io::Result<Ended> {
        let steps = self.begun.plan.steps.len();
        let mut lease = match Lease::take(self.live, self.cluster, &self.begun.user, self.id).await {
            Ok(lease) => lease,
            Err(why) => return self.end(Ended::Refused { step: self.from, why }),
        };
        let mut ended = None;
        for step in self.from..steps {
            if let Some(how) = self.take(step, &mut lease).await? {
                ended = Some(how);
                break;
            }
        }
        let ended = match ended {
            Some(how) => how,
            // What was taken back brings the finding back, too.
            None if self.begun.undoes.is_some() => Ended::Verified,
            None => self.verify(&mut lease).await,
        };
        if let Err(why) = lease.give_back(self.live).await {
            (self.tell)(News::Note(&format!("the Lease that keeps other fixes away could not be removed: {why}")));
        }
        self.end(ended)
    }

    fn end(&self, how: Ended) -> std::io::Result<Ended> {
        self.write(What::Ended { how: how.clone() })?;
        Ok(how)
    }

    fn write(&self, what: What) -> std::io::Result<()> {
        self.journal.write(self.id, self.live.now(), what)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Takes one step; if the fix ends with it, how.
    async fn take(&self, at: usize, lease: &mut Lease) -> std::io::Result<Option<Ended>> {
        let plan = &self.begun.plan;
        let step = &plan.steps[at];
        (self.tell)(News::Step { at, of: plan.steps.len(), step });
        if self.stopped() {
            return Ok(Some(Ended::Interrupted { step: at }));
        }
        if let Err(why) = lease.keep(self.live).await {
            return Ok(Some(Ended::Refused { step: at, why }));
        }
        if let Act::Wait { until, at_most_seconds } = &step.act {
            self.write(What::Before { step: at })?;
            let waited = self.wait(until, Duration::from_secs(*at_most_seconds), lease).await;
            return match waited {
                Ok(true) => self.done(at, Outcome::Done).map(|()| None),
                Ok(false) => Ok(Some(Ended::Interrupted { step: at })),
                Err(why) => self.failed(at, why),
            };
        }
        let guards: Vec<&Condition> = plan.guards.iter().chain(&step.guards).collect();
        if let Some(why) = self.refusal(&guards).await {
            return Ok(Some(Ended::Refused { step: at, why }));
        }
        if self.stopped() {
            return Ok(Some(Ended::Interrupted { step: at }));
        }
        self.write(What::Before { step: at })?;
        match self.change(&step.act, lease).await {
            Ok(Change::Made) => {
                self.tell_the_object(step).await;
                self.done(at, Outcome::Done).map(|()| None)
            }
            Ok(Change::Already) => self.done(at, Outcome::Already).map(|()| None),
            Ok(Change::Withheld(why)) | Err(why) => self.failed(at, why),
        }
    }

    async fn refusal(&self, conditions: &[&Condition]) -> Option<String> {
        let refusals = refusals(&self.live.fresh(), self.cluster, conditions).await;
        (!refusals.is_empty()).then(|| refusals.join("; "))
    }

    fn done(&self, at: usize, outcome: Outcome) -> std::io::Result<()> {
        (self.tell)(News::Done { already: outcome == Outcome::Already });
        self.write(What::After { step: at, outcome })
    }

    fn failed(&self, at: usize, why: String) -> std::io::Result<Option<Ended>> {
        self.write(What::After { step: at, outcome: Outcome::Failed(why.clone()) })?;
        Ok(Some(Ended::Failed { step: at, why }))
    }

    async fn change(&self, act: &Act, lease: &mut Lease) -> Result<Change, String> {
        match act {
            Act::Ceph { words, .. } => {
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                let fresh = self.live.fresh();
                let run = || fresh.change_ceph(&self.cluster.ns, &words);
                match run().await {
                    // It may have been carried out before the answer was lost, and may be run again.
                    Err(Why::Timeout | Why::Unreachable(_)) => run().await,
                    ran => ran,
                }
                .map(|()| Change::Made)
                .map_err(|why| why.to_string())
            }
            Act::Evict { .. } => self.evict(act, lease).await,
            act => change(self.live, act, false).await,
        }
    }

    /// A disruption budget may open after a while: another pod becomes Ready, a PG clean.
    async fn evict(&self, act: &Act, lease: &mut Lease) -> Result<Change, String> {
        const PATIENCE: Duration = Duration::from_secs(300);
        let end = Instant::now() + PATIENCE;
        loop {
            match change(self.live, act, false).await {
                Ok(Change::Withheld(why)) if Instant::now() >= end || self.stopped() => return Err(why),
                Ok(Change::Withheld(why)) => {
                    (self.tell)(News::Waiting(&why));
                    tokio::time::sleep(self.pace.poll).await;
                    lease.keep(self.live).await?;
                }
                other => return other,
            }
        }
    }

    /// Whether it came to hold before the user interrupted; an error if it did not in time.
    async fn wait(&self, until: &Condition, at_most: Duration, lease: &mut Lease) -> Result<bool, String> {
        let end = Instant::now() + at_most;
        loop {
            let Some(seen) = self.refusal(&[until]).await else { return Ok(true) };
            if self.stopped() {
                return Ok(false);
            }
            if Instant::now() >= end {
                return Err(format!("not within {} s: {seen}", at_most.as_secs()));
            }
            (self.tell)(News::Waiting(&seen));
            tokio::time::sleep(self.pace.poll).await;
            lease.keep(self.live).await?;
        }
    }

    /// Asks the check and those of the consequences until none of the findings is left.
    async fn verify(&self, lease: &mut Lease) -> Ended {
        (self.tell)(News::Verifying);
        let end = Instant::now() + self.pace.verify;
        loop {
            let left = self.left().await;
            if left.is_empty() {
                return Ended::Verified;
            }
            if self.stopped() {
                return Ended::Interrupted { step: self.begun.plan.steps.len() };
            }
            if Instant::now() >= end || lease.keep(self.live).await.is_err() {
                return Ended::NotVerified { left };
            }
            (self.tell)(News::Waiting(&left.join(", ")));
            tokio::time::sleep(self.pace.poll).await;
        }
    }

    /// Findings that are still there, and checks that cannot look.
    async fn left(&self) -> Vec<String> {
        let ids: Vec<&str> =
            std::iter::once(&self.begun.finding).chain(&self.begun.consequences).map(String::as_str).collect();
        let mut checks: Vec<&'static Check> = Vec::new();
        for code in ids.iter().filter_map(|id| id.split('/').next()) {
            match lookup::check(code) {
                Ok(check) if checks.contains(&check) => {}
                Ok(check) => checks.push(check),
                // The journal may be of another version.
                Err(_) => return vec![format!("{code} (this version has no such check)")],
            }
        }
        let fresh = self.live.fresh();
        let asked = ask(&fresh, self.cluster, QUESTION, |facts| still_found(facts, &checks, &ids)).await;
        asked.unwrap_or_else(|gap| vec![unseen(&gap)])
    }

    /// An Event on the changed object, for those who look there first. A fix does not fail for want of one.
    async fn tell_the_object(&self, step: &Step) {
        let cluster = Object::new(kinds::CEPH_CLUSTER, &self.cluster.ns, &self.cluster.name, &self.begun.cluster.uid);
        let object = match &step.act {
            Act::Patch { object, .. }
            | Act::Delete { object, .. }
            | Act::Evict { object }
            | Act::Create { object, .. } => object,
            Act::Ceph { .. } | Act::Wait { .. } => &cluster,
        };
        let ns = if object.namespace.is_empty() { "default" } else { &object.namespace };
        let now = self.live.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let code = self.begun.finding.split('/').next().unwrap_or_default();
        let event = json!({"apiVersion": "v1", "kind": "Event", "type": "Normal", "reason": "RookdoctorFix",
            "metadata": {"generateName": "kubectl-rookdoctor-", "namespace": ns},
            "involvedObject": {"apiVersion": object.known().map(|kind| kind.api_version()), "kind": object.kind,
                "namespace": object.namespace, "name": object.name, "uid": object.uid},
            "message": format!("{}; kubectl-rookdoctor fix {code} ({}) by {}", step.does.english(), self.id, self.begun.user),
            "source": {"component": "kubectl-rookdoctor"}, "firstTimestamp": now, "lastTimestamp": now, "count": 1});
        let create = Write::Create { kind: kinds::EVENT, ns, object: &event };
        if let Err(why) = self.live.write(&create, false).await {
            (self.tell)(News::Note(&format!("no Event could be written on {object}: {why}")));
        }
    }
}

/// Which of these findings are there; a check without an answer leaves its own open. The first id is that of the
/// finding which is mended: where its question does not even arise any more, more than that has changed.
fn still_found(facts: &Facts<'_>, checks: &[&'static Check], ids: &[&str]) -> Result<Vec<String>, Gap> {
    let mut left = Vec::new();
    let mut wanted = BTreeSet::new();
    for check in checks {
        match (check.run)(facts) {
            Err(Gap::Wanted(more)) => wanted.extend(more),
            Err(Gap::Unknown(unknown)) => left.push(format!("{} (cannot look: {})", check.code, unknown.why)),
            Err(Gap::NotInstalled(_) | Gap::NotOffered(_)) | Ok(Answered::NotApplicable(_)) => {
                let mended = ids.first().and_then(|id| id.split('/').next());
                left.extend((mended == Some(check.code)).then(|| format!("{} (cannot look any more)", check.code)));
            }
            Ok(Answered::Judged { findings, blind }) => {
                let found: Vec<String> = findings.iter().map(|finding| id(check, finding)).collect();
                let still = found.iter().filter(|id| ids.contains(&id.as_str()));
                let before = left.len();
                left.extend(still.cloned());
                if let Some(unknown) = blind.first().filter(|_| left.len() == before) {
                    left.push(format!("{} (cannot look: {})", check.code, unknown.why));
                }
            }
        }
    }
    if wanted.is_empty() { Ok(left) } else { Err(Gap::Wanted(wanted)) }
}
