use super::{central, namespace};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Text};
use crate::checks::net::is_starting;
use crate::facts::{Facts, Gap, kinds};
use crate::lang::{Words, listed};
use crate::objects::kube::{Deployment, Pod};
use crate::say;

check! {
    /// # What it looks at
    /// The three leaders of ovn-central: exactly one Ready pod must carry each of the labels
    /// `ovn-nb-leader=true`, `ovn-sb-leader=true` and `ovn-northd-leader=true`, as the Services of the
    /// databases select by them.
    ///
    /// # Why it matters
    /// Without a leader no pod gets a port and nothing is programmed. What runs goes on running, but a node
    /// whose ovs-ovn is restarted in this state loses the network of all its pods. Two leaders of one
    /// database mean that it has split.
    ///
    /// # Confirm by hand
    /// `kubectl -n kube-system get pods -l app=ovn-central -L ovn-nb-leader,ovn-sb-leader,ovn-northd-leader`,
    /// and in such a pod `ovn-appctl -t /var/run/ovn/ovnnb_db.ctl cluster/status OVN_Northbound`.
    ///
    /// # Fix
    /// Bring the ovn-central pods back, one by one; do not restart ovs-ovn meanwhile. A database that does
    /// not form a quorum again is restored with `kubectl ko nb restore` after reading the backup's age.
    ///
    /// # References
    /// Kube-OVN: operation manual, "OVN DB backup and recovery"; kube-ovn #3919, #1575.
    "OVN001" "ovn-central-down" Ovn,
    needs: [Discovery, DaemonSets, Objects],
    explained_by: [(ovn::ovn_database_broken, Object), (node::node_not_ready, Node), (node::node_rebooted, Node), (node::image_pull_failing, Node)],
}

const LEADERS: [(Words, &str); 3] = [
    (|| say!("northbound database"), "ovn-nb-leader"),
    (|| say!("southbound database"), "ovn-sb-leader"),
    (|| say!("northd"), "ovn-northd-leader"),
];

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let ns = namespace(facts)?;
    let pods = central(facts, ns)?;
    if pods.is_empty() && facts.object::<Deployment>(ns, "ovn-central")?.is_none() {
        return Ok(Answered::NotApplicable("ovn-central does not run in this cluster"));
    }
    // A restart of the pods, or of the only one, is over in a moment.
    if pods.iter().any(|pod| is_starting(pod, facts.now())) {
        return Ok(Answered::passed());
    }
    let faults = faults(pods);
    Ok(Answered::judged(if faults.is_empty() { Vec::new() } else { vec![finding(ns, &faults, pods)] }))
}

/// What is wrong with the leaders, and what shows it.
pub(crate) fn faults(pods: &[Pod]) -> Vec<(Text, Text)> {
    LEADERS.iter().filter_map(|(what, label)| fault(what(), label, pods)).collect()
}

fn fault(what: Text, label: &str, pods: &[Pod]) -> Option<(Text, Text)> {
    let leads = |pod: &&Pod| pod.is_ready() && pod.metadata.labels.get(label).is_some_and(|value| value == "true");
    let ready: Vec<&str> = pods.iter().filter(leads).map(|pod| pod.metadata.name.as_str()).collect();
    let named = if ready.is_empty() { say!("none") } else { say!("{}", ready.join(", ")) };
    let shown = say!("Ready pods with {}=true: {}", label, named);
    match ready.len() {
        1 => None,
        0 => Some((say!("no Ready leader for its {}", what), shown)),
        _ => Some((say!("more than one leader for its {}", what), shown)),
    }
}

fn finding(ns: &str, faults: &[(Text, Text)], pods: &[Pod]) -> Finding {
    let what = listed(faults.iter().map(|(what, _)| what));
    let down: Vec<&Pod> = pods.iter().filter(|pod| !pod.is_ready()).collect();
    let remedy = Remedy::guided(say!(
        "bring the ovn-central pods back one by one and see the state of the database; do not restart ovs-ovn on any node before a leader is there"
    ))
    .command(format!(
        "kubectl -n {ns} get pods -l app=ovn-central -o wide -L ovn-nb-leader,ovn-sb-leader,ovn-northd-leader"
    ));
    let remedy = match pods.first() {
        Some(pod) => remedy.command(format!(
            "kubectl -n {ns} exec {} -- ovn-appctl -t /var/run/ovn/ovnnb_db.ctl cluster/status OVN_Northbound",
            pod.metadata.name
        )),
        None => remedy.command(format!("kubectl -n {ns} describe deployment ovn-central")),
    };
    let object = ObjectRef::new(kinds::DEPLOYMENT, ns, "ovn-central");
    let places = down.iter().map(|pod| &pod.spec.node_name).filter(|node| !node.is_empty()).map(Place::node);
    Finding::critical(object.clone(), say!("ovn-central has {}", what), remedy)
        .at(places)
        .evidence(faults.iter().map(|(_, shown)| Evidence::field(&object, "leader", shown.english())))
        .evidence(
            down.iter()
                .take(3)
                .map(|pod| Evidence::field(&ObjectRef::pod(pod), "status.conditions[Ready]", "not True")),
        )
}
