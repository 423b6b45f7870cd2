use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::ovn_central_down::faults;
use super::{LogOf, central, leader_log, namespace, network, proof};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity, Text};
use crate::checks::net::{daemon_place, is_starting};
use crate::checks::opr::older;
use crate::facts::{Facts, Gap, Log, LogLine, Select, Unknown, both, kinds};
use crate::lang::{Words, listed};
use crate::objects::kube::{Event, Pod};
use crate::say;

check! {
    /// # What it looks at
    /// Where ovn-central has no leader or a pod that is not Ready: its logs and the kubelet's words about its probe,
    /// for a database that is corrupt, inconsistent, stuck while it joins the others, on a full disk, or that counts
    /// a member by an address it does not have. And always the log of the leading kube-ovn-controller of the last
    /// quarter of an hour: `inconsistent data`, and `lsp lost for pod`, which names pods whose port is not in the
    /// northbound database.
    ///
    /// # Why it matters
    /// A database in this state takes no new port, or never comes back by itself. A running pod whose port was lost,
    /// as after an unclean stop or an old backup, has no network until it is made again.
    ///
    /// # Confirm by hand
    /// In an ovn-central pod `ovn-appctl -t /var/run/ovn/ovnnb_db.ctl ovsdb-server/get-db-storage-status
    /// OVN_Northbound` (must be `status: ok`) and `… cluster/status OVN_Northbound`; the same for ovnsb_db.
    ///
    /// # Fix
    /// Free the disk first if it is full, and restart the pod. One bad member of three: take it out with `kubectl ko nb
    /// kick`, move its database file away and let it join anew, while the other two have a leader. If the majority is
    /// bad: `kubectl ko nb restore`, from a copy whose age is known. Pods without a port are deleted one by one.
    ///
    /// # References
    /// Kube-OVN: operation manual, "OVN DB backup and recovery"; dist/images/start-db.sh, ovn-healthcheck.sh;
    /// kube-ovn #3919, #2943, #1968, #1573, #1299.
    "OVN011" "ovn-database-broken" Ovn,
    needs: [Discovery, DaemonSets, PodTables, Objects, Logs],
    explained_by: [(node::node_pressure, Node), (node::node_not_ready, Node), (node::node_rebooted, Node)],
}

/// The garbage collection of ports, which says what is lost, runs every six minutes.
const FRESH: SignedDuration = SignedDuration::from_mins(15);

/// What ovn-central says of its databases, and what that means.
const SIGNS: &[(&str, Words)] = &[
    ("No space left on device", || say!("has no space on its disk")),
    ("not in env NODE_IPS", || say!("runs on a node that the cluster of databases does not count (NODE_IPS)")),
    (INCONSISTENT, || say!("holds inconsistent data")),
    ("failed to fix database file", || say!("found its file corrupt and could not mend it")),
    ("attempts to truncate log from", || say!("found its file corrupt")),
    ("detected database corruption for file", || say!("found its file corrupt")),
    ("stuck in joining state", || say!("is stuck while it joins the others")),
];
const INCONSISTENT: &str = "inconsistent data";

fn meaning(text: &str) -> Option<Text> {
    SIGNS.iter().find(|(sign, _)| text.contains(sign)).map(|(_, means)| means())
}

/// What shows that a database is broken, and where.
struct Broken<'s> {
    means: Text,
    shown: Evidence,
    node: Option<&'s str>,
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let ns = namespace(facts)?;
    let (pods, leader) = both(central(facts, ns), leader_log(facts, ns))?;
    let leaderless = !pods.is_empty() && !faults(pods).is_empty();
    let starting = pods.iter().any(|pod| is_starting(pod, facts.now()));
    let suspects: Vec<&Pod> = pods.iter().filter(|pod| !starting && (leaderless || !pod.is_ready())).collect();
    let lost = leader.map(|(_, log)| lost_ports(facts, log)).transpose();
    let (broken, lost) = both(broken(facts, ns, &suspects), lost)?;
    let (mut broken, mut blind) = broken;
    let refused = leader.and_then(|(pod, log)| Some((pod, *recent(facts, log, INCONSISTENT).last()?)));
    broken.extend(refused.map(|(pod, line)| Broken {
        means: say!("holds inconsistent data"),
        shown: Evidence::log(ns, pod, "kube-ovn-controller", line),
        node: None,
    }));
    let total = leaderless && !starting || refused.is_some();
    let mut findings: Vec<Finding> = (!broken.is_empty()).then(|| database(ns, &broken, total)).into_iter().collect();
    if let (Some((pod, _)), Some((lost, unread))) = (leader, lost) {
        findings.extend(ports(facts, ns, pod, lost)?);
        blind.extend(unread);
    }
    Ok(Answered::judged(findings).blind(blind))
}

/// What the suspects say of their databases, now or before their last end, and what their probe says.
fn broken<'s>(facts: &Facts<'s>, ns: &str, suspects: &[&'s Pod]) -> Result<(Vec<Broken<'s>>, Vec<Unknown>), Gap> {
    if suspects.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let logs = facts.each(suspects.iter().copied(), |facts, pod| {
        let now = LogOf { pod: &pod.metadata.name, container: "ovn-central", previous: false };
        let before = LogOf { previous: true, ..now };
        let restarted = pod.statuses().any(|status| status.name == "ovn-central" && status.restart_count > 0);
        let logs = if restarted { vec![now, before] } else { vec![now] };
        let since = said_since(pod, facts.now());
        proof(facts, ns, &logs, |line| meaning(&line.text).is_some() && line.at.is_none_or(|at| at >= since))
    });
    let (logs, events) = both(logs, facts.list::<Event>(Some(ns), Select::field("reason=Unhealthy")))?;
    let of_logs = logs.seen.iter().filter_map(|(pod, shown)| Some((*pod, shown.clone()?)));
    let probed = suspects.iter().filter_map(|pod| {
        let is_it = |event: &&Event| event.is_about("Pod", ns, &pod.metadata.name) && meaning(&event.message).is_some();
        let event = events.iter().find(|event| is_it(event) && !older(facts, event.last_seen(), FRESH))?;
        Some((*pod, Evidence::event(event)))
    });
    let broken = of_logs.chain(probed).filter_map(|(pod, shown)| {
        let node = Some(pod.spec.node_name.as_str()).filter(|node| !node.is_empty());
        Some(Broken { means: meaning(&shown.excerpt)?, shown, node })
    });
    Ok((broken.collect(), logs.blind))
}

/// From when on a pod's words count: from shortly before it was not Ready. One that mended its file when it started
/// and is Ready has other troubles.
fn said_since(pod: &Pod, now: Timestamp) -> Timestamp {
    pod.unready_since().filter(|_| !pod.is_ready()).unwrap_or(now).checked_sub(FRESH).unwrap_or(now)
}

fn recent<'l>(facts: &Facts<'_>, log: &'l Log, text: &str) -> Vec<&'l LogLine> {
    let lately = |line: &&LogLine| line.at.is_some() && !older(facts, line.at, FRESH);
    log.lines.iter().filter(|line| line.text.contains(text)).filter(lately).collect()
}

fn database(ns: &str, broken: &[Broken<'_>], total: bool) -> Finding {
    let means: BTreeMap<String, &Text> = broken.iter().map(|it| (it.means.english(), &it.means)).collect();
    let means = listed(means.into_values());
    let (severity, summary) = match total {
        true => (Severity::Critical, say!("a database of ovn-central {}: no pod gets a port", means)),
        false => (Severity::Warning, say!("a database of ovn-central {}: the other members serve", means)),
    };
    let remedy = Remedy::guided(say!("see the state of each member and free its disk if it is full; let one bad member join anew while the others have a leader, and restore only if the majority is bad; do not restart ovs-ovn on any node meanwhile"))
        .command(format!("kubectl -n {ns} get pods -l app=ovn-central -o wide -L ovn-nb-leader,ovn-sb-leader"))
        .command(format!("kubectl -n {ns} exec deploy/ovn-central -- ovn-appctl -t /var/run/ovn/ovnnb_db.ctl ovsdb-server/get-db-storage-status OVN_Northbound"))
        .command(format!("kubectl -n {ns} exec deploy/ovn-central -- ovn-appctl -t /var/run/ovn/ovnsb_db.ctl ovsdb-server/get-db-storage-status OVN_Southbound"));
    Finding::new(severity, ObjectRef::new(kinds::DEPLOYMENT, ns, "ovn-central"), summary, remedy)
        .detail("database")
        .at(broken.iter().filter_map(|it| it.node).map(Place::node))
        .at(total.then(|| network("ovn")))
        .evidence(broken.iter().take(4).map(|it| it.shown.clone()))
}

type Lost<'s> = (Vec<(&'s LogLine, &'s Pod)>, Vec<Unknown>);

/// Running pods whose port the controller missed lately: `<pod>.<namespace>`, with a provider behind it for those of
/// a NAD.
fn lost_ports<'s>(facts: &Facts<'s>, log: &'s Log) -> Result<Lost<'s>, Gap> {
    let mut named: BTreeSet<&str> = BTreeSet::new();
    let lines = recent(facts, log, "lsp lost for pod ").into_iter().rev();
    let ports = lines.filter_map(|line| Some((line, port(&line.text)?))).filter(|(_, port)| named.insert(port));
    let ports: Vec<(&LogLine, &str)> = ports.collect();
    let opened = facts.each(ports, |facts, (_, port)| {
        let mut parts = port.split('.');
        let (name, ns) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        facts.object::<Pod>(ns, name)
    })?;
    let still = |line: &LogLine, pod: &Pod| {
        let older = pod.metadata.creation_timestamp.zip(line.at).is_some_and(|(made, said)| made < said);
        older && pod.metadata.deletion_timestamp.is_none() && pod.status.phase == "Running"
    };
    let lost = opened.seen.into_iter().filter_map(|((line, _), pod)| Some((line, pod?)));
    Ok((lost.filter(|(line, pod)| still(line, pod)).collect(), opened.blind))
}

/// The port that the controller misses; those of nodes have no dot.
fn port(text: &str) -> Option<&str> {
    let port = text.split_once("lsp lost for pod ")?.1.split(',').next()?;
    port.contains('.').then_some(port)
}

fn ports(
    facts: &Facts<'_>,
    ns: &str,
    controller: &str,
    mut lost: Vec<(&LogLine, &Pod)>,
) -> Result<Option<Finding>, Gap> {
    let cluster = facts.cluster()?;
    let ours = |pod: &Pod| [&cluster.ns, &cluster.operator_ns].contains(&&pod.metadata.namespace);
    lost.sort_by_key(|(_, pod)| (!ours(pod), &pod.metadata.namespace, &pod.metadata.name));
    let mut objects = lost.iter().map(|(_, pod)| ObjectRef::pod(pod));
    let Some(first) = objects.next() else { return Ok(None) };
    let hurt = lost.iter().filter(|(_, pod)| ours(pod)).count();
    let severity = if hurt > 0 { Severity::Critical } else { Severity::Warning };
    let summary = say!(
        "{} running pod(s) ({} of Rook) have no port in OVN's northbound database any more: they have no network",
        lost.len(),
        hurt
    );
    let mut remedy = Remedy::guided(say!(
        "delete these pods one by one, so that they are made again with a port; monitors and OSDs only while the quorum holds and PGs are active without them"
    ));
    for (_, pod) in lost.iter().take(5) {
        remedy = remedy.command(format!("kubectl -n {} delete pod {}", pod.metadata.namespace, pod.metadata.name));
    }
    Ok(Some(
        Finding::new(severity, first, summary, remedy)
            .also(objects)
            .at(lost.iter().filter_map(|(_, pod)| daemon_place(pod)))
            .since(lost.iter().filter_map(|(line, _)| line.at).min())
            .evidence(lost.iter().take(3).map(|(line, _)| Evidence::log(ns, controller, "kube-ovn-controller", line))),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_the_port_of_a_pod() {
        let line = |port: &str| {
            format!("E0217 13:14:24.2 1 gc.go:459] lsp lost for pod {port}, please delete the pod and retry")
        };
        assert_eq!(port(&line("web-0.apps")), Some("web-0.apps"));
        assert_eq!(port(&line("web-0.apps.fast.storage.ovn")), Some("web-0.apps.fast.storage.ovn"));
        assert_eq!(port(&line("node-elm-02")), None);
        assert_eq!(port("start to gc logical switch ports"), None);
    }

    #[test]
    fn signs_are_told_apart() {
        for (text, means) in [
            (
                "ovn-nbctl: transaction error: {\"details\":\"inconsistent data\",\"error\":\"ovsdb error\"}",
                Some("holds inconsistent data"),
            ),
            (
                "Readiness probe failed: nb health check failed: stuck in joining state",
                Some("is stuck while it joins the others"),
            ),
            ("Readiness probe failed: nb health check failed", None),
            (
                "ERROR! host ip 10.1.0.4 not in env NODE_IPS 10.1.0.1,10.1.0.2",
                Some("runs on a node that the cluster of databases does not count (NODE_IPS)"),
            ),
        ] {
            assert_eq!(meaning(text).map(|it| it.english()).as_deref(), means, "{text}");
        }
    }
}
