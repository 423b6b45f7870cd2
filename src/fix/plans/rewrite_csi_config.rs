//! CSI009: the operator that writes the configuration of the CSI drivers is started again, and writes it anew.
//!
//! Nobody but the operators edits that ConfigMap: it holds entries of all clusters, subvolume groups and RADOS
//! namespaces, and a volume without its entry cannot be mounted any more. So the entries of before must be there
//! afterwards. Without a quorum, or where Rook's own record of the monitors is wrong, an operator that starts would
//! write down what is wrong, and so it is not started.

use std::collections::BTreeSet;

use crate::checks::csi::cluster_config_stale::{
    CLASSIC, ENDPOINTS, Layout, addresses, can_be_rewritten, entries, writer,
};
use crate::checks::csi::plugins;
use crate::facts::{Facts, Gap, Select, both};
use crate::fix::restart::{OPERATOR_LABEL, operator_steps, reconcile_warnings};
use crate::fix::{Case, Condition, Plan, Proposal, Risk, Step};
use crate::objects::ceph_csi::ClientProfile;
use crate::objects::kube::ConfigMap;
use crate::say;

/// The pods of the ceph-csi-operator.
const CSI_OPERATOR_LABEL: &str = "control-plane=ceph-csi-op-controller-manager";
/// An operator goes through the monitors before it writes down where they are.
const WRITTEN_WITHIN: u64 = 900;

/// What is to be written, and by whom.
struct Writing {
    writer: &'static str,
    /// The entries of before.
    kept: Vec<String>,
    /// The entries that must be there in the end.
    held: Vec<String>,
}

pub fn plan(case: &Case<'_>) -> Result<Proposal, Gap> {
    let facts = case.facts;
    let ns = &facts.cluster()?.operator_ns;
    let layout = Layout::of(&plugins(facts)?);
    let config = facts.object::<ConfigMap>(ns, layout.config)?;
    let Some(object) = case.finding.objects.first() else { return Ok(Proposal::Guided(say!("nothing is named"))) };
    let writing = match entries(config, layout.key) {
        Err(_) if can_be_rewritten(config, layout.key) => {
            let held = expected(facts, layout)?;
            Writing { writer: layout.writer, kept: Vec::new(), held }
        }
        Err(why) => {
            return Ok(Proposal::Guided(say!(
                "{}: {} adds its entries to what is there and does not get past that, so a restart would change nothing",
                why,
                layout.writer
            )));
        }
        Ok(entries) => {
            let detail = case.finding.detail.as_deref().unwrap_or_default();
            let kept: Vec<String> = entries.iter().map(|entry| entry.id.clone()).collect();
            match entries.iter().find(|entry| entry.id == detail) {
                Some(entry) => {
                    let endpoints = facts.object::<ConfigMap>(&facts.cluster()?.ns, ENDPOINTS)?;
                    let stale = entry.stale(&addresses(endpoints));
                    let writer = writer(facts, &layout, detail, &stale)?;
                    Writing { writer, held: kept.clone(), kept }
                }
                None if detail == facts.cluster()?.ns => {
                    let held = kept.iter().cloned().chain([detail.to_owned()]).collect();
                    Writing { writer: CLASSIC.writer, kept, held }
                }
                None => {
                    return Ok(Proposal::Guided(say!(
                        "clusterID {} is not that of this cluster: whether it is misspelt, or of a subvolume group or RADOS namespace that is gone, is for you to say",
                        detail
                    )));
                }
            }
        }
    };
    let label = if writing.writer == CLASSIC.writer { OPERATOR_LABEL } else { CSI_OPERATOR_LABEL };
    let (steps, warnings) = both(operator_steps(facts, ns, label), reconcile_warnings(facts))?;
    if steps.is_empty() {
        return Ok(Proposal::Guided(say!(
            "{} has no pod in {}: let it run first, it then writes by itself",
            writing.writer,
            ns
        )));
    }
    let mut plan = writing.plan(layout, ns, &object.to_string(), steps);
    if writing.writer == CLASSIC.writer {
        plan.warnings.extend(warnings);
    }
    Ok(Proposal::Plan(plan))
}

/// What must come back where everything is gone: the cluster's own entry, or one for each ClientProfile.
fn expected(facts: &Facts<'_>, layout: Layout) -> Result<Vec<String>, Gap> {
    if layout == CLASSIC {
        return Ok(vec![facts.cluster()?.ns.clone()]);
    }
    let profiles = facts.list::<ClientProfile>(Some(&facts.cluster()?.operator_ns), Select::all())?;
    let names: BTreeSet<String> = profiles.iter().map(|profile| profile.metadata.name.clone()).collect();
    Ok(names.into_iter().collect())
}

impl Writing {
    fn plan(&self, layout: Layout, ns: &str, object: &str, steps: Vec<Step>) -> Plan {
        let entries = |ids: &[String]| Condition::CsiEntries {
            ns: ns.to_owned(),
            config: layout.config.to_owned(),
            key: layout.key.to_owned(),
            ids: ids.to_vec(),
        };
        let passes = |code: &str, object: Option<&str>| Condition::Passes {
            code: code.to_owned(),
            object: object.map(str::to_owned),
        };
        let interrupts = if self.writer == CLASSIC.writer {
            say!(
                "nothing is reconciled or failed over until the operator is Ready again; what is mounted goes on working"
            )
        } else {
            say!("no CSI driver is looked after until {} is Ready again; what is mounted goes on working", self.writer)
        };
        let does = say!("start {} again, which then writes {} anew", self.writer, layout.config);
        let mut plan = Plan::new(does, Risk::Disruptive)
            .interrupts(interrupts)
            .guard(passes("MON007", None))
        .steps(steps)
        .step(Step::wait(
            say!("wait until {} has been written and is right", layout.config),
            passes("CSI009", Some(object)),
            WRITTEN_WITHIN,
        ))
        .next(say!(
            "if it stays as it is, the log of {} says what it waits for: kubectl -n {} logs deployment/{} --tail=100",
            self.writer,
            ns,
            self.writer
        ));
        if self.kept.is_empty() {
            plan = plan.warning(say!("which entries there were cannot be seen any more: those of subvolume groups and RADOS namespaces come back when Rook has gone through their resources"));
        } else {
            plan = plan
                .guard(entries(&self.kept))
                .warning(say!("keep a copy of what is there: kubectl -n {} get configmap {} -o yaml", ns, layout.config))
                .next(say!("if an entry of before is lost, its volumes cannot be mounted: it is written when Rook goes through the resource that it belongs to (CephFilesystemSubVolumeGroup, CephBlockPoolRadosNamespace, CephCluster), and the copy says what stood in it"));
        }
        if !self.held.is_empty() {
            let until = entries(&self.held);
            plan = plan.step(Step::wait(
                say!("hold the entries against those of before: {}", self.held.join(", ")),
                until,
                WRITTEN_WITHIN,
            ));
        }
        plan
    }
}
