use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{configurations, failed_webhook, webhook_object};
use crate::check;
use crate::check::{Answered, Evidence, Finding, Remedy, Text};
use crate::checks::opr::{OPERATOR, operator_log};
use crate::facts::{Facts, Gap, Settled, both};
use crate::objects::kube::{Event, Namespace, Service};
use crate::say;

check! {
    /// # What it looks at
    /// `failed calling webhook "…"` at least twice in the last twenty minutes, in the events of the cluster's and the
    /// operator's namespaces and in the operator's log. Only a webhook with `failurePolicy: Fail` refuses a write so. Its
    /// Service, which the message names, is then looked at: gone, or without a Ready pod behind it. One that has its
    /// Service and a Ready pod again is not reported for that reason; nor is one that no configuration names any more,
    /// once its last refusal is five minutes old.
    ///
    /// # Why it matters
    /// A policy engine that is half removed, or whose certificate ran out, stops every write that its rules cover:
    /// no pod of Rook starts, no resource is changed, and after a restart of all nodes it can hold up itself.
    ///
    /// # Confirm by hand
    /// `kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations -o yaml | grep -B30 '<webhook>'` and
    /// `kubectl -n <its namespace> get svc,endpointslices`.
    ///
    /// # Fix
    /// Bring its pods back, or renew its certificate. Only if its namespace or Service is gone for good: save the
    /// configuration, then delete it. Until then Rook's namespaces can be exempted by its `namespaceSelector`.
    /// `kubectl rookdoctor fix ACC006` does that if the namespace of its Service is gone, and keeps the configuration to
    /// bring it back.
    ///
    /// # References
    /// Kubernetes: Dynamic Admission Control, "Failure policy" and "Avoiding operating on the kube-system namespace".
    "ACC006" "webhook-dead" Access,
    needs: [Discovery, CephClusters, ClusterEvents, OperatorEvents, OperatorPods, Logs, Objects, PodTables],
    fix: delete_webhook,
    explained_by: [],
}

const RECENT: SignedDuration = SignedDuration::from_mins(20);
/// Of a backend that is Ready now, older failures may be over.
const FRESH: SignedDuration = SignedDuration::from_mins(5);
/// Once may be a restart of its backend.
const TWICE: u32 = 2;

/// What was said of one webhook.
struct Failure<'s> {
    times: u32,
    at: Option<Timestamp>,
    message: &'s str,
    evidence: Evidence,
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    // Without the list nobody knows whether there is a cluster; then this is unknown, not out of place.
    facts.ceph_clusters()?;
    let events = both(facts.cluster_events(), facts.operator_events());
    let logs = facts.each([()], |facts, ()| operator_log(facts));
    let ((ours, operators), logs) = both(events, logs)?;
    let mut failures: BTreeMap<&str, Failure<'_>> = BTreeMap::new();
    // Both namespaces may be one.
    let events: BTreeMap<&str, &Event> =
        ours.iter().chain(operators).map(|event| (event.metadata.name.as_str(), event)).collect();
    for event in events.into_values() {
        let times = event.count.max(event.series.as_ref().map_or(0, |series| series.count)).max(1);
        add(facts, &mut failures, &event.message, event.last_seen(), times, || Evidence::event(event));
    }
    for (pod, log) in logs.seen.iter().filter_map(|((), log)| *log) {
        for line in &log.lines {
            add(facts, &mut failures, &line.text, line.at, 1, || Evidence::log(&pod.ns, &pod.name, OPERATOR, line));
        }
    }
    let often = failures.into_iter().filter(|(_, failure)| failure.times >= TWICE);
    let judged = facts.each(often, |facts, (name, failure)| backend(facts, name, failure))?;
    let dead = judged.seen.into_iter().filter_map(|((name, failure), backend)| Some((name, failure, backend?)));
    let findings = dead.map(|(name, failure, backend)| finding(name, failure, backend)).collect();
    Ok(Answered::judged(findings).blind(judged.blind).blind(logs.blind))
}

fn add<'s>(
    facts: &Facts<'_>,
    failures: &mut BTreeMap<&'s str, Failure<'s>>,
    message: &'s str,
    at: Option<Timestamp>,
    times: u32,
    evidence: impl Fn() -> Evidence,
) {
    let Some(name) = failed_webhook(message) else { return };
    if at.is_none_or(|at| facts.now().duration_since(at) > RECENT) {
        return;
    }
    let known = failures.entry(name).or_insert_with(|| Failure { times: 0, at: None, message, evidence: evidence() });
    known.times = known.times.saturating_add(times);
    if known.at < at {
        (known.at, known.message, known.evidence) = (at, message, evidence());
    }
}

/// Why a webhook does not answer, and what would help.
struct Backend {
    why: Text,
    fix: Text,
    commands: Vec<String>,
    /// The tool can take it away.
    auto: bool,
}

impl Backend {
    fn new(why: Text, fix: Text, command: &str) -> Self {
        Self { why, fix, commands: vec![command.to_owned()], auto: false }
    }
}

/// `https://<service>.<namespace>.svc:443/…`, as the API server calls it; none for a webhook by URL.
pub(crate) fn service(message: &str) -> Option<(&str, &str)> {
    let (_, rest) = message.split_once("Post \"https://")?;
    let host = rest.split(['/', ':', '?', '"']).next()?;
    host.strip_suffix(".svc")?.split_once('.')
}

/// What is wrong with the webhook's backend now; none if it is well again, or called no more.
fn backend(facts: &Facts<'_>, webhook: &str, failure: &Failure<'_>) -> Result<Option<Backend>, Gap> {
    let message = failure.message;
    let fresh = failure.at.is_some_and(|at| facts.now().duration_since(at) <= FRESH);
    if !fresh && configurations(facts, webhook)?.is_empty() {
        return Ok(None);
    }
    let Some((name, ns)) = service(message) else {
        let command = "kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations";
        let why = say!("its URL does not answer");
        return Ok(Some(Backend::new(why, say!("bring the address that is named back"), command)));
    };
    let command = format!("kubectl -n {ns} get svc,endpointslices,pods");
    let Some(service) = facts.object::<Service>(ns, name)? else {
        return absent(facts, webhook, name, ns).map(Some);
    };
    if message.contains("x509") && fresh {
        let why = say!("the certificate of its Service {}/{} is not accepted", ns, name);
        return Ok(Some(Backend::new(
            why,
            say!("renew its certificate and the caBundle of its configuration"),
            &command,
        )));
    }
    let selector: Vec<String> = service.spec.selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let pods = facts.pods_where(ns, &selector.join(","))?;
    // A message of what was absent is old news once it is there.
    let absent = ["not found", "no endpoints available"].iter().any(|text| message.contains(text));
    let ready = !selector.is_empty() && pods.iter().any(|pod| pod.status == "Running" && pod.is_well());
    if ready && (absent || !fresh) {
        return Ok(None);
    }
    let why = match ready {
        true => say!("its Service {}/{} does not answer, though a pod of it is Ready", ns, name),
        false => say!("no pod of its Service {}/{} is Ready", ns, name),
    };
    let fix = match ready {
        true => say!("look at what lies between the API server and its pods: NetworkPolicy, firewall, the pod's port"),
        false => say!("bring its pods back; if they are gone for good, save the webhook's configuration and delete it"),
    };
    Ok(Some(Backend::new(why, fix, &command)))
}

/// Its Service is gone; with its namespace, if that is known to be gone, too. The finding stands without knowing that.
fn absent(facts: &Facts<'_>, webhook: &str, name: &str, ns: &str) -> Result<Backend, Gap> {
    let (home, found) = both(facts.object::<Namespace>("", ns).settled(), configurations(facts, webhook).settled())?;
    let gone = home.is_ok_and(|home| home.is_none());
    let found = found.unwrap_or_default();
    let why = match gone {
        true => say!("its Service {}/{} does not exist, nor does the namespace {}", ns, name, ns),
        false => say!("its Service {}/{} does not exist", ns, name),
    };
    let fix = say!("install its backend again; if it is gone for good, save the webhook's configuration and delete it");
    let mut backend = Backend::new(why, fix, &format!("kubectl get namespace {ns}; kubectl -n {ns} get svc"));
    for configuration in &found {
        let (word, name) = (configuration.word(), configuration.name);
        backend.commands.push(format!("kubectl get {word} {name} -o yaml > {word}-{name}.yaml"));
        backend.commands.push(format!("kubectl delete {word} {name}"));
    }
    backend.auto = gone && !found.is_empty() && found.iter().all(|configuration| configuration.is_served_from(ns));
    Ok(backend)
}

fn finding(name: &str, failure: Failure<'_>, backend: Backend) -> Finding {
    let summary = say!("admission webhook {} refuses writes: {}", name, backend.why);
    let named = backend.commands.len() > 1;
    let remedy = backend.commands.into_iter().fold(Remedy::guided(backend.fix), Remedy::command);
    let remedy = if named {
        remedy
    } else {
        remedy.command(format!(
            "kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations -o json | jq -r '.items[] | select(any(.webhooks[]; .name == \"{name}\")) | .kind + \"/\" + .metadata.name'"
        ))
    };
    let remedy = if backend.auto { remedy.auto() } else { remedy };
    Finding::critical(webhook_object(name), summary, remedy).since(failure.at).evidence([failure.evidence])
}

#[cfg(test)]
mod tests {
    use super::service;

    #[test]
    fn a_service_is_read_from_the_call() {
        let call = |url: &str| format!(r#"failed calling webhook "a.b": failed to call webhook: Post "{url}": EOF"#);
        for (url, expected) in [
            ("https://kyverno-svc.kyverno.svc:443/mutate/fail?timeout=10s", Some(("kyverno-svc", "kyverno"))),
            ("https://gate.ns.svc/v1?timeout=3s", Some(("gate", "ns"))),
            ("https://hooks.example.org/v1", None),
        ] {
            assert_eq!(service(&call(url)), expected, "{url}");
        }
    }
}
