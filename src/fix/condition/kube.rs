//! What Kubernetes, or a check, must say.

use jiff::SignedDuration;

use super::Held;
use crate::check::Answered;
use crate::checks::net::address_leak::{leaks, sight};
use crate::checks::net::storage_networks;
use crate::checks::node::boots;
use crate::checks::ovn::kube_ovn_controller_unhealthy::LEADERLESS;
use crate::checks::ovn::{self, ovn_central_down};
use crate::facts::tables::NodeRow;
use crate::facts::{Facts, Gap, Select, both};
use crate::fix::restart::OPERATOR_LABEL;
use crate::lang::clauses;
use crate::lookup;
use crate::objects::kube::{DaemonSet, Lease, Namespace, Pod};
use crate::say;

/// Rook's annotations on an OSD that is being replaced.
const REPLACED: &str = "osd.rook.io/replace";

pub(super) fn no_maintenance(facts: &Facts<'_>) -> Result<Held, Gap> {
    let cluster = facts.cluster()?;
    let daemons = facts.deployments_where("app in (rook-ceph-mon,rook-ceph-osd)");
    let (object, (daemons, marked)) = both(facts.ceph_cluster(), both(daemons, facts.marked_deployments()))?;
    if object.metadata.deletion_timestamp.is_some() {
        return Ok(Held::No(say!("the CephCluster {} is being deleted", cluster.name)));
    }
    if !object.spec.cleanup_policy.confirmation.is_empty() {
        return Ok(Held::No(say!("the CephCluster has a cleanup policy that destroys its data")));
    }
    if let Some(stands_in) = daemons.iter().find(|it| it.name.ends_with("-maintenance")) {
        return Ok(Held::No(say!("somebody works on a daemon: Deployment {} exists", stands_in.name)));
    }
    // Rook keeps its hands off an OSD that it replaces by the same label as everybody else.
    let replaced = marked.iter().find(|it| it.metadata.annotations.keys().any(|key| key.starts_with(REPLACED)));
    if let Some(replaced) = replaced {
        return Ok(Held::No(say!("Rook replaces the OSD of Deployment {}", replaced.metadata.name)));
    }
    let stopped = daemons.iter().find(|it| it.ready.1 == 0);
    Ok(Held::when(stopped.is_none(), || {
        let name = stopped.map_or("", |it| it.name.as_str());
        say!("Deployment {} was scaled to 0, which somebody has a reason for", name)
    }))
}

pub(super) fn pod_well(
    facts: &Facts<'_>,
    ns: &str,
    label: &str,
    node: Option<&str>,
    instead_of: &[String],
) -> Result<Held, Gap> {
    let rows = facts.pods_where(ns, label)?;
    let here = rows.iter().filter(|row| node.is_none_or(|node| row.node == node));
    let (old, new): (Vec<_>, Vec<_>) = here.partition(|row| instead_of.contains(&row.name));
    if let Some(old) = old.first() {
        return Ok(Held::No(say!("{} is still there ({})", old.name, old.status)));
    }
    Ok(Held::when(new.iter().any(|row| row.is_well()), || match new.first() {
        Some(row) => say!("{} is {} {}/{}", row.name, row.status, row.ready.0, row.ready.1),
        None => say!("there is no pod yet"),
    }))
}

pub(super) fn pods_well(
    facts: &Facts<'_>,
    ns: &str,
    label: &str,
    at_least: usize,
    instead_of: &[String],
) -> Result<Held, Gap> {
    let rows = facts.pods_where(ns, label)?;
    if let Some(old) = rows.iter().find(|row| instead_of.contains(&row.name)) {
        return Ok(Held::No(say!("{} is still there ({})", old.name, old.status)));
    }
    let well = rows.iter().filter(|row| row.is_well()).count();
    Ok(Held::when(well >= at_least, || say!("{} of {} are well", well, at_least)))
}

/// A node that is cordoned or lost gives no pod its place back.
pub(super) fn takes_pods(facts: &Facts<'_>, node: &str) -> Result<Held, Gap> {
    let row = facts.nodes()?.iter().find(|row| row.name == node);
    Ok(match row {
        Some(row) => Held::when(row.is_ready() && !row.is_cordoned(), || say!("it is {}", row.status)),
        None => Held::No(say!("there is no such node")),
    })
}

pub(super) fn node_ready(facts: &Facts<'_>, node: &str) -> Result<Held, Gap> {
    let row = facts.nodes()?.iter().find(|row| row.name == node);
    Ok(Held::when(row.is_some_and(NodeRow::is_ready), || match row {
        Some(row) => say!("it is {}", row.status),
        None => say!("there is no such node"),
    }))
}

pub(super) fn still_down(facts: &Facts<'_>, ns: &str, pod: &str) -> Result<Held, Gap> {
    let ready = facts.object::<Pod>(ns, pod)?.is_some_and(Pod::is_ready);
    Ok(Held::when(!ready, || say!("it has become Ready by itself")))
}

pub(super) fn lease_stale(facts: &Facts<'_>, ns: &str, name: &str) -> Result<Held, Gap> {
    let lease = facts.object::<Lease>(ns, name)?;
    let renewed = lease.and_then(|lease| lease.spec.renew_time);
    let age = renewed.map(|renewed| facts.now().duration_since(renewed));
    Ok(Held::when(age.is_none_or(|age| age >= LEADERLESS), || {
        let holder = lease.map_or("", |lease| lease.spec.holder_identity.as_str());
        say!("{} did so {} s ago", holder, age.unwrap_or_default().as_secs())
    }))
}

/// What a person changes in a resource of Rook's is only a wish until the operator sees it.
pub(super) fn operator_runs(facts: &Facts<'_>) -> Result<Held, Gap> {
    let ns = &facts.cluster()?.operator_ns;
    pod_well(facts, ns, OPERATOR_LABEL, None, &[])
}

pub(super) fn ovn_leads(facts: &Facts<'_>) -> Result<Held, Gap> {
    let faults = ovn_central_down::faults(ovn::central(facts, ovn::namespace(facts)?)?);
    Ok(Held::when(faults.is_empty(), || {
        say!("ovn-central has {}", clauses(faults.into_iter().map(|(what, shown)| say!("{} ({})", what, shown))))
    }))
}

/// A DaemonSet that is told to wait for deletions, or that rolls out, makes another pod than the one that goes.
pub(super) fn same_revision(facts: &Facts<'_>, ns: &str, pod: &str) -> Result<Held, Gap> {
    const REVISION: &str = "controller-revision-hash";
    let Some(pod) = facts.object::<Pod>(ns, pod)? else { return Ok(Held::Yes) };
    let Some(owner) = pod.metadata.controller().filter(|owner| owner.kind == "DaemonSet") else {
        return Ok(Held::Yes);
    };
    let Some(set) = facts.object::<DaemonSet>(ns, &owner.name)? else {
        return Ok(Held::No(say!("its DaemonSet {} is gone: no pod would come back", owner.name)));
    };
    let label = set.pod_labels();
    let pods = facts.list::<Pod>(Some(ns), Select::label(label))?;
    let revision = |pod: &Pod| pod.metadata.labels.get(REVISION).cloned().unwrap_or_default();
    // The revision that its DaemonSet gives out now is the one of the youngest pod.
    let newest = pods.iter().max_by_key(|pod| pod.metadata.creation_timestamp).map(revision);
    if set.spec.update_strategy.kind == "OnDelete"
        && set.status.updated_number_scheduled < set.status.desired_number_scheduled
    {
        return Ok(Held::No(say!(
            "DaemonSet {} changes its pods when they are deleted (OnDelete), and {} of {} have not been changed yet",
            owner.name,
            set.status.desired_number_scheduled - set.status.updated_number_scheduled,
            set.status.desired_number_scheduled
        )));
    }
    let own = revision(pod);
    Ok(Held::when(newest.is_none_or(|newest| newest == own), || {
        say!(
            "the pod is of an older revision of DaemonSet {} than others: deleting it would also change it",
            owner.name
        )
    }))
}

pub(super) fn boot_settled(facts: &Facts<'_>, node: &str) -> Result<Held, Gap> {
    const SETTLED: SignedDuration = SignedDuration::from_mins(5);
    let boots = boots(facts, |it| it == node)?;
    match boots.seen.get(node) {
        Some(boot) => {
            let up = facts.now().duration_since(boot.at);
            Ok(Held::when(up >= SETTLED, || say!("it booted {} s ago", up.as_secs())))
        }
        None => match boots.blind.into_iter().next() {
            Some(unknown) => Err(Gap::Unknown(unknown)),
            None => Ok(Held::Yes),
        },
    }
}

pub(super) fn namespace_gone(facts: &Facts<'_>, namespace: &str) -> Result<Held, Gap> {
    let found = facts.object::<Namespace>("", namespace)?;
    Ok(Held::when(found.is_none(), || say!("it exists")))
}

/// The proofs of NET015, had again.
pub(super) fn leaked(facts: &Facts<'_>, sights: &[String]) -> Result<Held, Gap> {
    let networks = storage_networks(facts)?;
    let found = leaks(facts, &networks)?;
    let books = found.iter().flat_map(|found| &found.books);
    let still: Vec<String> = books.flat_map(|(book, given)| given.iter().map(|it| sight(book, it))).collect();
    let other = sights.iter().find(|sight| !still.contains(sight));
    Ok(Held::when(other.is_none(), || say!("{} is not", other.map_or("", String::as_str))))
}

/// A check that cannot look has not passed.
pub(super) fn passes(facts: &Facts<'_>, code: &str, object: Option<&str>) -> Result<Held, Gap> {
    let Ok(check) = lookup::check(code) else { return Ok(Held::No(say!("this version has no check {}", code))) };
    let (findings, blind) = match (check.run)(facts) {
        Ok(Answered::NotApplicable(_)) | Err(Gap::NotInstalled(_) | Gap::NotOffered(_)) => return Ok(Held::Yes),
        Ok(Answered::Judged { findings, blind }) => (findings, blind),
        Err(gap) => return Err(gap),
    };
    let about = |object: &str| findings.iter().find(|it| it.objects.iter().any(|other| other.to_string() == object));
    let found = object.map_or_else(|| findings.first(), about);
    match (found, blind.into_iter().next()) {
        (Some(finding), _) => Ok(Held::No(say!("{}: {}", code, finding.summary))),
        (None, Some(unknown)) => Err(Gap::Unknown(unknown)),
        (None, None) => Ok(Held::Yes),
    }
}
