use jiff::SignedDuration;

use super::{LOG_ERRORS, namespace, pods};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity};
use crate::checks::net::sandbox::failures;
use crate::checks::net::{down, fails_anew, is_out_of_memory, last_words, status_evidence, trouble};
use crate::checks::node::memory_limit_too_small::set_memory;
use crate::facts::tables::PodRow;
use crate::facts::{Facts, Gap, Settled, kinds};
use crate::objects::kube::{Deployment, Event, Lease, Pod};
use crate::say;

check! {
    /// # What it looks at
    /// The pods of the Deployment `kube-ovn-controller`: none Ready, some not Ready or crashing, or none of
    /// them renewing the leader's Lease while the nodes renew theirs. Pods that hang without an address since
    /// are named with it.
    ///
    /// # Why it matters
    /// It gives every new pod its address and port. Running pods keep theirs; new ones stay in
    /// ContainerCreating with `no address allocated to pod`. One of several replicas down costs redundancy only.
    ///
    /// # Confirm by hand
    /// `kubectl -n kube-system get pods -l app=kube-ovn-controller -o wide` and
    /// `kubectl -n kube-system get lease kube-ovn-controller -o yaml`.
    ///
    /// # Fix
    /// Read the log; if ovn-central has its leaders, delete the pod. Where all are Ready and none leads, the one that
    /// holds the Lease hangs: delete that. `kubectl rookdoctor fix OVN004` does either, one pod at a time. Where the
    /// memory limit or the image is at fault, change the Deployment.
    ///
    /// # References
    /// Kube-OVN: reference, "Components"; cmd/controller (leader election by the Lease kube-ovn-controller).
    "OVN004" "kube-ovn-controller-unhealthy" Ovn,
    needs: [Discovery, DaemonSets, PodTables, Objects, Logs, NodeLeases, SandboxEvents],
    fix: restart_kube_ovn,
    explained_by: [(ovn::ovn_central_down, Cluster), (node::node_not_ready, Node), (node::node_rebooted, Node), (node::image_pull_failing, Node)],
}

/// The name of the Deployment and of its Lease.
pub(crate) const CONTROLLER: &str = "kube-ovn-controller";

/// Ten times as long as the Lease lasts.
pub(crate) const LEADERLESS: SignedDuration = SignedDuration::from_mins(5);

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let ns = namespace(facts)?;
    let rows = pods(facts, ns, "kube-ovn-controller-")?;
    if rows.is_empty() {
        return absent(facts, ns);
    }
    let down = down(facts, rows)?;
    let served = rows.iter().any(|row| row.is_well());
    let told = facts.each(down.seen, |facts, (_, pod)| last_words(facts, pod, "kube-ovn-controller", LOG_ERRORS))?;
    let mut findings: Vec<_> = told.seen.into_iter().map(|((_, pod), words)| finding(pod, served, words)).collect();
    if findings.is_empty() && served {
        findings.extend(leaderless(facts, ns, rows)?);
    }
    Ok(Answered::judged(with_victims(facts, findings)?).blind(down.blind))
}

/// The pods that got no address since; where they cannot be seen, the controller's fault stands without them.
fn with_victims(facts: &Facts<'_>, findings: Vec<Finding>) -> Result<Vec<Finding>, Gap> {
    if findings.is_empty() {
        return Ok(findings);
    }
    let Ok(failures) = failures(facts).settled()? else { return Ok(findings) };
    let without = failures.groups.iter().filter(|group| group.error.contains("no address allocated"));
    let events: Vec<&Event> = without.flat_map(|group| group.events.iter().copied()).collect();
    let shown = || events.iter().take(3).map(|event| Evidence::event(event));
    Ok(findings.into_iter().map(|finding| finding.evidence(shown())).collect())
}

fn absent(facts: &Facts<'_>, ns: &str) -> Result<Answered, Gap> {
    if facts.object::<Deployment>(ns, CONTROLLER)?.is_none() {
        return Ok(Answered::NotApplicable("kube-ovn-controller does not run in this cluster"));
    }
    let object = ObjectRef::new(kinds::DEPLOYMENT, ns, CONTROLLER);
    let remedy = Remedy::guided(say!("find out who scaled it down, and give it its replicas back"))
        .command(format!("kubectl -n {ns} describe deployment kube-ovn-controller"));
    let evidence = Evidence::field(&object, "pods with app=kube-ovn-controller", "none");
    let summary = say!("kube-ovn-controller has no pod: new pods get no address");
    let findings = vec![Finding::critical(object, summary, remedy).evidence([evidence])];
    Ok(Answered::judged(with_victims(facts, findings)?))
}

fn finding(pod: &Pod, served: bool, words: Option<Evidence>) -> Finding {
    let (ns, name, node) = (&pod.metadata.namespace, &pod.metadata.name, &pod.spec.node_name);
    let (how, status) = trouble(pod);
    let (severity, summary) = if served {
        (Severity::Warning, say!("a replica of kube-ovn-controller ({}) {}; another serves", name, how))
    } else {
        (Severity::Critical, say!("kube-ovn-controller ({}) {}: new pods get no address", name, how))
    };
    let log = format!("kubectl -n {ns} logs {name} --tail=50");
    let remedy = if status.is_some_and(|status| status.terminated().is_some_and(is_out_of_memory)) {
        Remedy::guided(say!(
            "give kube-ovn-controller more memory; its pods are then replaced, which interrupts no pod that runs"
        ))
        .command(set_memory(pod, "deployment", CONTROLLER, CONTROLLER))
        .command(format!("kubectl -n {ns} rollout status deployment {CONTROLLER} --timeout=10m"))
    } else if fails_anew(pod) {
        Remedy::guided(say!("the image or the configuration of the Deployment keeps this pod from starting, and a new one would fare the same: mend that"))
            .command(format!("kubectl -n {ns} describe pod {name}"))
    } else {
        Remedy::guided(say!("read its log; if ovn-central has its leaders, delete the pod"))
            .command(log)
            .command(format!("kubectl -n {ns} delete pod {name}"))
            .auto()
    };
    let place = Some(node).filter(|node| !node.is_empty()).map(Place::node);
    Finding::new(severity, ObjectRef::pod(pod), summary, remedy)
        .at(place)
        .since(pod.unready_since())
        .evidence(status.map(|status| status_evidence(pod, status)))
        .evidence(words)
}

/// All replicas are Ready and none leads. The Lease is held against the nodes', which are renewed all the
/// time, and not against the clock: a bundle is not written in one moment.
fn leaderless(facts: &Facts<'_>, ns: &str, rows: &[PodRow]) -> Result<Option<Finding>, Gap> {
    let Some(lease) = facts.object::<Lease>(ns, CONTROLLER)? else { return Ok(None) };
    let Some(renewed) = lease.spec.renew_time else { return Ok(None) };
    if facts.now().duration_since(renewed) < LEADERLESS {
        return Ok(None);
    }
    let nodes = facts.node_leases()?.iter().filter_map(|lease| lease.spec.renew_time).max();
    if nodes.is_none_or(|nodes| nodes.duration_since(renewed) < LEADERLESS) {
        return Ok(None);
    }
    let object = ObjectRef::of::<Lease>(&lease.metadata);
    let holder = rows.iter().find(|row| row.name == lease.spec.holder_identity);
    let remedy = Remedy::guided(say!(
        "delete the pod that holds the Lease and does not renew it; if nobody leads then either, restart kube-ovn-controller. Running pods keep their addresses"
    ));
    let remedy = match holder {
        Some(row) => remedy.command(format!("kubectl -n {ns} delete pod {}", row.name)).auto(),
        None => remedy,
    };
    let remedy = remedy.command(format!("kubectl -n {ns} rollout restart deployment {CONTROLLER}"));
    let summary = say!("kube-ovn-controller is Ready and nobody leads: new pods get no address");
    let held = format!("{renewed}, held by {}", lease.spec.holder_identity);
    Ok(Some(Finding::critical(object.clone(), summary, remedy).since(Some(renewed)).evidence([Evidence::field(
        &object,
        "spec.renewTime",
        held,
    )])))
}
