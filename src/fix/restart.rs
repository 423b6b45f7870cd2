//! Pods that are made anew, one after the other.

use std::collections::{BTreeMap, BTreeSet};

use super::condition::ceph::holds_nothing;
use super::plans::restart_operator;
use super::{Act, Case, Condition, Object, Step};
use crate::check::{FixKind, Severity, Text};
use crate::checks::ceph::ceph_command;
use crate::checks::opr::do_not_reconcile_left::waits;
use crate::facts::tables::PodRow;
use crate::facts::{Cluster, Facts, Gap, Select, Settled, both, kinds};
use crate::objects::kube::{DaemonSet, DisruptionBudget, Pod};
use crate::say;

/// The label of the pod of Rook's operator.
pub const OPERATOR_LABEL: &str = "app=rook-ceph-operator";

/// A new pod has so long to become Ready: its image may have to be pulled.
pub const READY_WITHIN: u64 = 600;

/// Why a restart is no remedy for this finding, as far as the finding itself tells.
pub fn in_vain(case: &Case<'_>) -> Option<Text> {
    let by_hand = || say!("a new pod may well fail as this one does: its cause is not in the pod, or not known");
    mend_first(case).or_else(|| (case.finding.remedy.fix != FixKind::Auto).then(by_hand))
}

/// What must be mended before this finding: another that explains it, and would break the new pod as well.
pub fn mend_first(case: &Case<'_>) -> Option<Text> {
    let this = case.findings.iter().find(|placed| std::ptr::eq(&placed.finding, case.finding))?;
    let mut causes = this.causes.iter().filter_map(|(at, _)| case.findings.get(*at));
    let cause = causes.find(|cause| cause.finding.severity > Severity::Info)?;
    Some(say!("it follows from {}: mend that first, and this mends itself", cause.id))
}

/// Takes the pod of a DaemonSet away where it would come back unchanged, and waits for its successor on that node.
/// None for a pod of no DaemonSet that a label tells.
pub fn of_daemon_set(facts: &Facts<'_>, pod: &Pod) -> Result<Option<[Step; 2]>, Gap> {
    let (ns, name, node) = (&pod.metadata.namespace, &pod.metadata.name, &pod.spec.node_name);
    let Some(owner) = pod.metadata.controller().filter(|owner| owner.kind == "DaemonSet") else { return Ok(None) };
    let (set, delete) = both(facts.object::<DaemonSet>(ns, &owner.name), take_away(facts, pod))?;
    let label = set.map(DaemonSet::pod_labels).filter(|label| !label.is_empty() && !node.is_empty());
    Ok(label.map(|label| {
        let unchanged = Condition::SameRevision { ns: ns.clone(), pod: name.clone() };
        let delete = delete.guard(Condition::NodeReady { node: node.clone() }).guard(unchanged);
        [delete, wait_for_successor(pod, &label)]
    }))
}

/// Takes a pod away: by eviction where it is well and a disruption budget covers it, else by deletion. With a
/// monitor out the budget would never let the unhealthy pod go, which is the one that must.
pub fn take_away(facts: &Facts<'_>, pod: &Pod) -> Result<Step, Gap> {
    let object = Object::new(kinds::POD, &pod.metadata.namespace, &pod.metadata.name, &pod.metadata.uid);
    let budgets = facts.list::<DisruptionBudget>(Some(&pod.metadata.namespace), Select::all())?;
    let covered = budgets.iter().any(|budget| budget.spec.selector.matches(&pod.metadata.labels));
    let (name, node) = (&pod.metadata.name, pod.spec.node_name.as_str());
    Ok(match (covered && pod.is_ready(), node) {
        (true, "") => Step::new(say!("evict pod {}", name), Act::Evict { object }),
        (true, node) => Step::new(say!("evict pod {} on {}", name, node), Act::Evict { object }),
        (false, "") => {
            Step::new(say!("delete pod {}; its owner makes it anew", name), Act::Delete { object, saved: None })
        }
        (false, node) => Step::new(
            say!("delete pod {} on {}; its owner makes it anew", name, node),
            Act::Delete { object, saved: None },
        ),
    })
}

/// Waits for the pod that comes in the place of this one: of the same label and, for a DaemonSet, on the same node.
pub fn wait_for_successor(pod: &Pod, label: &str) -> Step {
    let of_node = pod.metadata.controller().is_some_and(|owner| owner.kind == "DaemonSet");
    let node = of_node.then(|| pod.spec.node_name.clone());
    let until = Condition::PodWell {
        ns: pod.metadata.namespace.clone(),
        label: label.to_owned(),
        node,
        instead_of: vec![pod.metadata.name.clone()],
    };
    Step::wait(say!("wait until its successor is Ready"), until, READY_WITHIN)
}

/// Ceph has so long to be clean again after the OSDs of a node were away for the time of a restart.
const CLEAN_WITHIN: u64 = 1800;

/// The steps that make pods of a Ceph cluster anew, in the order that is safe.
#[derive(Clone, Debug, Default)]
pub struct Restarts {
    pub monitors: Vec<Step>,
    /// mgr, then MDS, gateways and helpers, then OSDs.
    pub rest: Vec<Step>,
}

impl Restarts {
    pub fn steps(self) -> impl Iterator<Item = Step> {
        self.monitors.into_iter().chain(self.rest)
    }
}

/// Makes these pods of a Ceph cluster anew, one after the other: first the monitors, each back in quorum before the
/// next; then mgr and MDS, standbys before those that serve; then all others; at last the OSDs, node by node. A node
/// lies within every failure domain from the host upwards; where copies may lie on one host, Ceph's own word on each
/// OSD stands in.
pub fn in_order(facts: &Facts<'_>, pods: &[&Pod]) -> Result<Restarts, Gap> {
    // A canary only tries whether a monitor would find a place, and is soon gone.
    let pods = pods.iter().copied().filter(|pod| label(pod, "mon_canary").is_empty());
    let mut of: BTreeMap<Kind, Vec<&Pod>> = BTreeMap::new();
    pods.for_each(|pod| of.entry(kind(pod)).or_default().push(pod));
    let mut take = |kind| of.remove(&kind).unwrap_or_default();
    let mgr_pods = take(Kind::Mgr);
    let osds = osds(facts, take(Kind::Osd), mgr_pods.is_empty());
    let first = both(monitors(facts, take(Kind::Monitor)), mgrs(facts, mgr_pods));
    let last = both(mdss(facts, take(Kind::Mds)), both(others(facts, take(Kind::Other)), osds));
    let ((monitors, mgrs), (mdss, (others, osds))) = both(first, last)?;
    Ok(Restarts { monitors, rest: [mgrs, mdss, others, osds].concat() })
}

/// What a pod runs, as far as its restart is a matter of its own.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Monitor,
    Mgr,
    Mds,
    Osd,
    Other,
}

fn kind(pod: &Pod) -> Kind {
    match label(pod, "app") {
        "rook-ceph-mon" | "rook-ceph-floating-mon" => Kind::Monitor,
        "rook-ceph-mgr" => Kind::Mgr,
        "rook-ceph-mds" => Kind::Mds,
        "rook-ceph-osd" => Kind::Osd,
        _ => Kind::Other,
    }
}

fn label<'p>(pod: &'p Pod, key: &str) -> &'p str {
    pod.metadata.labels.get(key).map_or("", String::as_str)
}

/// `a` of mon.a, `files-a` of mds.files-a
fn daemon(pod: &Pod) -> &str {
    label(pod, "ceph_daemon_id")
}

/// Selects a daemon's pods, old and new: Rook gives both labels to every daemon.
fn selector(pod: &Pod) -> String {
    format!("app={},ceph_daemon_id={}", label(pod, "app"), daemon(pod))
}

/// Takes a pod away, but from no node that would not have it back.
fn take(facts: &Facts<'_>, pod: &Pod) -> Result<Step, Gap> {
    let step = take_away(facts, pod)?;
    let node = pod.spec.node_name.clone();
    Ok(if node.is_empty() { step } else { step.guard(Condition::TakesPods { node }) })
}

fn monitors(facts: &Facts<'_>, mut pods: Vec<&Pod>) -> Result<Vec<Step>, Gap> {
    pods.sort_by_key(|pod| daemon(pod));
    if pods.is_empty() {
        return Ok(Vec::new());
    }
    let (nothing, quorum) = both(holds_nothing(facts).settled(), facts.quorum_status().settled())?;
    let are_in = |names: &[String]| pods.iter().all(|pod| names.iter().any(|name| name == daemon(pod)));
    // Monitors that never found each other do so only when all of them are mended.
    let at_the_end = nothing.is_ok_and(|nothing| nothing) && !quorum.is_ok_and(|status| are_in(&status.quorum_names));
    let joined = |pod: &Pod| {
        let mon = daemon(pod).to_owned();
        Step::wait(say!("wait until mon.{} is in quorum again", mon), Condition::MonRejoined { mon }, READY_WITHIN)
    };
    let mut steps = Vec::new();
    for pod in &pods {
        let without = vec![daemon(pod).to_owned()];
        steps.push(take(facts, pod)?.guard(Condition::Quorum { without }));
        steps.push(wait_for_successor(pod, &selector(pod)));
        if !at_the_end {
            steps.push(joined(pod));
        }
    }
    steps.extend(pods.iter().filter(|_| at_the_end).map(|pod| joined(pod)));
    Ok(steps)
}

/// Standbys first, so that the active one has somebody to hand over to.
fn mgrs(facts: &Facts<'_>, mut pods: Vec<&Pod>) -> Result<Vec<Step>, Gap> {
    pods.sort_by_key(|pod| (label(pod, "mgr_role") == "active", daemon(pod)));
    let mut steps = Vec::new();
    for pod in &pods {
        steps.push(take(facts, pod)?);
        steps.push(wait_for_successor(pod, &selector(pod)));
        steps.push(Step::wait(say!("wait until a mgr is active"), Condition::MgrActive, READY_WITHIN));
    }
    Ok(steps)
}

/// Standbys first; one that serves only while its filesystem is whole.
fn mdss(facts: &Facts<'_>, mut pods: Vec<&Pod>) -> Result<Vec<Step>, Gap> {
    if pods.is_empty() {
        return Ok(Vec::new());
    }
    // Without the monitors' word on who serves, any order is as good as another.
    let dump = facts.fs_dump().settled()?;
    let active: BTreeSet<&str> = dump
        .iter()
        .flat_map(|dump| &dump.filesystems)
        .flat_map(|filesystem| filesystem.mdsmap.info.values())
        .filter(|mds| mds.state == "up:active")
        .map(|mds| mds.name.as_str())
        .collect();
    pods.sort_by_key(|pod| (active.contains(daemon(pod)), daemon(pod)));
    let mut steps = Vec::new();
    for pod in &pods {
        let name = label(pod, "rook_file_system").to_owned();
        let serves = Condition::FilesystemServes { name: name.clone() };
        let works = active.contains(daemon(pod));
        let step = take(facts, pod)?;
        steps.push(if works { step.guard(serves.clone()) } else { step });
        steps.push(wait_for_successor(pod, &selector(pod)));
        steps.extend(
            works.then(|| Step::wait(say!("wait until the filesystem {} is served", name), serves, READY_WITHIN)),
        );
    }
    Ok(steps)
}

/// Gateways and helpers: as many as were well, and this one, must be well before the next.
fn others(facts: &Facts<'_>, mut pods: Vec<&Pod>) -> Result<Vec<Step>, Gap> {
    pods.sort_by_key(|pod| (label(pod, "app"), pod.metadata.name.as_str()));
    let mut steps = Vec::new();
    let rows =
        facts.each(pods.iter().copied(), |facts, pod| facts.pods_where(&pod.metadata.namespace, &of_app(pod)))?;
    if let Some(unknown) = rows.blind.into_iter().next() {
        return Err(Gap::Unknown(unknown));
    }
    for (pod, rows) in rows.seen {
        let name = &pod.metadata.name;
        let beside = rows.iter().filter(|row| row.name != *name && row.is_well()).count();
        let until = Condition::PodsWell {
            ns: pod.metadata.namespace.clone(),
            label: of_app(pod),
            at_least: beside + 1,
            instead_of: vec![name.clone()],
        };
        steps.push(take(facts, pod)?);
        steps.push(Step::wait(say!("wait until its successor is Ready"), until, READY_WITHIN));
    }
    Ok(steps)
}

/// What a pod has in common with its successor. Helpers of all nodes share an id.
fn of_app(pod: &Pod) -> String {
    let last = if daemon(pod).is_empty() { "pod-template-hash" } else { "ceph_daemon_id" };
    let keys = ["app", last, "node_name"].into_iter().filter(|key| !label(pod, key).is_empty());
    keys.map(|key| format!("{key}={}", label(pod, key))).collect::<Vec<_>>().join(",")
}

/// Whether an OSD may stop, a mgr says; one that has just taken over needs a moment for it.
fn osds(facts: &Facts<'_>, pods: Vec<&Pod>, mgr_is_settled: bool) -> Result<Vec<Step>, Gap> {
    let mut nodes: BTreeMap<&str, BTreeMap<i64, &Pod>> = BTreeMap::new();
    for pod in pods {
        let Ok(id) = daemon(pod).parse() else { continue };
        nodes.entry(&pod.spec.node_name).or_default().insert(id, pod);
    }
    let mut steps = Vec::new();
    for (node, pods) in nodes {
        if !steps.is_empty() {
            let does = say!("wait until all PGs are clean, before {}", node);
            steps.push(Step::wait(does, Condition::PgsClean, CLEAN_WITHIN));
        }
        for (id, pod) in pods {
            let may_stop = Condition::OkToStop { osds: vec![id] };
            if !steps.is_empty() || !mgr_is_settled {
                // The PGs of the one before peer for a moment.
                steps.push(Step::wait(say!("wait until osd.{} may stop", id), may_stop.clone(), CLEAN_WITHIN));
            }
            steps.push(take(facts, pod)?.guard(may_stop));
            steps.push(wait_for_successor(pod, &selector(pod)));
            let up = Condition::OsdsUp { osds: vec![id] };
            steps.push(Step::wait(say!("wait until osd.{} is up", id), up, READY_WITHIN));
        }
    }
    Ok(steps)
}

/// So many nodes are named with their OSDs; the others go the same way.
const NODES_BY_HAND: usize = 12;

/// The commands by which a person makes the pods of these rows anew, in the same order. In a cluster that is still
/// being made there is no quorum to keep, and the operator, which waits for the monitors, comes after them.
pub fn by_hand(cluster: &Cluster, rows: &[&PodRow], being_made: bool) -> Vec<String> {
    let ns = &cluster.ns;
    let mut commands = Vec::new();
    let delete = |pod: &str| format!("kubectl -n {ns} delete pod {pod}");
    let wait = |label: &str| format!("kubectl -n {ns} wait pod -l {label} --for=condition=Ready --timeout=10m");
    for kind in ["mon", "mgr", "mds", "rgw"] {
        let prefix = format!("rook-ceph-{kind}-");
        let of_kind = rows.iter().filter_map(|row| Some((*row, row.daemon_id(&prefix)?)));
        for (at, (row, id)) in of_kind.filter(|(_, id)| !id.ends_with("-canary")).enumerate() {
            match (kind, at) {
                ("mon", _) if !being_made => commands.push(ceph_command(cluster, "quorum_status --format json-pretty")),
                ("mgr", 0) => commands.push(format!("kubectl -n {ns} get pods -l app=rook-ceph-mgr -L mgr_role")),
                _ => {}
            }
            let id = if kind == "rgw" { String::new() } else { format!(",ceph_daemon_id={id}") };
            commands.extend([delete(&row.name), wait(&format!("app=rook-ceph-{kind}{id}"))]);
        }
        if kind == "mon" && being_made && !commands.is_empty() {
            commands.push(format!("kubectl -n {} rollout restart deployment rook-ceph-operator", cluster.operator_ns));
        }
    }
    let mut nodes: BTreeMap<&str, Vec<(i64, &str)>> = BTreeMap::new();
    for row in rows {
        let Some(id) = row.daemon_id("rook-ceph-osd-").and_then(|id| id.parse().ok()) else { continue };
        nodes.entry(&row.node).or_default().push((id, &row.name));
    }
    let more = nodes.len() > NODES_BY_HAND;
    for (node, mut osds) in nodes.into_iter().take(NODES_BY_HAND) {
        osds.sort_unstable();
        let ids: Vec<String> = osds.iter().map(|(id, _)| id.to_string()).collect();
        let pods: Vec<&str> = osds.iter().map(|(_, name)| *name).collect();
        commands.push(ceph_command(cluster, &format!("osd ok-to-stop {}", ids.join(" "))));
        commands.push(delete(&pods.join(" ")));
        commands.push(format!(
            "kubectl -n {ns} wait pod -l app=rook-ceph-osd --field-selector spec.nodeName={node} --for=condition=Ready --timeout=10m"
        ));
        commands.push(ceph_command(cluster, "pg stat"));
    }
    if more {
        commands.push(format!("kubectl -n {ns} get pods -l app=rook-ceph-osd -o wide"));
    }
    commands
}

/// Makes the pods of an operator anew, one after the other; no step where it has none. An operator that starts goes
/// through everything it looks after, and so it must not where the monitors have no quorum: it would take that for
/// the state to work from.
pub fn operator_steps(facts: &Facts<'_>, ns: &str, label: &str) -> Result<Vec<Step>, Gap> {
    let rows = facts.pods_where(ns, label)?;
    let pods = facts.each(rows.iter().filter(|row| !row.is_replaced()), |facts, row| {
        let pod = facts.pod(ns, &row.name)?;
        Ok((pod, take_away(facts, pod)?))
    })?;
    if let Some(unknown) = pods.blind.into_iter().next() {
        return Err(Gap::Unknown(unknown));
    }
    let steps = pods.seen.into_iter().flat_map(|(_, (pod, take_away))| {
        [take_away.guard(Condition::Quorum { without: Vec::new() }), wait_for_successor(pod, label)]
    });
    Ok(steps.collect())
}

/// What to know before Rook's operator goes through a whole cluster, as it does when it starts and when the CephCluster
/// changes.
pub fn reconcile_warnings(facts: &Facts<'_>) -> Result<Vec<Text>, Gap> {
    let cluster = facts.ceph_cluster()?;
    let disks = restart_operator::disks(facts, &cluster.spec.storage)?;
    let mut warnings = vec![say!(
        "Rook goes through the whole cluster then: what was changed before and not applied yet is applied as well"
    )];
    warnings.extend(waits(cluster));
    warnings.extend(disks);
    Ok(warnings)
}
