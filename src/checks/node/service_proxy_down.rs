use jiff::SignedDuration;

use super::{SERVICE_PROXIES, rook_pods};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy};
use crate::facts::tables::PodRow;
use crate::facts::{Facts, Gap, both};
use crate::objects::kube::Pod;
use crate::say;

check! {
    /// # What it looks at
    /// The pods of kube-proxy on nodes that are Ready: one that is not Ready for more than two minutes, where pods
    /// of Rook run. Where Cilium does its work NODE007 looks at Cilium; Kube-OVN has checks of its own.
    ///
    /// # Why it matters
    /// kube-proxy makes Service addresses reachable from its node. Its rules outlive it, but after a boot there are
    /// none, and a Service that is new or whose pod moved is not followed: the operator, CSI and clients on that node
    /// then reach no monitor by its Service address, while pods and nodes look well and pod addresses answer.
    ///
    /// # Confirm by hand
    /// `kubectl -n kube-system logs <kube-proxy pod>`, and from a pod on that node
    /// `curl -s --max-time 5 <mon service address>:3300`, which must print `ceph v2`.
    ///
    /// # Fix
    /// Repair what its log names (kernel modules, its ConfigMap, conntrack limits) and let it start again.
    ///
    /// # References
    /// Kubernetes: Virtual IPs and Service Proxies; Debug Services, "Is kube-proxy working?".
    "NODE014" "service-proxy-down" Node,
    needs: [Nodes, MonPods, MgrPods, OsdPods, PreparePods, MdsPods, RgwPods, GatewayPods, CsiPods, PodTables, Objects],
    explained_by: [(node::node_rebooted, Node)],
}

const PATIENCE: SignedDuration = SignedDuration::from_mins(2);

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let (nodes, proxies) = both(facts.nodes(), facts.pods_where("kube-system", SERVICE_PROXIES))?;
    let is_ready = |name: &str| nodes.iter().any(|node| node.name == name && node.is_ready());
    let down =
        proxies.iter().filter(|row| row.name.starts_with("kube-proxy-") && !row.is_well() && is_ready(&row.node));
    let down: Vec<&PodRow> = down.filter(|row| row.status != "Terminating").collect();
    if down.is_empty() {
        return Ok(Answered::passed());
    }
    let (opened, rook) = both(facts.each(down, |facts, row| facts.pod(&row.ns, &row.name)), rook_pods(facts))?;
    let findings = opened.seen.iter().filter(|(_, pod)| {
        let since = pod.unready_since();
        !pod.is_ready() && since.is_some_and(|since| facts.now().duration_since(since) >= PATIENCE)
    });
    let findings = findings.filter_map(|(row, pod)| {
        let served = rook.rows.iter().filter(|it| it.node == row.node && !it.is_done()).count();
        (served > 0).then(|| finding(row, pod, served))
    });
    Ok(Answered::judged(findings.collect()).blind(opened.blind).blind(rook.blind))
}

fn finding(row: &PodRow, pod: &Pod, served: usize) -> Finding {
    let object = ObjectRef::pod(pod);
    let summary = say!(
        "kube-proxy is not Ready on {}: Service addresses, those of the monitors among them, are not kept up to date for {} pods of Rook there",
        row.node,
        served
    );
    let remedy = Remedy::guided(say!("repair what its log names, then delete the pod so that it starts anew"))
        .command(format!("kubectl -n {} logs {} --tail=30", row.ns, row.name))
        .command(format!("kubectl -n {} delete pod {}", row.ns, row.name));
    Finding::warning(object, summary, remedy)
        .at([Place::node(&row.node)])
        .since(pod.unready_since())
        .evidence([Evidence::pod_row(row, &row.ns)])
}
