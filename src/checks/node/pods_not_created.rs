use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::refusals::decode;
use super::{DAEMONS, is_of_rook};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity};
use crate::checks::access::{failed_webhook, webhook_object};
use crate::facts::{Facts, Gap, both, kinds};
use crate::objects::kube::{DaemonSet, Event, Job, ReplicaSet};
use crate::say;

check! {
    /// # What it looks at
    /// Events `FailedCreate` of the last twenty minutes on Rook's ReplicaSets, DaemonSets and jobs, in the namespaces
    /// of the cluster and of the operator, where the owner still has fewer pods than it wants.
    ///
    /// # Why it matters
    /// There is no pod to look at: nothing is Pending, nothing crashes, no log is written. The Deployment just stays
    /// at 0 of 1. The API server refused the pod, and only an event on its owner, kept for an hour, says why.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> get events --field-selector reason=FailedCreate --sort-by=.lastTimestamp`.
    ///
    /// # Fix
    /// By reason: let the namespace run privileged pods (Pod Security, SCC), raise the quota, create the
    /// ServiceAccount or PriorityClass, repair or exempt the namespace from the webhook or policy. The controller
    /// tries again by itself, within a quarter of an hour.
    ///
    /// # References
    /// Kubernetes: Security, "Pod Security Admission"; Policies, "Resource Quotas". Rook: Getting-Started/ceph-openshift;
    /// issues 17644 and 18040, on absent ServiceAccounts of CSI.
    "NODE013" "pods-not-created" Node,
    needs: [ClusterEvents, OperatorEvents, Objects],
    explained_by: [(access::webhook_dead, Object)],
}

/// A controller's pauses between two tries grow to a quarter of an hour.
const REPEATED: SignedDuration = SignedDuration::from_mins(20);

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let (ours, operators) = both(facts.cluster_events(), facts.operator_events())?;
    let mut newest: BTreeMap<(&str, &str, &str), &Event> = BTreeMap::new();
    for event in ours.iter().chain(operators) {
        let about = &event.involved_object;
        let recent = event.last_seen().is_some_and(|at| facts.now().duration_since(at) <= REPEATED);
        if event.reason == "FailedCreate" && recent && is_of_rook(&about.name) {
            let known = newest.entry((&about.kind, &about.namespace, &about.name)).or_insert(event);
            if known.last_seen() < event.last_seen() {
                *known = event;
            }
        }
    }
    let owners = facts.each(newest.into_values(), |facts, event| pods_of(facts, event))?;
    let lacking = owners.seen.iter().filter_map(|(event, pods)| Some((*event, (*pods)?)));
    let mut refused: BTreeMap<_, Vec<Refused<'_>>> = BTreeMap::new();
    for (event, (have, want)) in lacking.filter(|(_, (have, want))| have < want) {
        let refusal = Refused { event, owner: owner(event), have, want };
        refused.entry(refusal.cause()).or_default().push(refusal);
    }
    Ok(Answered::judged(refused.values().filter_map(|refused| finding(refused)).collect()).blind(owners.blind))
}

/// An owner whose pods the API server refuses.
struct Refused<'e> {
    event: &'e Event,
    owner: ObjectRef,
    have: i32,
    want: i32,
}

impl<'e> Refused<'e> {
    /// Owners that share it share one remedy: the namespace, the reason, and the webhook if it is one. What is not
    /// understood is told one by one.
    fn cause(&self) -> (&'e str, &'static str, Option<&'e str>, &'e str) {
        let (about, reason) = (&self.event.involved_object, decode(&self.event.message));
        let alone = if reason.texts.is_empty() { about.name.as_str() } else { "" };
        (&about.namespace, (reason.why)().template, failed_webhook(&self.event.message), alone)
    }

    fn is_outage(&self) -> bool {
        self.have == 0 && !is_minor(&self.owner.name)
    }
}

/// How many pods the owner has, and how many it wants; none if it is gone.
fn pods_of(facts: &Facts<'_>, event: &Event) -> Result<Option<(i32, i32)>, Gap> {
    let (ns, name) = (&event.involved_object.namespace, &event.involved_object.name);
    Ok(match event.involved_object.kind.as_str() {
        "ReplicaSet" => {
            let set = facts.object::<ReplicaSet>(ns, name)?;
            set.map(|set| (set.status.replicas, set.spec.replicas.unwrap_or(1)))
        }
        "DaemonSet" => {
            let status = facts.object::<DaemonSet>(ns, name)?.map(|set| &set.status);
            status.map(|status| (status.current_number_scheduled, status.desired_number_scheduled))
        }
        "Job" => facts.object::<Job>(ns, name)?.map(|job| (job.status.active.saturating_add(job.status.succeeded), 1)),
        _ => None,
    })
}

fn finding(refused: &[Refused<'_>]) -> Option<Finding> {
    let (first, others) = refused.split_first()?;
    let Refused { event, owner, have, want } = first;
    let (ns, reason) = (&owner.namespace, decode(&event.message));
    let why = (reason.why)();
    let summary = match others.len() {
        0 => say!("{} {} has {} of {} pods: {}", owner.kind, owner.name, have, want, why),
        1 => say!("{} {} has {} of {} pods, and 1 more lacks pods: {}", owner.kind, owner.name, have, want, why),
        more => {
            say!("{} {} has {} of {} pods, and {} more lack pods: {}", owner.kind, owner.name, have, want, more, why)
        }
    };
    let remedy = Remedy::guided((reason.fix)())
        .command(reason.command.replace("{}", ns))
        .command(format!("kubectl -n {ns} get events --field-selector reason=FailedCreate --sort-by=.lastTimestamp"));
    let outage = refused.iter().any(Refused::is_outage);
    let severity = if outage { Severity::Critical } else { Severity::Warning };
    let finding = Finding::new(severity, owner.clone(), summary, remedy)
        .also(others.iter().map(|other| other.owner.clone()))
        .also(failed_webhook(&event.message).map(webhook_object))
        .at(refused.iter().filter_map(|refused| daemon(&refused.owner.name)))
        .since(refused.iter().filter_map(|refused| refused.event.first_seen()).min())
        .evidence(refused.iter().map(|refused| Evidence::event(refused.event)));
    Some(finding)
}

/// What a person knows the owner by: a ReplicaSet is a Deployment's.
fn owner(event: &Event) -> ObjectRef {
    let about = &event.involved_object;
    match about.kind.as_str() {
        "ReplicaSet" => {
            let name = about.name.rsplit_once('-').map_or(about.name.as_str(), |(name, _)| name);
            ObjectRef::new(kinds::DEPLOYMENT, &about.namespace, name)
        }
        "DaemonSet" => ObjectRef::new(kinds::DAEMON_SET, &about.namespace, &about.name),
        _ => ObjectRef::new(kinds::JOB, &about.namespace, &about.name),
    }
}

/// Storage serves without these.
fn is_minor(name: &str) -> bool {
    ["rook-ceph-crashcollector-", "rook-ceph-exporter", "rook-ceph-tools", "rook-discover"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// The daemon that a Deployment of this name runs.
fn daemon(name: &str) -> Option<Place> {
    DAEMONS.iter().find_map(|kind| {
        let id = name.strip_prefix(&format!("rook-ceph-{kind}-"))?;
        (!id.starts_with("prepare") && !id.ends_with("-canary")).then(|| Place::daemon(kind, id))
    })
}
