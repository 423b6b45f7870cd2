//! From facts to a diagnosis: rounds of wanted facts until every check has answered, then causes and ranking.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, join, join_all};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::check::{Answered, Area, Check, Finding, Place, Severity, explains};
use crate::facts::{Cluster, Fact, Facts, Gap, Reading, Row, Select, Source, Store, Unknown, Why, kinds};
use crate::lang::{Text, phrase};
use crate::objects::kube::Deployment;
use crate::objects::rook::CephCluster;
use crate::overview::{Listing, Overview};
use crate::say;
use crate::suppress;
use crate::timeline::{self, Story};

/// The tree is at most this deep; a check that still wants something then is unknown.
const ROUNDS: u32 = 8;
/// One question, asked by itself, reads nothing ahead and so goes down one level at a time.
const ROUNDS_OF_ONE: u32 = 24;
/// Requests under way at once.
const CONCURRENCY: usize = 24;
/// How long a silence may last before what has arrived is judged without the rest.
const PATIENCE: Duration = Duration::from_millis(750);

/// What to diagnose, and how long it may take.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Only CephClusters of this namespace.
    pub namespace: Option<String>,
    /// Where to look for CephClusters if all namespaces are forbidden.
    pub fallback_namespace: String,
    pub operator_namespace: Option<String>,
    pub cluster_name: Option<String>,
    pub timeout: Duration,
    /// Tables to make beside the findings.
    pub overviews: Vec<&'static Overview>,
    /// Whether to tell what happened, in order.
    pub timeline: bool,
}

impl Default for Scope {
    fn default() -> Self {
        Self {
            namespace: None,
            fallback_namespace: "rook-ceph".into(),
            operator_namespace: None,
            cluster_name: None,
            timeout: Duration::from_secs(60),
            overviews: Vec::new(),
            timeline: false,
        }
    }
}

/// How one check ended.
#[derive(Debug)]
pub struct Outcome {
    pub check: &'static Check,
    pub status: Status,
    /// Why it is not applicable, or unknown.
    pub reason: Option<Text>,
    pub blind: Vec<Unknown>,
    /// Rows of the table of reads that it asked for.
    pub touched: BTreeSet<Row>,
}

impl Outcome {
    /// The reason in English.
    pub fn why(&self) -> String {
        self.reason.as_ref().map(Text::english).unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    Found,
    Passed,
    Unknown,
    NotApplicable,
}

/// A finding with its place among the others.
#[derive(Debug)]
pub struct Placed {
    pub id: String,
    pub check: &'static Check,
    pub finding: Finding,
    /// Direct causes, as indices into [`Diagnosis::findings`], and where they meet.
    pub causes: Vec<(usize, Text)>,
    pub consequences: Vec<usize>,
    /// Causes that could not be ruled out, because their check is blind.
    pub not_ruled_out: Vec<&'static str>,
}

/// What is known of one cluster after the last round.
#[derive(Debug)]
pub struct Diagnosis {
    pub cluster: Option<Cluster>,
    pub object: Option<CephCluster>,
    /// Without a cluster: those that are there and that the scope's name left out, as `namespace/name`.
    pub left_out: Vec<String>,
    pub operator_version: Option<String>,
    pub outcomes: Vec<Outcome>,
    pub findings: Vec<Placed>,
    /// Root causes, best first, as indices into `findings`.
    pub roots: Vec<usize>,
    /// The tables that were asked for and that this cluster has; without rows where one could not be read.
    pub overviews: Vec<(&'static Overview, Listing)>,
    /// What happened, in order; none unless it was asked for.
    pub story: Option<Story>,
    pub rounds: u32,
    /// What the cluster says of findings to be lived with, as it stands there; none if it says nothing.
    pub suppressions: Result<Option<String>, Why>,
}

impl Diagnosis {
    /// A warning or critical finding that no other warning or critical finding explains.
    pub fn is_root(&self, at: usize) -> bool {
        self.roots.contains(&at)
    }

    /// All findings below this one, each once.
    pub fn below(&self, at: usize) -> BTreeSet<usize> {
        below(&self.findings, at)
    }
}

/// Told of the progress of reading: the round, and what is being read.
pub type Progress<'p> = &'p (dyn Fn(u32, usize) + Send + Sync);

/// Diagnoses every CephCluster that the scope selects, over one shared store.
pub async fn diagnose(
    source: &dyn Source,
    checks: &[&'static Check],
    scope: &Scope,
    progress: Progress<'_>,
) -> Vec<Diagnosis> {
    let mut reader = Reader::new(source, scope.timeout, progress);
    let (namespace, clusters) = discover(&mut reader, scope).await;
    source.clusters(&clusters);
    let views: Vec<Option<&Cluster>> =
        if clusters.is_empty() { vec![None] } else { clusters.iter().map(Some).collect() };
    // These belong to no check: who may not read them is not blind, and nothing is hidden from him.
    let decisions: Vec<Fetch<'_>> = clusters.iter().map(|cluster| reader.fetch(suppress::fact(cluster))).collect();
    let (decisions, ()) =
        join(join_all(decisions), read_all_rounds(&mut reader, &views, &namespace, checks, scope)).await;
    let mut decisions = decisions.into_iter().map(|(_, answer)| suppress::text(answer));
    let conclude_one = |cluster: &Option<&Cluster>| {
        let facts = Facts::new(&reader.store, *cluster, source.now(), namespace.as_deref());
        let overviews = scope.overviews.iter().filter_map(|overview| listing(&facts, overview));
        let suppressions = decisions.next().unwrap_or(Ok(None));
        let diagnosis = conclude(&facts, *cluster, checks, reader.rounds);
        let story = scope.timeline.then(|| timeline::story(&facts, &diagnosis.findings, &diagnosis.roots));
        Diagnosis { overviews: overviews.collect(), suppressions, story, ..diagnosis }
    };
    views.iter().map(conclude_one).collect()
}

/// Reads what checks want, round by round, until nothing is wanted.
async fn read_all_rounds(
    reader: &mut Reader<'_>,
    views: &[Option<&Cluster>],
    namespace: &Option<String>,
    checks: &[&'static Check],
    scope: &Scope,
) {
    loop {
        let mut wanted = BTreeSet::new();
        for cluster in views {
            let facts = Facts::new(&reader.store, *cluster, reader.source.now(), namespace.as_deref());
            wanted.extend(wants(&facts, checks, &scope.overviews));
            if scope.timeline {
                wanted.extend(story_wants(&facts));
            }
        }
        wanted.retain(|fact| !reader.under_way.contains(fact));
        let exhausted = wanted.is_empty() || reader.rounds >= ROUNDS;
        if exhausted && reader.under_way.is_empty() {
            break;
        }
        reader.read(if exhausted { BTreeSet::new() } else { wanted }).await;
    }
}

/// Asks one question about a cluster, reading what it wants, until it has its answer. What is still wanted when the
/// time or the rounds are over is unknown.
pub async fn ask<T>(
    source: &dyn Source,
    cluster: &Cluster,
    timeout: Duration,
    question: impl Fn(&Facts<'_>) -> Result<T, Gap>,
) -> Result<T, Gap> {
    let mut reader = Reader::new(source, timeout, &|_, _| {});
    loop {
        let facts = Facts::new(&reader.store, Some(cluster), source.now(), Some(&cluster.ns));
        match question(&facts) {
            Err(Gap::Wanted(wanted)) if reader.rounds < ROUNDS_OF_ONE => reader.read_all(wanted).await,
            Err(Gap::Wanted(wanted)) => {
                let left = wanted.into_iter().next();
                let unknown = left.map(|fact| Gap::Unknown(Unknown { fact, why: Why::OverBudget }));
                return Err(unknown.unwrap_or_else(|| Gap::NotOffered("nothing more is wanted".into())));
            }
            answered => return answered,
        }
    }
}

/// One fact being read.
type Fetch<'r> = BoxFuture<'r, (Fact, Result<Reading, Why>)>;

struct Reader<'r> {
    source: &'r dyn Source,
    store: Store,
    deadline: Instant,
    rounds: u32,
    progress: Progress<'r>,
    bound: Arc<Semaphore>,
    fetches: FuturesUnordered<Fetch<'r>>,
    /// What `fetches` will answer.
    under_way: BTreeSet<Fact>,
}

impl<'r> Reader<'r> {
    fn new(source: &'r dyn Source, timeout: Duration, progress: Progress<'r>) -> Self {
        Self {
            source,
            store: Store::default(),
            deadline: Instant::now() + timeout,
            rounds: 0,
            progress,
            bound: Arc::new(Semaphore::new(CONCURRENCY)),
            fetches: FuturesUnordered::new(),
            under_way: BTreeSet::new(),
        }
    }

    /// Reads these beside what is still under way, and returns when all has arrived. A straggler does not hold
    /// the next round up: after a while of silence what is there is judged, and the straggler read on.
    async fn read(&mut self, wanted: BTreeSet<Fact>) {
        // What is asked for while others are late is still the same level of the tree.
        self.rounds += u32::from(self.under_way.is_empty());
        (self.progress)(self.rounds, self.under_way.len() + wanted.len());
        for fact in wanted {
            self.under_way.insert(fact.clone());
            self.fetches.push(self.fetch(fact));
        }
        let mut heard = false;
        while !self.fetches.is_empty() {
            match tokio::time::timeout(PATIENCE, self.fetches.next()).await {
                Ok(Some((fact, answer))) => {
                    self.under_way.remove(&fact);
                    self.store.put(fact, answer);
                    heard = true;
                }
                Ok(None) => break,
                Err(_) if heard => break,
                Err(_) => {}
            }
        }
    }

    /// Reads these, and waits for every one.
    async fn read_all(&mut self, wanted: BTreeSet<Fact>) {
        self.read(wanted).await;
        while !self.under_way.is_empty() {
            self.read(BTreeSet::new()).await;
        }
    }

    /// What the deadline cuts off is unknown.
    fn fetch(&self, fact: Fact) -> Fetch<'r> {
        let (source, bound, deadline) = (self.source, Arc::clone(&self.bound), self.deadline);
        async move {
            let read = async {
                let _turn = bound.acquire().await;
                source.fetch(&fact).await
            };
            let answer = tokio::time::timeout_at(deadline, read).await.unwrap_or(Err(Why::Deadline));
            (fact, answer)
        }
        .boxed()
    }
}

/// The first round: what is served, the CephClusters, the operators. All namespaces if that is allowed.
async fn discover(reader: &mut Reader<'_>, scope: &Scope) -> (Option<String>, Vec<Cluster>) {
    let mut namespace = scope.namespace.clone();
    let first = [Row::Discovery, Row::CephClusters, Row::Operators];
    let wanted = |reader: &Reader<'_>, namespace: &Option<String>| -> BTreeSet<Fact> {
        let facts = Facts::new(&reader.store, None, reader.source.now(), namespace.as_deref());
        let rows = first.iter().filter_map(|row| row.fact(&facts)).chain([Fact::Discovery]);
        rows.filter(|fact| !reader.store.knows(fact)).collect()
    };
    let all = wanted(reader, &namespace);
    reader.read_all(all).await;
    let forbidden = {
        let facts = Facts::new(&reader.store, None, reader.source.now(), namespace.as_deref());
        matches!(facts.ceph_clusters(), Err(Gap::Unknown(Unknown { why: Why::Forbidden(_), .. })))
    };
    if forbidden && namespace.is_none() {
        namespace = Some(scope.fallback_namespace.clone());
        let again = wanted(reader, &namespace);
        reader.read_all(again).await;
    }
    let clusters = clusters(&Facts::new(&reader.store, None, reader.source.now(), namespace.as_deref()), scope);
    if clusters.is_empty() {
        let clusters = of_daemons(reader, namespace.as_deref(), scope).await;
        return (namespace, clusters);
    }
    (namespace, clusters)
}

/// Where a recording cannot hold CephClusters, those that the Deployments of monitors say they belong to. An
/// external cluster has no monitors, so these are none.
async fn of_daemons(reader: &mut Reader<'_>, namespace: Option<&str>, scope: &Scope) -> Vec<Cluster> {
    let select = || Select::label("app=rook-ceph-mon");
    let wanted = {
        let facts = Facts::new(&reader.store, None, reader.source.now(), namespace);
        match facts.ceph_clusters() {
            Err(Gap::Unknown(Unknown { why: Why::NotCaptured, .. })) => {}
            _ => return Vec::new(),
        }
        Fact::List { kind: kinds::DEPLOYMENT, ns: namespace.map(str::to_owned), select: select() }
    };
    reader.read_all(BTreeSet::from([wanted])).await;
    let facts = Facts::new(&reader.store, None, reader.source.now(), namespace);
    let (monitors, operators) =
        (facts.list::<Deployment>(namespace, select()).unwrap_or_default(), facts.operators().unwrap_or_default());
    let owners = monitors.iter().flat_map(|monitor| {
        let owners = monitor.metadata.owner_references.iter().filter(|owner| owner.kind == "CephCluster");
        owners.map(|owner| (monitor.metadata.namespace.as_str(), owner.name.as_str()))
    });
    let owners: BTreeSet<(&str, &str)> = owners.collect();
    let wanted = owners.into_iter().filter(|(_, name)| scope.cluster_name.as_ref().is_none_or(|wanted| wanted == name));
    wanted
        .map(|(ns, name)| Cluster {
            ns: ns.to_owned(),
            name: name.to_owned(),
            operator_ns: operator_namespace(operators, ns, scope),
            external: false,
        })
        .collect()
}

/// That of the operator in the cluster's own namespace, else of any.
fn operator_namespace(operators: &[Deployment], ns: &str, scope: &Scope) -> String {
    let operators: Vec<&str> = operators.iter().map(|operator| operator.metadata.namespace.as_str()).collect();
    let chosen = operators.iter().find(|operator| **operator == ns).or(operators.first());
    scope.operator_namespace.clone().or_else(|| chosen.map(|&ns| ns.to_owned())).unwrap_or_else(|| ns.to_owned())
}

fn clusters(facts: &Facts<'_>, scope: &Scope) -> Vec<Cluster> {
    // A gap here is not lost: the ACCESS checks ask for the same facts and report it.
    let (found, operators) = (facts.ceph_clusters().unwrap_or_default(), facts.operators().unwrap_or_default());
    let wanted =
        found.iter().filter(|cluster| scope.cluster_name.as_ref().is_none_or(|name| *name == cluster.metadata.name));
    wanted
        .map(|cluster| Cluster {
            ns: cluster.metadata.namespace.clone(),
            name: cluster.metadata.name.clone(),
            operator_ns: operator_namespace(operators, &cluster.metadata.namespace, scope),
            external: cluster.spec.external.enable,
        })
        .collect()
}

/// Without a CephCluster only the question "can we see?" makes sense.
fn applies(check: &Check, facts: &Facts<'_>) -> bool {
    check.area == Area::Access || facts.cluster().is_ok()
}

/// Everything that the checks still want: what they declare, and what stopped them.
fn wants(facts: &Facts<'_>, checks: &[&'static Check], overviews: &[&'static Overview]) -> BTreeSet<Fact> {
    let mut wanted = BTreeSet::new();
    let mut want = |needs: &[Row], more: BTreeSet<Fact>| {
        let ahead = needs.iter().filter(|row| row.is_read_ahead()).filter_map(|row| row.fact(facts));
        let ahead = ahead.filter(|fact| may_be_there(facts, fact));
        wanted.extend(ahead.chain(more).filter(|fact| !facts.knows(fact)));
    };
    for check in checks.iter().filter(|check| applies(check, facts)) {
        if let Err(Gap::Wanted(more)) = (check.run)(facts) {
            want(check.needs, more);
        }
    }
    for overview in overviews.iter().filter(|_| facts.cluster().is_ok()) {
        if let Err(Gap::Wanted(more)) = (overview.run)(facts) {
            want(overview.needs, more);
        }
    }
    wanted
}

/// What the story still wants, and with it all that it will want anyway.
fn story_wants(facts: &Facts<'_>) -> BTreeSet<Fact> {
    let wanted = timeline::wants(facts);
    let rows = timeline::NEEDS.iter().filter(|row| !wanted.is_empty() && row.is_read_ahead());
    let ahead = rows.filter_map(|row| row.fact(facts)).filter(|fact| may_be_there(facts, fact) && !facts.knows(fact));
    ahead.chain(wanted.clone()).collect()
}

/// The rows of an overview; none if this cluster has no such thing.
fn listing(facts: &Facts<'_>, overview: &'static Overview) -> Option<(&'static Overview, Listing)> {
    facts.cluster().ok()?;
    let blind = match (overview.run)(facts) {
        Ok(listing) => return Some((overview, listing)),
        Err(Gap::NotInstalled(_) | Gap::NotOffered(_)) => return None,
        Err(Gap::Unknown(unknown)) => vec![unknown],
        Err(Gap::Wanted(wanted)) => wanted.into_iter().map(|fact| Unknown { fact, why: Why::OverBudget }).collect(),
    };
    Some((overview, Listing { rows: Vec::new(), blind }))
}

/// A list of a kind that is not installed is not worth a request.
fn may_be_there(facts: &Facts<'_>, fact: &Fact) -> bool {
    match fact {
        Fact::List { kind, .. } if kind.is_custom() => !matches!(facts.installed(*kind), Ok(false)),
        _ => true,
    }
}

fn conclude(facts: &Facts<'_>, cluster: Option<&Cluster>, checks: &[&'static Check], rounds: u32) -> Diagnosis {
    let mut outcomes = Vec::new();
    let mut findings = Vec::new();
    for check in checks {
        let (outcome, found) = answer(facts, check);
        outcomes.push(outcome);
        findings.extend(found.into_iter().map(|finding| (*check, finding)));
    }
    let mut findings = place(findings);
    link(&mut findings, &outcomes);
    let roots = rank(&findings);
    let object = facts.ceph_clusters().ok().and_then(|all| {
        let cluster = cluster?;
        all.iter().find(|object| object.metadata.namespace == cluster.ns && object.metadata.name == cluster.name)
    });
    let operator_version = operator_version(facts, cluster);
    let seen = facts.ceph_clusters().unwrap_or_default().iter().filter(|_| cluster.is_none());
    Diagnosis {
        cluster: cluster.cloned(),
        left_out: seen.map(|object| format!("{}/{}", object.metadata.namespace, object.metadata.name)).collect(),
        object: object.cloned(),
        operator_version,
        outcomes,
        findings,
        roots,
        overviews: Vec::new(),
        story: None,
        rounds,
        suppressions: Ok(None),
    }
}

/// The tag of the operator's image.
fn operator_version(facts: &Facts<'_>, cluster: Option<&Cluster>) -> Option<String> {
    let ns = &cluster?.operator_ns;
    let operator = facts.operators().ok()?.iter().find(|operator| operator.metadata.namespace == *ns)?;
    operator.image_tag().map(str::to_owned)
}

fn answer(facts: &Facts<'_>, check: &'static Check) -> (Outcome, Vec<Finding>) {
    let view = facts.fresh();
    let outcome = |status, reason: Option<Text>, blind, facts: &Facts<'_>| Outcome {
        check,
        status,
        reason,
        blind,
        touched: facts.touched(),
    };
    // Not having seen any CephCluster is not the same as there being none, nor is none in the one namespace that
    // was left after all namespaces were refused.
    let without_cluster = || match facts.ceph_clusters().and(facts.list::<CephCluster>(None, Select::all())) {
        Err(Gap::Unknown(unknown)) => outcome(Status::Unknown, Some(unknown_reason(&unknown)), vec![unknown], &view),
        _ => outcome(Status::NotApplicable, Some(say!("there is no CephCluster")), Vec::new(), &view),
    };
    if !applies(check, facts) {
        return (without_cluster(), Vec::new());
    }
    // That something is not there is not known from what was read in part.
    let not_applicable = |reason: Text| match view.flaws() {
        flaws if flaws.is_empty() => outcome(Status::NotApplicable, Some(reason), vec![], &view),
        flaws => outcome(Status::Unknown, Some(unknown_reason(&flaws[0])), flaws, &view),
    };
    match (check.run)(&view) {
        Ok(Answered::NotApplicable(reason)) => (not_applicable(phrase(reason)), vec![]),
        Ok(Answered::Judged { findings, mut blind }) => {
            blind.extend(view.flaws());
            blind.sort();
            blind.dedup();
            let status = match (findings.is_empty(), blind.is_empty()) {
                (false, _) => Status::Found,
                (true, false) => Status::Unknown,
                (true, true) => Status::Passed,
            };
            let reason = blind.first().filter(|_| status == Status::Unknown).map(unknown_reason);
            (outcome(status, reason, blind, &view), findings)
        }
        Err(Gap::NotInstalled(kind)) => (not_applicable(say!("{} is not installed", kind.resource())), vec![]),
        Err(Gap::NotOffered(_)) if facts.cluster().is_err() => (without_cluster(), vec![]),
        Err(Gap::NotOffered(reason)) => (not_applicable(phrase(&reason)), vec![]),
        Err(Gap::Unknown(unknown)) => {
            let reason = unknown_reason(&unknown);
            (outcome(Status::Unknown, Some(reason), vec![unknown], &view), vec![])
        }
        Err(Gap::Wanted(wanted)) => {
            let blind: Vec<_> = wanted.into_iter().map(|fact| Unknown { fact, why: Why::OverBudget }).collect();
            let reason = say!("internal error: still wanted after {} rounds", ROUNDS);
            (outcome(Status::Unknown, Some(reason), blind, &view), vec![])
        }
    }
}

fn unknown_reason(unknown: &Unknown) -> Text {
    say!("{}: {}", unknown.fact.text(), unknown.why.text())
}

/// Gives each finding its id; a second finding of the same id is the same fault told twice, and the worse stays.
fn place(findings: Vec<(&'static Check, Finding)>) -> Vec<Placed> {
    let mut placed: BTreeMap<String, Placed> = BTreeMap::new();
    let mut order = Vec::new();
    for (check, finding) in findings {
        let id = id(check, &finding);
        let worse = placed.get(&id).is_none_or(|other| other.finding.severity < finding.severity);
        if worse {
            if !placed.contains_key(&id) {
                order.push(id.clone());
            }
            let new =
                Placed { id: id.clone(), check, finding, causes: vec![], consequences: vec![], not_ruled_out: vec![] };
            placed.insert(id, new);
        }
    }
    order.iter().filter_map(|id| placed.remove(id)).collect()
}

/// `CODE/Kind/[ns/]name[#detail]`
pub(crate) fn id(check: &Check, finding: &Finding) -> String {
    let mut id = check.code.to_owned();
    if let Some(object) = finding.objects.first() {
        let name = object.stable.as_deref().unwrap_or(&object.name);
        let ns = if object.namespace.is_empty() { String::new() } else { format!("{}/", object.namespace) };
        id.push_str(&format!("/{}/{ns}{name}", object.kind));
    }
    if let Some(detail) = &finding.detail {
        id.push_str(&format!("#{detail}"));
    }
    id
}

/// Draws the direct cause links. Info findings are context: they cause nothing.
fn link(findings: &mut [Placed], outcomes: &[Outcome]) {
    let mut links = Vec::new();
    for (at, effect) in findings.iter().enumerate() {
        for (cause_at, cause) in findings.iter().enumerate() {
            let scopes = effect.check.causes().filter(|(check, _)| *check == cause.check);
            let because = scopes.filter_map(|(_, scope)| explains(scope, &cause.finding, &effect.finding)).next();
            if let Some(because) = because.filter(|_| cause.finding.severity > Severity::Info) {
                links.push((cause_at, at, because));
            }
        }
    }
    for (cause, effect, because) in links {
        findings[effect].causes.push((cause, because));
        findings[cause].consequences.push(effect);
    }
    let blind = |check: &Check| {
        let outcome = outcomes.iter().find(|outcome| outcome.check == check);
        outcome.is_some_and(|outcome| outcome.status == Status::Unknown)
    };
    for placed in findings.iter_mut().filter(|placed| placed.causes.is_empty()) {
        let causes = placed.check.causes().map(|(check, _)| check);
        placed.not_ruled_out = causes.filter(|check| blind(check)).map(|check| check.code).collect();
        placed.not_ruled_out.dedup();
    }
}

/// Root causes by the worst severity among themselves and what they explain, then by how much they explain,
/// then in the order of the catalogue, from the ground up.
fn rank(findings: &[Placed]) -> Vec<usize> {
    let is_root = |placed: &Placed| placed.finding.severity > Severity::Info && placed.causes.is_empty();
    let mut roots: Vec<usize> = (0..findings.len()).filter(|&at| is_root(&findings[at])).collect();
    let key = |&at: &usize| {
        let below = below(findings, at);
        let worst = below.iter().chain([&at]).map(|&at| findings[at].finding.severity).max();
        let placed = &findings[at];
        let order = (placed.check.area, placed.check.code, placed.id.clone());
        (std::cmp::Reverse(worst), std::cmp::Reverse(below.len()), order)
    };
    roots.sort_by_cached_key(key);
    roots
}

pub(crate) fn below(findings: &[Placed], at: usize) -> BTreeSet<usize> {
    let mut seen = BTreeSet::new();
    let mut open = findings[at].consequences.clone();
    while let Some(next) = open.pop() {
        if seen.insert(next) {
            open.extend(&findings[next].consequences);
        }
    }
    seen
}

/// The places of a finding as reports write them.
pub fn places(finding: &Finding) -> Vec<String> {
    finding.at.iter().map(Place::to_string).collect()
}
