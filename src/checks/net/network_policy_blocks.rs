use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use super::policies::{Direction, Leg, blockers};
use super::traffic::{AMONG_DAEMONS, DAEMON_PORTS, MON_PORTS, Party, Pods, TO_MONS, parties, suffers};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity, Text};
use crate::checks::csi::{Plugin, driver_object, plugins};
use crate::checks::mon::EXTERNAL;
use crate::checks::opr::operator_object;
use crate::facts::tables::PodRow;
use crate::facts::{Facts, Gap, both};
use crate::lang::listed;
use crate::objects::kube::NetworkPolicy;
use crate::say;

check! {
    /// # What it looks at
    /// NetworkPolicies in the namespaces of the cluster and of the operator that select Rook's pods and admit none of
    /// the peers that these need: everybody to the monitors (3300 or 6789), OSDs and mgr among each other (6800-7568),
    /// unless the public network is a NAD, which no policy governs. Judged as the API defines it, from the labels of the
    /// pods as they run. Pods on the host network are beyond any policy, and policies of other kinds (of Calico, of
    /// Cilium, for the administrator) are not looked at.
    ///
    /// # Why it matters
    /// A policy that denies everything is applied to a namespace within a second, and Rook ships none that admits its
    /// own daemons. Connections that are open may live on, so the fault shows at the next restart. It is critical where
    /// what the policy forbids is seen not to work, and else information: a CNI without policies (flannel) ignores them.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> describe networkpolicy`, and from the operator's pod
    /// `curl -s --max-time 5 <mon service address>:3300`, which must print `ceph v2`. A firewall between nodes is not
    /// observable from the API: from each node ask a monitor of another for 3300 and 6789 in that way.
    ///
    /// # Fix
    /// Admit the peers. Policies add up: one more that admits the traffic is enough, and the one that denies can stay.
    ///
    /// # References
    /// Kubernetes: "Network Policies"; Ceph: network configuration reference, "IP tables"; Rook: ceph-common-issues.
    "NET020" "network-policy-blocks" Net,
    needs: [
        Discovery, CephClusters, ClusterPolicies, OperatorPolicies, OperatorPods, MonPods, MgrPods, OsdPods, CsiPods,
        CsiDeployments, DaemonSets, Objects, CephStatus, ProvisionEvents,
    ],
    explained_by: [],
}

/// A connection that policies forbid: by which of them, on which side, between which pods.
struct Blocked<'s> {
    legs: (Party, Party),
    side: Direction,
    policies: Vec<&'s NetworkPolicy>,
}

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let cluster = facts.cluster()?;
    if cluster.external {
        return Ok(Answered::NotApplicable(EXTERNAL));
    }
    let (object, (ours, operators)) =
        both(facts.ceph_cluster(), both(facts.cluster_policies(), facts.operator_policies()))?;
    let network = &object.spec.network;
    let more = operators.iter().filter(|policy| policy.metadata.namespace != cluster.ns);
    let policies: Vec<&NetworkPolicy> = ours.iter().chain(more).collect();
    if network.is_host() {
        return Ok(Answered::NotApplicable("no policy governs the host network, where the daemons are"));
    }
    if policies.is_empty() {
        return Ok(Answered::passed());
    }
    let (pods, mut blind) = parties(facts)?;
    let public_is_nad = network.provider == "multus" && network.selectors.contains_key("public");
    let data = if public_is_nad { &[][..] } else { AMONG_DAEMONS };
    let legs = TO_MONS.iter().map(|leg| (leg, MON_PORTS)).chain(data.iter().map(|leg| (leg, DAEMON_PORTS)));
    let blocked: Vec<Blocked<'_>> =
        legs.filter_map(|(leg, ports)| find_blocked(&policies, &pods, *leg, ports)).collect();
    let cut_off: BTreeSet<Party> = blocked.iter().map(|it| it.legs.0).collect();
    let told = facts.each(cut_off, |facts, party| suffers(facts, *party))?;
    blind.extend(told.blind);
    let hurts: BTreeMap<Party, bool> = told.seen.into_iter().collect();
    let mut groups: BTreeMap<Vec<(&str, &str)>, Vec<&Blocked<'_>>> = BTreeMap::new();
    for it in blocked.iter().filter(|it| hurts.contains_key(&it.legs.0)) {
        let names = it.policies.iter().map(|policy| full_name(policy)).collect();
        groups.entry(names).or_default().push(it);
    }
    let findings = groups.into_values().map(|group| {
        let bad: Vec<&Blocked<'_>> = group.iter().copied().filter(|it| hurts.get(&it.legs.0) == Some(&true)).collect();
        if bad.is_empty() { finding(facts, Severity::Info, &group) } else { finding(facts, Severity::Critical, &bad) }
    });
    Ok(Answered::judged(findings.collect::<Result<_, Gap>>()?).blind(blind))
}

fn full_name(policy: &NetworkPolicy) -> (&str, &str) {
    (&policy.metadata.namespace, &policy.metadata.name)
}

fn find_blocked<'s>(
    policies: &[&'s NetworkPolicy],
    pods: &Pods<'_>,
    legs: (Party, Party),
    ports: &[RangeInclusive<u16>],
) -> Option<Blocked<'s>> {
    let (from, to) = (pods.get(&legs.0)?, pods.get(&legs.1)?);
    let pairs = from.iter().flat_map(|from| to.iter().map(move |to| (*from, *to)));
    let mut pairs = pairs.filter(|(from, to)| from.metadata.name != to.metadata.name);
    let (side, policies) = pairs.find_map(|(from, to)| blockers(policies, Leg { from, to, ports }))?;
    Some(Blocked { legs, side, policies })
}

fn finding(facts: &Facts<'_>, severity: Severity, group: &[&Blocked<'_>]) -> Result<Finding, Gap> {
    let guilty: BTreeMap<&str, &NetworkPolicy> =
        group.iter().flat_map(|it| it.policies.iter().map(|policy| (policy.metadata.name.as_str(), *policy))).collect();
    let objects: Vec<ObjectRef> =
        guilty.values().map(|policy| ObjectRef::of::<NetworkPolicy>(&policy.metadata)).collect();
    let legs: Vec<Text> = group
        .iter()
        .map(|it| match it.legs {
            (from, to) if from == to => say!("{} from each other", from.told()),
            (from, to) => say!("{} from {}", from.told(), to.told()),
        })
        .collect();
    let names = guilty.keys().copied().collect::<Vec<_>>().join(", ");
    let summary = if severity == Severity::Critical {
        say!("the NetworkPolicy {} keeps {}", names, listed(legs))
    } else {
        say!(
            "the NetworkPolicy {} is written to keep {}, and it works all the same: the CNI ignores policies, or the connections are older than it",
            names,
            listed(legs)
        )
    };
    let mut remedy = Remedy::guided(say!(
        "admit the pods of the cluster's and the operator's namespace to the monitors (3300, 6789) and to mgr and OSDs (6800-7568), and on the side of egress too if it is governed; policies add up, so one more that admits is enough"
    ));
    for policy in guilty.values() {
        let (ns, name) = (&policy.metadata.namespace, &policy.metadata.name);
        remedy = remedy.command(format!("kubectl -n {ns} edit networkpolicy {name}"));
    }
    let evidence = group.iter().flat_map(|it| it.policies.iter().map(move |policy| evidence(it, policy)));
    let mut finding = Finding::new(severity, objects[0].clone(), summary, remedy)
        .also(objects[1..].iter().cloned())
        .evidence(evidence.take(6));
    if guilty.len() > 1 {
        // Another set of policies may begin with the same one.
        finding = finding.detail(guilty.keys().skip(1).copied().collect::<Vec<_>>().join("+"));
    }
    // What is cut off, so that its own fault hangs below.
    for party in group.iter().map(|it| it.legs.0).collect::<BTreeSet<_>>() {
        let daemons = |rows: &[PodRow], kind: &str| -> Vec<Place> {
            let prefix = format!("rook-ceph-{kind}-");
            rows.iter().filter_map(|row| Some(Place::daemon(kind, row.daemon_id(&prefix)?))).collect()
        };
        finding = match party {
            Party::Operator => finding.also([operator_object(facts)?]),
            Party::Mons => finding.at(daemons(facts.mon_pods()?, "mon")),
            Party::Mgrs => finding.at(daemons(facts.mgr_pods()?, "mgr")),
            Party::Osds => finding.at(daemons(facts.osd_pods()?, "osd")),
            Party::Controllers => {
                let all = plugins(facts)?;
                let drivers: BTreeSet<&str> =
                    all.iter().filter(|plugin| plugin.is_controller()).map(Plugin::driver).collect();
                finding.also(drivers.into_iter().map(driver_object))
            }
        };
    }
    Ok(finding)
}

fn evidence(blocked: &Blocked<'_>, policy: &NetworkPolicy) -> Evidence {
    let selector = &policy.spec.pod_selector;
    let labels: Vec<String> = selector.match_labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let more =
        selector.match_expressions.iter().map(|it| format!("{} {} {}", it.key, it.operator, it.values.join("|")));
    let chosen: Vec<String> = labels.into_iter().chain(more).collect();
    let chosen = if chosen.is_empty() { "every pod".to_owned() } else { chosen.join(", ") };
    let (from, to) = blocked.legs;
    let (selected, peer) = if blocked.side == Direction::Ingress { (to, from) } else { (from, to) };
    let rules = match blocked.side.rules(policy).len() {
        0 => "it has no rule".to_owned(),
        rules => format!("none of its rules ({rules}) admits {}", peer.told().english()),
    };
    let excerpt = format!("selects {chosen}, {} among them; {rules}", selected.told().english());
    Evidence::field(&ObjectRef::of::<NetworkPolicy>(&policy.metadata), format!("spec.{}", blocked.side.word()), excerpt)
}
