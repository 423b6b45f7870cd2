use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::older;
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Remedy};
use crate::facts::{Facts, Gap, Select, Settled, known};
use crate::lang::Words;
use crate::objects::kube::{Event, condition};
use crate::objects::rook::CephCluster;
use crate::say;

check! {
    /// # What it looks at
    /// Warning events `ReconcileFailed` of Rook's custom resources in the last hour with no `ReconcileSucceeded`
    /// of the same resource after them, and the condition Progressing=False that a failed reconcile of the
    /// CephCluster leaves. A conflict (`the object has been modified`) is tried again at once and is not a fault.
    ///
    /// # Why it matters
    /// A reconcile that fails is tried again from its first step, for ever: what comes after the failing step is
    /// never done, and changes of the resource take no effect.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> get events --field-selector reason=ReconcileFailed --sort-by=.lastTimestamp` and the last
    /// lines with ` E | ` in the operator's log.
    ///
    /// # Fix
    /// The innermost error, at the end of the text, names the step and its reason. Repair that; the next try
    /// comes by itself.
    ///
    /// # References
    /// Rook: pkg/operator/ceph/reporting (reasons of events), Troubleshooting/common-issues.
    "OPR004" "reconcile-failing" Opr,
    needs: [Discovery, CephClusters, ClusterEvents, Objects],
    explained_by: [
        (opr::operator_cannot_reach_mons, Cluster), (mon::quorum_lost, Cluster), (mon::all_mons_down, Cluster),
        (net::nad_default_route, Cluster), (net::nad_overlaps_cluster_network, Cluster), (net::nad_missing, Cluster),
        (net::nad_invalid, Cluster), (net::multus_missing, Cluster), (opr::operator_crashing, Cluster),
        (opr::deletion_blocked, Object), (opr::operator_rights_or_crds_stale, Cluster),
        (opr::detect_version_failing, Cluster), (access::webhook_dead, Cluster), (node::cluster_dns_failing, Cluster),
        (net::address_range_mismatch, Object), (img::upgrade_blocked, Object), (ceph::rgw_down, Object),
        (ceph::rgw_certificate_invalid, Object), (ceph::gateway_down, Object), (osd::encryption_key_unavailable, Object),
        (ceph::pg_count, Object),
    ],
}

const RECENT: SignedDuration = SignedDuration::from_mins(60);
/// Another writer was faster; Rook reads again and goes on.
pub(crate) const CONFLICT: &str = "the object has been modified";

/// What an error means, by a part of its text.
const MEANINGS: &[(&str, Words)] = &[
    ("waiting for monitors to reach quorum", || {
        say!("the operator waits for monitors that it cannot reach or that do not form a quorum")
    }),
    ("failed to discover network CIDRs", || {
        say!("the storage networks could not be read: a NAD, its selector or the canary job")
    }),
    ("must end with a trailing newline", || say!("the ConfigMap rook-config-override needs a newline at its end")),
    ("refusing to upgrade", || say!("Ceph is not healthy, and Rook does not upgrade an unhealthy cluster")),
    ("ceph version job", || {
        say!("the job that asks the image for its version did not end: image, scheduling or network")
    }),
    ("failed the ceph version check", || say!("the image's version could not be read or is not supported")),
    ("no matches for kind", || say!("the CRDs are older than the operator")),
    ("is forbidden", || say!("the operator's service account lacks a permission, often after an upgrade")),
    ("no such host", || say!("a name does not resolve: the cluster's DNS, or the object store's Service")),
    ("server misbehaving", || say!("a name does not resolve: the cluster's DNS")),
    ("failed to schedule", || say!("there is no node for a pod")),
    ("timed out", || say!("a Ceph command got no answer")),
    ("context deadline exceeded", || say!("a request got no answer in time")),
];

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.ceph_cluster()?;
    let mut blind = Vec::new();
    let events = known(facts.cluster_events().settled()?, &mut blind).unwrap_or_default();
    let ns = facts.cluster()?.ns.as_str();
    let failing = still_failing(facts, events, |_| true)?;
    let mut findings: Vec<Finding> = failing.iter().map(|event| finding(event, ns)).collect();
    let is_cluster = |finding: &Finding| finding.objects.iter().any(|object| object.kind == "CephCluster");
    if !findings.iter().any(is_cluster) {
        findings.extend(failed_condition(cluster));
    }
    Ok(Answered::judged(findings).blind(blind))
}

/// Why the operator cannot reconcile the CephCluster at present, in its own words.
pub(crate) fn error_of_cluster(facts: &Facts<'_>) -> Result<Option<Evidence>, Gap> {
    let cluster = facts.ceph_cluster()?;
    let is_it = |event: &Event| event.is_about("CephCluster", "", &cluster.metadata.name);
    if let Some(event) = still_failing(facts, facts.cluster_events()?, is_it)?.first() {
        return Ok(Some(Evidence::event(event)));
    }
    Ok(failed_condition(cluster).and_then(|finding| finding.evidence.into_iter().next()))
}

/// The newest failure of each resource that nothing mended since, among those that are asked for.
pub(crate) fn still_failing<'e>(
    facts: &Facts<'_>,
    events: &'e [Event],
    is_asked: impl Fn(&Event) -> bool,
) -> Result<Vec<&'e Event>, Gap> {
    let mut failing = failing(facts, events);
    failing.retain(|event| is_asked(event));
    if !failing.is_empty() {
        let ns = facts.cluster()?.ns.as_str();
        let good: &[Event] = facts.list(Some(ns), Select::field("reason=ReconcileSucceeded"))?;
        failing.retain(|event| !mended(event, good));
    }
    Ok(failing)
}

/// The newest failure of each resource.
fn failing<'e>(facts: &Facts<'_>, events: &'e [Event]) -> Vec<&'e Event> {
    let mut newest: BTreeMap<(&str, &str), &Event> = BTreeMap::new();
    let failures = events.iter().filter(|event| event.reason == "ReconcileFailed" && !event.message.contains(CONFLICT));
    for event in failures.filter(|event| !older(facts, event.last_seen(), RECENT)) {
        let about = (event.involved_object.kind.as_str(), event.involved_object.name.as_str());
        let known = newest.entry(about).or_insert(event);
        if known.last_seen() < event.last_seen() {
            *known = event;
        }
    }
    newest.into_values().collect()
}

fn mended(event: &Event, good: &[Event]) -> bool {
    let about = &event.involved_object;
    good.iter().any(|it| it.is_about(&about.kind, "", &about.name) && it.last_seen() >= event.last_seen())
}

fn finding(event: &Event, ns: &str) -> Finding {
    let about = &event.involved_object;
    let object = ObjectRef {
        api_version: "ceph.rook.io/v1".into(),
        kind: about.kind.clone(),
        namespace: ns.to_owned(),
        name: about.name.clone(),
        stable: None,
    };
    told(object, &event.message).since(event.first_seen()).evidence([Evidence::event(event)])
}

/// A failed reconcile leaves Progressing=False; a failed `ceph status` leaves Ready=False, which is not this.
fn failed_condition(cluster: &CephCluster) -> Option<Finding> {
    let failed = condition(&cluster.status.conditions, "Progressing").filter(|it| it.status == "False")?;
    if failed.message.is_empty() || failed.message.contains(CONFLICT) {
        return None;
    }
    let object = ObjectRef::of::<CephCluster>(&cluster.metadata);
    let evidence = Evidence::field(&object, "status.conditions[Progressing]", &failed.message);
    let since = failed.last_transition_time;
    Some(told(object, &failed.message).since(since).evidence([evidence.at(since)]))
}

fn told(object: ObjectRef, error: &str) -> Finding {
    let meaning = MEANINGS.iter().find(|(text, _)| error.contains(text)).map(|(_, meaning)| meaning());
    let meaning = meaning.unwrap_or_else(|| say!("{}", innermost(error)));
    let summary = say!("the operator cannot reconcile {} {}: {}", object.kind, object.name, meaning);
    let remedy = Remedy::guided(say!("repair what the end of the error names; the operator tries again by itself"))
        .command(format!(
            "kubectl -n {} get events --field-selector reason=ReconcileFailed --sort-by=.lastTimestamp",
            object.namespace
        ));
    Finding::warning(object, summary, remedy)
}

/// Go wraps errors from the outside in: the last part is the reason.
fn innermost(error: &str) -> &str {
    error.trim_end_matches('.').rsplit(": ").next().unwrap_or(error)
}
