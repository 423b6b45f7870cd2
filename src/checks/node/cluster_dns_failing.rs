use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, quote};
use crate::facts::tables::PodRow;
use crate::facts::{Facts, Gap, kinds};
use crate::say;

check! {
    /// # What it looks at
    /// The pods of the cluster's DNS: CoreDNS or kube-dns in kube-system (`k8s-app=kube-dns`), or OpenShift's
    /// `dns-default`. None Ready is critical, some not Ready is information. Without DNS the operator's log is
    /// searched for `no such host`.
    ///
    /// # Why it matters
    /// Rook's operator and the CSI drivers find the API server, the object store and webhooks by name. The
    /// daemons themselves reach the monitors by address and go on. As long as one DNS pod serves, names resolve,
    /// so a dead replica is a victim to explain other faults by, not a fault to repair first.
    ///
    /// # Confirm by hand
    /// `kubectl -n kube-system get pods -l k8s-app=kube-dns -o wide`, and in any pod
    /// `getent hosts kubernetes.default.svc`.
    ///
    /// # Fix
    /// Repair what keeps the DNS pods from running: most often the network of their nodes.
    ///
    /// # References
    /// Kubernetes: Administer a cluster, "Debugging DNS Resolution".
    "NODE006" "cluster-dns-failing" Node,
    needs: [PodTables, OperatorPods, Logs],
    explained_by: [
        (node::node_not_ready, Node),
        (node::cni_not_ready, Node),
        (node::node_rebooted, Node),
        (net::sandbox_failing, Node),
        (ovn::ovn_central_down, Cluster),
        (ovn::stale_after_reboot, Node),
        (ovn::kube_ovn_cni_unhealthy, Node),
    ],
}

const OPENSHIFT: &str = "dns.operator.openshift.io/daemonset-dns=default";

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let mut pods = facts.pods_where("kube-system", "k8s-app=kube-dns")?;
    if pods.is_empty() {
        pods = facts.pods_where("openshift-dns", OPENSHIFT)?;
    }
    // A pod that is on its way out was replaced.
    let pods: Vec<&PodRow> = pods.iter().filter(|row| row.status != "Terminating").collect();
    let down: Vec<&PodRow> = pods.iter().copied().filter(|row| !row.is_well()).collect();
    if pods.is_empty() {
        return Ok(Answered::NotApplicable("no DNS pods are known here"));
    }
    if down.is_empty() {
        return Ok(Answered::passed());
    }
    if down.len() < pods.len() {
        return Ok(Answered::judged(down.iter().map(|row| one_down(row, pods.len() - down.len())).collect()));
    }
    let operator =
        facts.each(facts.operator_pods()?.iter(), |facts, row| facts.log(&row.ns, &row.name, "rook-ceph-operator"))?;
    let said = operator.seen.iter().filter_map(|(row, log)| {
        quote(&row.ns, &row.name, "rook-ceph-operator", log, &["no such host", "server misbehaving"])
    });
    Ok(Answered::judged(vec![all_down(&down).evidence(said)]))
}

fn one_down(row: &PodRow, serving: usize) -> Finding {
    let summary = say!("DNS pod {} on {} is not Ready; {} others serve", row.name, row.node, serving);
    let remedy = Remedy::advice(say!("names still resolve; repair what keeps pods of {} from running", row.node));
    Finding::info(object(row), summary, remedy).at(node(row)).evidence([Evidence::pod_row(row, &row.ns)])
}

fn all_down(down: &[&PodRow]) -> Finding {
    let mut objects = down.iter().map(|row| object(row));
    let first = objects.next().unwrap_or_else(|| ObjectRef::new(kinds::SERVICE, "kube-system", "kube-dns"));
    let ns = down.first().map_or("kube-system", |row| row.ns.as_str());
    let summary = say!("no DNS pod is Ready: no name resolves in the cluster");
    let remedy =
        Remedy::guided(say!("find out why the DNS pods do not run; most often it is the network of their nodes"))
            .command(format!("kubectl -n {ns} get pods -o wide -l k8s-app=kube-dns"))
            .command(format!("kubectl -n {ns} describe pods -l k8s-app=kube-dns"));
    Finding::critical(first, summary, remedy)
        .also(objects)
        .at(down.iter().flat_map(|row| node(row)))
        .evidence(down.iter().map(|row| Evidence::pod_row(row, &row.ns)))
}

fn object(row: &PodRow) -> ObjectRef {
    let app = row.name.split('-').next().unwrap_or_default();
    ObjectRef::pod_row(row, &row.ns, format!("{app}@{}", row.node))
}

fn node(row: &PodRow) -> Option<Place> {
    (!row.node.is_empty()).then(|| Place::node(&row.node))
}
