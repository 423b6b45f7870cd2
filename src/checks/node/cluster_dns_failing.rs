use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, quote};
use crate::checks::opr::{OPERATOR, operator_log};
use crate::facts::tables::PodRow;
use crate::facts::{Facts, Gap, Select, Settled, kinds};
use crate::objects::kube::Deployment;
use crate::say;

check! {
    /// # What it looks at
    /// The pods of the cluster's DNS: CoreDNS or kube-dns in kube-system (`k8s-app=kube-dns` or `coredns`), or
    /// OpenShift's `dns-default`. None Ready on a node that is Ready is critical, and so is a Deployment without
    /// any pod; some not Ready is information. Without DNS the operator's log is searched for `no such host`.
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
    needs: [PodTables, Nodes, OperatorPods, Logs, Objects],
    explained_by: [
        (node::node_not_ready, Node), (node::cni_not_ready, Node), (node::node_rebooted, Node),
        (net::sandbox_failing, Node), (net::nad_range_exhausted, Node), (net::nad_master_missing, Node),
        (net::cni_plugin_missing, Node), (net::multus_init_crash, Node), (net::multus_daemon_down, Node),
        (ovn::ovn_central_down, Cluster), (ovn::stale_after_reboot, Node), (ovn::stale_chassis, Node), (ovn::kube_ovn_cni_unhealthy, Node),
    ],
}

const OPENSHIFT: &str = "dns.operator.openshift.io/daemonset-dns=default";
/// CoreDNS is called kube-dns almost everywhere (kubeadm, k3s, RKE2, clouds), and coredns by its own chart.
const KUBE_DNS: &str = "k8s-app in (kube-dns,coredns)";

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let (pods, label) = dns_pods(facts)?;
    if pods.is_empty() {
        return nobody(facts);
    }
    let down: Vec<&PodRow> = pods.iter().copied().filter(|row| !row.is_well()).collect();
    if down.len() == pods.len() {
        return Ok(Answered::judged(vec![all_down(&down, label).evidence(unresolved(facts)?)]));
    }
    // The row of a pod on a node that is lost still says Running.
    let nodes = facts.nodes()?;
    let lost = |row: &PodRow| nodes.iter().any(|node| node.name == row.node && !node.is_ready());
    let down: Vec<&PodRow> = pods.iter().copied().filter(|row| !row.is_well() || lost(row)).collect();
    if down.len() == pods.len() {
        return Ok(Answered::judged(vec![all_down(&down, label).evidence(unresolved(facts)?)]));
    }
    Ok(Answered::judged(down.iter().map(|row| one_down(row, pods.len() - down.len())).collect()))
}

/// The pods that count, and the label that finds them.
fn dns_pods<'s>(facts: &Facts<'s>) -> Result<(Vec<&'s PodRow>, &'static str), Gap> {
    let (mut pods, mut label) = (facts.pods_where("kube-system", KUBE_DNS)?, KUBE_DNS);
    if pods.is_empty() {
        (pods, label) = (facts.pods_where("openshift-dns", OPENSHIFT)?, OPENSHIFT);
    }
    let replaced = pods.iter().all(PodRow::is_replaced);
    Ok((pods.iter().filter(|row| replaced || !row.is_replaced()).collect(), label))
}

/// No pods at all: DNS is something else here (as in some clouds), or its Deployment was scaled to 0.
fn nobody(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let deployments: &[Deployment] = facts.list(Some("kube-system"), Select::label(KUBE_DNS))?;
    let Some(idle) = deployments.first() else { return Ok(Answered::NotApplicable("no DNS pods are known here")) };
    let (meta, object) = (&idle.metadata, ObjectRef::of::<Deployment>(&idle.metadata));
    let replicas = idle.spec.replicas.unwrap_or(1);
    let summary =
        say!("DNS has no pod: Deployment {} wants {}, and no name resolves in the cluster", meta.name, replicas);
    let fix =
        Remedy::guided(say!("ask who scaled it down, and scale it up; with replicas wanted, its events tell why"))
            .command(format!("kubectl -n {} describe deploy {}", meta.namespace, meta.name))
            .command(format!("kubectl -n {} scale deploy {} --replicas=2", meta.namespace, meta.name));
    let evidence = Evidence::field(&object, "spec.replicas", replicas);
    Ok(Answered::judged(vec![Finding::critical(object, summary, fix).evidence([evidence])]))
}

/// What the operator says of names that it cannot resolve. Further evidence only: without it the finding stands.
fn unresolved(facts: &Facts<'_>) -> Result<Option<Evidence>, Gap> {
    let Ok(Some((pod, log))) = operator_log(facts).settled()? else { return Ok(None) };
    Ok(quote(&pod.ns, &pod.name, OPERATOR, log, &["no such host", "server misbehaving"]))
}

fn one_down(row: &PodRow, serving: usize) -> Finding {
    let summary = say!("DNS pod {} on {} is not Ready; {} others serve", row.name, row.node, serving);
    let remedy = Remedy::advice(say!("names still resolve; repair what keeps pods of {} from running", row.node));
    Finding::info(object(row), summary, remedy).at(node(row)).evidence([Evidence::pod_row(row, &row.ns)])
}

fn all_down(down: &[&PodRow], label: &str) -> Finding {
    let mut objects = down.iter().map(|row| object(row));
    let first = objects.next().unwrap_or_else(|| ObjectRef::new(kinds::SERVICE, "kube-system", "kube-dns"));
    let ns = down.first().map_or("kube-system", |row| row.ns.as_str());
    let summary = say!("no DNS pod is Ready: no name resolves in the cluster");
    let remedy =
        Remedy::guided(say!("find out why the DNS pods do not run; most often it is the network of their nodes"))
            .command(format!("kubectl -n {ns} get pods -o wide -l '{label}'"))
            .command(format!("kubectl -n {ns} describe pods -l '{label}'"));
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
