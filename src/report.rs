//! The report: the versioned result that scripts read, and what every rendering starts from.
//!
//! Once released, fields may be added, never removed or renamed. Whatever came from the cluster is cleaned here
//! and nowhere else.

pub(crate) mod clean;
pub mod html;
pub mod human;
pub mod json;
pub mod junit;
pub mod markdown;
mod need;
pub mod prometheus;
pub mod sarif;
mod suppressed;
pub mod timeline;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::{self, FixKind, Severity};
use crate::diagnosis::{Diagnosis, Outcome, Placed, Status, places};
use crate::exit::Exit;
use crate::facts::layout::Format;
use crate::facts::{Cost, Unknown};
use crate::lang::{Lang, Text, phrase};
use crate::overview;
use crate::say;
use crate::suppress::Entry;
use clean::clean;
use suppressed::Decided;
pub use suppressed::{Suppression, Suppressions, Unread, Unused};
pub use timeline::{Mark, MarkKind, Timeline};

/// What `-o json` prints: one report, or a list for several clusters.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Document {
    One(Box<Report>),
    Several(List),
}

impl Document {
    pub fn new(mut reports: Vec<Report>) -> Self {
        suppressed::settle(&mut reports);
        if reports.len() == 1 {
            return Self::One(Box::new(reports.remove(0)));
        }
        let exit = reports.iter().fold(Exit::Healthy, |worst, report| worst.worse(report.exit()));
        Self::Several(List {
            api_version: ApiVersion::V1,
            kind: ListKind::DiagnosisList,
            exit_code: exit.code(),
            items: reports,
            of_contexts: false,
        })
    }

    /// The reports of several Kubernetes clusters; a list, however many there are.
    pub fn of_contexts(reports: Vec<Report>) -> Self {
        match Self::new(reports) {
            Self::One(report) => Self::Several(List {
                api_version: ApiVersion::V1,
                kind: ListKind::DiagnosisList,
                exit_code: report.exit_code,
                items: vec![*report],
                of_contexts: true,
            }),
            Self::Several(list) => Self::Several(List { of_contexts: true, ..list }),
        }
    }

    pub fn is_of_contexts(&self) -> bool {
        matches!(self, Self::Several(list) if list.of_contexts)
    }

    pub fn reports(&self) -> &[Report] {
        match self {
            Self::One(report) => std::slice::from_ref(report),
            Self::Several(list) => &list.items,
        }
    }

    /// The worst of all clusters.
    pub fn exit(&self) -> Exit {
        self.reports().iter().fold(Exit::Healthy, |worst, report| worst.worse(report.exit()))
    }
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct List {
    pub api_version: ApiVersion,
    pub kind: ListKind,
    /// The worst of all items: 2, 1, 3, 0 in this order.
    pub exit_code: u8,
    pub items: Vec<Report>,
    /// They are of several Kubernetes clusters, which the context tells apart.
    #[serde(skip)]
    pub of_contexts: bool,
}

/// The diagnosis of one cluster.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub api_version: ApiVersion,
    pub kind: Kind,
    #[schemars(with = "String")]
    pub generated_at: Timestamp,
    /// When the cluster was seen: the API server's clock, or the time of the capture.
    #[schemars(with = "String")]
    pub observed_at: Timestamp,
    pub tool: Tool,
    pub exit_code: u8,
    pub fail_on: FailOn,
    /// The context of the kubeconfig, whether it was reached or not; null for a recording.
    pub context: Option<String>,
    /// Null if there is no CephCluster.
    pub cluster: Option<Cluster>,
    /// Null if the cluster is live, or was recorded by `kubectl rookdoctor capture`.
    pub recording: Option<Recording>,
    pub verdict: Verdict,
    /// Ids of findings, best first.
    pub root_causes: Vec<String>,
    pub findings: Vec<Finding>,
    pub checks: Vec<Check>,
    pub unknowns: Vec<Unseen>,
    pub suppressions: Suppressions,
    /// Tables of what there is; only with `-v`, and in `-o html`.
    pub overviews: Vec<Overview>,
    /// What happened, in order; null without `--timeline`, but for `-o html`.
    pub timeline: Option<Timeline>,
    pub stats: Stats,
    /// What people are told in; programs get English.
    #[serde(skip)]
    pub(crate) lang: Lang,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
pub enum ApiVersion {
    #[serde(rename = "rookdoctor.dev/v1")]
    V1,
}

#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub enum Kind {
    Diagnosis,
}

#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub enum ListKind {
    DiagnosisList,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Tool {
    pub version: String,
}

/// From which severity on findings make the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum FailOn {
    Warning,
    Critical,
    /// 0 whenever a report was made.
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Healthy,
    Warning,
    Critical,
    /// Nothing wrong was seen, and not everything could be looked at.
    Unknown,
}

impl Verdict {
    fn text(self) -> Text {
        match self {
            Self::Healthy => say!("healthy"),
            Self::Warning => say!("warning"),
            Self::Critical => say!("critical"),
            Self::Unknown => say!("unknown"),
        }
    }
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    pub context: Option<String>,
    pub namespace: String,
    pub name: String,
    pub operator_namespace: String,
    pub fsid: Option<String>,
    pub external: bool,
    pub rook_version: Option<String>,
    pub ceph_version: Option<String>,
    pub kubernetes_version: Option<String>,
    pub source: SourceKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    Live,
    Bundle,
}

/// A recording that another tool made.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Recording {
    /// `must-gather`, `kubectl cluster-info dump`, `troubleshoot.sh support bundle`, `kubectl gather`.
    pub format: String,
    /// What such a recording cannot hold, in one line.
    pub lacks: String,
}

/// One fault as one check sees it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// `CODE/Kind/[namespace/]name[#detail]`, unique, and the same from run to run.
    pub id: String,
    pub code: String,
    pub name: String,
    pub area: String,
    pub severity: Severity,
    #[schemars(with = "Option<String>")]
    pub since: Option<Timestamp>,
    pub summary: String,
    pub objects: Vec<Object>,
    /// Where the damage is: `node:w1`, `daemon:osd.3`, `network:ns/name`, `pool:name`, `volume:ns/claim`.
    pub at: Vec<String>,
    pub evidence: Vec<Evidence>,
    pub causes: Vec<Cause>,
    /// Ids of findings that this one explains directly.
    pub consequences: Vec<String>,
    /// A symptom for which no cause was found.
    pub unexplained: bool,
    /// Codes of checks that might explain it and could not look.
    pub not_ruled_out: Vec<String>,
    pub remedy: Remedy,
    /// Somebody decided to live with it: it is no root cause, and counts for neither verdict nor exit status. What
    /// follows from it does.
    pub suppressed: Option<Suppression>,
    /// It was suppressed until then, and counts again.
    pub expired_suppression: Option<Suppression>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Object {
    pub api_version: String,
    pub kind: String,
    pub namespace: Option<String>,
    pub name: String,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Evidence {
    pub from: String,
    pub field: Option<String>,
    #[schemars(with = "Option<String>")]
    pub at: Option<Timestamp>,
    pub excerpt: String,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Cause {
    pub finding: String,
    /// Where the two meet: `node ash-w2`.
    pub because: String,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Remedy {
    pub summary: String,
    pub commands: Vec<String>,
    pub fix: FixKind,
}

/// How one check ended.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Check {
    pub code: String,
    pub name: String,
    pub status: CheckStatus,
    /// Why it is unknown or not applicable; null otherwise.
    pub reason: Option<String>,
    /// What it could not see.
    pub blind: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CheckStatus {
    Found,
    Passed,
    Unknown,
    NotApplicable,
}

/// Something that could not be seen.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Unseen {
    pub fact: String,
    /// One word: `forbidden`, `not-captured`, `timeout`, `unreachable`, `failed`, `malformed`, `over-budget`.
    pub why: String,
    /// The same in a sentence, with what the other side said.
    pub message: String,
    /// Codes of the checks that lack it.
    pub blinds: Vec<String>,
    /// What would make it known.
    pub need: String,
}

/// A table of what there is: the verdict on each device, who has which port, what Rook should have made.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Overview {
    pub name: String,
    pub columns: Vec<String>,
    pub rows: Vec<Vec<String>>,
    /// What it could not see.
    pub blind: Vec<String>,
    #[serde(skip)]
    pub(crate) title: String,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    pub duration_ms: u64,
    pub requests: u64,
    pub retries: u64,
    pub bytes: u64,
    pub rounds: u32,
    /// How Ceph commands were run: `toolbox`, `operator`, `mon`, `mgr`; null if none was.
    pub exec_rung: Option<String>,
}

/// What is known of a run beside its diagnosis.
#[derive(Clone, Debug)]
pub struct Run {
    pub generated_at: Timestamp,
    /// The clock of the source.
    pub observed_at: Timestamp,
    pub fail_on: FailOn,
    pub source: SourceKind,
    pub context: Option<String>,
    pub kubernetes_version: Option<String>,
    pub cost: Cost,
    pub duration: Duration,
}

impl Report {
    /// In English, as programs read it.
    pub fn new(diagnosis: &Diagnosis, run: &Run) -> Self {
        Self::told(diagnosis, run, &[], Lang::English)
    }

    /// The same for a person who reads this language, with decisions beside those that the cluster holds itself.
    pub fn told(diagnosis: &Diagnosis, run: &Run, entries: &[Entry], lang: Lang) -> Self {
        let ids: Vec<String> = diagnosis.findings.iter().map(id).collect();
        let mut decided = Decided::of(diagnosis, &ids, entries, run.observed_at);
        let seen = Seen::of(diagnosis, &decided);
        let roots = diagnosis.roots.iter().filter(|at| !decided.suppressed.contains_key(at));
        Self {
            api_version: ApiVersion::V1,
            kind: Kind::Diagnosis,
            generated_at: run.generated_at,
            observed_at: run.observed_at,
            tool: Tool { version: env!("CARGO_PKG_VERSION").to_owned() },
            exit_code: seen.exit(run.fail_on).code(),
            fail_on: run.fail_on,
            context: run.context.as_deref().and_then(known),
            cluster: cluster(diagnosis, run),
            recording: None,
            verdict: seen.verdict(),
            root_causes: roots.map(|&at| ids[at].clone()).collect(),
            findings: (0..diagnosis.findings.len()).map(|at| finding(diagnosis, at, &mut decided, lang)).collect(),
            checks: diagnosis.outcomes.iter().map(|outcome| check(outcome, lang)).collect(),
            unknowns: unknowns(&diagnosis.outcomes, lang),
            suppressions: decided.told,
            overviews: diagnosis.overviews.iter().map(|(overview, listing)| table(overview, listing, lang)).collect(),
            timeline: diagnosis.story.as_ref().map(|story| timeline::timeline(story, lang)),
            stats: stats(diagnosis, run),
            lang,
        }
    }

    /// The same, of a recording that another tool made.
    pub fn recorded_as(mut self, format: Option<Format>) -> Self {
        let recording =
            |format: Format| Recording { format: format.name().into(), lacks: phrase(format.lacks()).told(self.lang) };
        self.recording = format.map(recording);
        self
    }

    pub fn exit(&self) -> Exit {
        [Exit::Critical, Exit::Warning, Exit::Unknown]
            .into_iter()
            .find(|exit| exit.code() == self.exit_code)
            .unwrap_or(Exit::Healthy)
    }

    /// The finding of this id.
    pub fn finding(&self, id: &str) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.id == id)
    }
}

/// What decides the verdict and the exit status.
struct Seen {
    critical: bool,
    warning: bool,
    /// Something could not be looked at.
    blind: bool,
}

impl Seen {
    fn of(diagnosis: &Diagnosis, decided: &Decided) -> Self {
        // What is suppressed does not count. But not to have seen is no less so because somebody knows of it.
        let counted = diagnosis.findings.iter().enumerate().filter(|(at, _)| !decided.suppressed.contains_key(at));
        let counted: Vec<&Placed> = counted.map(|(_, placed)| placed).collect();
        // A finding about sight tells of a loss of sight: it makes the answer unknown, not bad.
        let any = |severity| {
            let mut findings = counted.iter().filter(|placed| !placed.check.about_sight);
            findings.any(|placed| placed.finding.severity == severity)
        };
        let blinded = diagnosis.outcomes.iter().any(|outcome| outcome.status == Status::Unknown);
        let sight = |placed: &Placed| placed.check.about_sight && placed.finding.severity > Severity::Info;
        Self {
            critical: any(Severity::Critical),
            warning: any(Severity::Warning),
            blind: blinded || diagnosis.cluster.is_none() || diagnosis.findings.iter().any(sight),
        }
    }

    fn verdict(&self) -> Verdict {
        match self {
            Self { critical: true, .. } => Verdict::Critical,
            Self { warning: true, .. } => Verdict::Warning,
            Self { blind: true, .. } => Verdict::Unknown,
            _ => Verdict::Healthy,
        }
    }

    fn exit(&self, fail_on: FailOn) -> Exit {
        match self {
            _ if fail_on == FailOn::Never => Exit::Healthy,
            Self { critical: true, .. } => Exit::Critical,
            Self { warning: true, .. } if fail_on == FailOn::Warning => Exit::Warning,
            Self { blind: true, .. } => Exit::Unknown,
            _ => Exit::Healthy,
        }
    }
}

/// One line of text from the cluster.
fn sentence(text: impl ToString) -> String {
    clean(&text.to_string(), clean::SENTENCE)
}

/// The same, where nothing means null.
fn known(text: &str) -> Option<String> {
    Some(sentence(text)).filter(|text| !text.is_empty())
}

fn id(placed: &Placed) -> String {
    sentence(&placed.id)
}

fn cluster(diagnosis: &Diagnosis, run: &Run) -> Option<Cluster> {
    let cluster = diagnosis.cluster.as_ref()?;
    let status = diagnosis.object.as_ref().map(|object| &object.status);
    let ceph = status.map(|status| status.version.version.split('-').next().unwrap_or_default());
    Some(Cluster {
        context: run.context.as_deref().and_then(known),
        namespace: sentence(&cluster.ns),
        name: sentence(&cluster.name),
        operator_namespace: sentence(&cluster.operator_ns),
        fsid: status.and_then(|status| known(&status.ceph.fsid)),
        external: cluster.external,
        rook_version: diagnosis.operator_version.as_deref().and_then(known),
        ceph_version: ceph.and_then(known),
        kubernetes_version: run.kubernetes_version.as_deref().and_then(known),
        source: run.source,
    })
}

fn finding(diagnosis: &Diagnosis, at: usize, decided: &mut Decided, lang: Lang) -> Finding {
    let Placed { check, finding, causes, consequences, not_ruled_out, .. } = &diagnosis.findings[at];
    let id_at = |at: usize| id(&diagnosis.findings[at]);
    Finding {
        id: id_at(at),
        code: check.code.to_owned(),
        name: check.name.to_owned(),
        area: check.area.prefix().to_owned(),
        severity: finding.severity,
        since: finding.since,
        summary: sentence(finding.summary.told(lang)),
        objects: finding.objects.iter().map(object).collect(),
        at: places(finding).into_iter().map(sentence).collect(),
        evidence: finding.evidence.iter().map(evidence).collect(),
        causes: causes
            .iter()
            .map(|(at, because)| Cause { finding: id_at(*at), because: sentence(because.told(lang)) })
            .collect(),
        consequences: consequences.iter().map(|&at| id_at(at)).collect(),
        unexplained: check.symptom && diagnosis.is_root(at),
        not_ruled_out: not_ruled_out.iter().map(|code| (*code).to_owned()).collect(),
        remedy: remedy(&finding.remedy, lang),
        suppressed: decided.suppressed.remove(&at),
        expired_suppression: decided.expired.remove(&at),
    }
}

fn object(object: &check::ObjectRef) -> Object {
    Object {
        api_version: sentence(&object.api_version),
        kind: sentence(&object.kind),
        namespace: known(&object.namespace),
        name: sentence(&object.name),
    }
}

fn evidence(evidence: &check::Evidence) -> Evidence {
    Evidence {
        from: sentence(&evidence.from),
        field: known(&evidence.field),
        at: evidence.at,
        excerpt: clean(&evidence.excerpt, clean::EXCERPT),
    }
}

fn remedy(remedy: &check::Remedy, lang: Lang) -> Remedy {
    let whole = |command: &&String| command.chars().count() <= clean::COMMAND;
    Remedy {
        summary: sentence(remedy.summary.told(lang)),
        commands: remedy.commands.iter().filter(whole).map(|command| clean(command, clean::COMMAND)).collect(),
        fix: remedy.fix,
    }
}

fn check(outcome: &Outcome, lang: Lang) -> Check {
    Check {
        code: outcome.check.code.to_owned(),
        name: outcome.check.name.to_owned(),
        status: match outcome.status {
            Status::Found => CheckStatus::Found,
            Status::Passed => CheckStatus::Passed,
            Status::Unknown => CheckStatus::Unknown,
            Status::NotApplicable => CheckStatus::NotApplicable,
        },
        reason: outcome.reason.as_ref().and_then(|reason| known(&reason.told(lang))),
        blind: outcome.blind.iter().map(|unknown| sentence(unknown.fact.text().told(lang))).collect(),
    }
}

/// Each unseen fact once, with all the checks that lack it.
fn unknowns(outcomes: &[Outcome], lang: Lang) -> Vec<Unseen> {
    let mut blinds: BTreeMap<&Unknown, Vec<String>> = BTreeMap::new();
    for outcome in outcomes {
        for unknown in &outcome.blind {
            let codes = blinds.entry(unknown).or_default();
            if codes.last().is_none_or(|last| last != outcome.check.code) {
                codes.push(outcome.check.code.to_owned());
            }
        }
    }
    let unseen = |(unknown, blinds): (&Unknown, Vec<String>)| Unseen {
        fact: sentence(unknown.fact.text().told(lang)),
        why: unknown.why.word().to_owned(),
        message: clean(&unknown.why.text().told(lang), clean::EXCERPT),
        blinds,
        need: sentence(need::need(unknown).told(lang)),
    };
    blinds.into_iter().map(unseen).collect()
}

fn table(overview: &overview::Overview, listing: &overview::Listing, lang: Lang) -> Overview {
    let row = |row: &Vec<Text>| row.iter().map(|cell| sentence(cell.told(lang))).collect();
    Overview {
        name: overview.name.to_owned(),
        title: phrase(overview.title).told(lang),
        columns: overview.columns.iter().map(|column| phrase(column).told(lang)).collect(),
        rows: listing.rows.iter().map(row).collect(),
        blind: listing
            .blind
            .iter()
            .map(|unknown| sentence(say!("{}: {}", unknown.fact.text(), unknown.why.text()).told(lang)))
            .collect(),
    }
}

fn stats(diagnosis: &Diagnosis, run: &Run) -> Stats {
    Stats {
        duration_ms: u64::try_from(run.duration.as_millis()).unwrap_or(u64::MAX),
        requests: run.cost.requests,
        retries: run.cost.retries,
        bytes: run.cost.bytes,
        rounds: diagnosis.rounds,
        exec_rung: run.cost.exec_rung.clone(),
    }
}
