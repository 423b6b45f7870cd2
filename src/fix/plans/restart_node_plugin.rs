//! CSI006: the pod of a CSI node plugin is made anew on a node that does not know its driver, and registers again.
//!
//! What the kernel mounted stays mounted. What ceph-fuse or rbd-nbd mounted would end with the pod, so it is left
//! alone unless it is proven that there is no such mount.

use crate::check::FixKind;
use crate::checks::csi::plugins;
use crate::facts::{Facts, Gap, Select, both};
use crate::fix::condition::Held;
use crate::fix::restart::{mend_first, of_daemon_set};
use crate::fix::{Case, Condition, Plan, Proposal, Risk};
use crate::objects::kube::{CsiNode, Pod};
use crate::say;

pub fn plan(case: &Case<'_>) -> Result<Proposal, Gap> {
    if let Some(why) = mend_first(case) {
        return Ok(Proposal::Guided(why));
    }
    let (Some(object), Some(driver)) = (case.finding.objects.first(), case.finding.detail.as_deref()) else {
        return Ok(Proposal::Guided(say!("no driver is named")));
    };
    let node = &object.name;
    let (pod, known) = both(node_plugin(case.facts, node, driver), known_elsewhere(case.facts, node, driver))?;
    let Some(pod) = pod else {
        return Ok(Proposal::Guided(say!(
            "no pod of the node plugin of {} runs on {}, so none can register it",
            driver,
            node
        )));
    };
    if !known {
        return Ok(Proposal::Guided(say!(
            "no node knows {}: that is no single registration which was lost; the path of the kubelet is wrong, or the driver's name",
            driver
        )));
    }
    let (ns, name) = (&pod.metadata.namespace, &pod.metadata.name);
    let outlive =
        Condition::MountsOutlive { ns: ns.clone(), pod: name.clone(), node: node.clone(), driver: driver.to_owned() };
    let (held, steps) = both(outlive.judge(case.facts), of_daemon_set(case.facts, pod))?;
    if let Held::No(seen) = held {
        return Ok(Proposal::Guided(say!("mounts on {} may end with the pod: {}. Drain the node first", node, seen)));
    }
    if case.finding.remedy.fix != FixKind::Auto {
        return Ok(Proposal::Guided(say!("a StorageClass mounts with ceph-fuse or rbd-nbd: drain {} first", node)));
    }
    let Some([delete, wait]) = steps else {
        return Ok(Proposal::Guided(say!("pod {} is not of a DaemonSet, and may not come back", name)));
    };
    let does = say!("make the node plugin of {} on {} anew, so that it registers again", driver, node);
    let plan = Plan::new(does, Risk::Disruptive)
        .interrupts(say!(
            "volumes of {} are neither mounted nor unmounted on {} until the new pod is Ready; what is mounted stays so",
            driver,
            node
        ))
        .step(delete.guard(outlive))
        .step(wait)
        .next(say!("if {} still does not know {}, see on the host whether plugins_registry below the kubelet's --root-dir holds the driver's socket, and compare that directory with --kubelet-registration-path of the registrar", node, driver));
    Ok(Proposal::Plan(plan))
}

/// The pod that serves the driver on this node.
fn node_plugin<'s>(facts: &Facts<'s>, node: &str, driver: &str) -> Result<Option<&'s Pod>, Gap> {
    let (plugins, rows) = both(plugins(facts), facts.csi_pods())?;
    let plugin = plugins.iter().find(|plugin| plugin.is_node_plugin() && plugin.driver() == driver);
    let Some(plugin) = plugin else { return Ok(None) };
    match rows.iter().find(|row| row.node == node && plugin.owns(row)) {
        Some(row) => facts.object::<Pod>(&plugin.metadata.namespace, &row.name),
        None => Ok(None),
    }
}

/// Whether another node knows the driver; one node alone tells nothing.
fn known_elsewhere(facts: &Facts<'_>, node: &str, driver: &str) -> Result<bool, Gap> {
    let all = facts.list::<CsiNode>(None, Select::all())?;
    let mut others = all.iter().filter(|it| it.metadata.name != node).peekable();
    let alone = others.peek().is_none();
    Ok(alone || others.any(|it| it.spec.drivers.iter().any(|known| known.name == driver)))
}
