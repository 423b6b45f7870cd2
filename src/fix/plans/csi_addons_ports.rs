//! CSI004: the provisioners' CSI-Addons sidecars get ports of their own.
//!
//! Only the operator's settings are changed, and only those of the provisioners that are part of the clash: Rook makes
//! them anew with the new port, and everything that is mounted goes on working, because node plugins are left alone.
//! The keys begin with `CSIADDONS_`, and the operator wakes up for `CSI_` and `ROOK_CSI_` only: it reads these when it
//! starts, so it is started again. In the layout of the ceph-csi-operator there is no such setting.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::check::Text;
use crate::checks::csi::clash::Clash;
use crate::checks::csi::csi_addons_port_conflict::{knows_ports, port_key};
use crate::checks::csi::ports::{Taker, clashes, free, takers};
use crate::checks::csi::{Plugin, Version, plugins, rook_version};
use crate::checks::opr::{OPERATOR, OPERATOR_CONFIG};
use crate::facts::{Facts, Gap, both, kinds};
use crate::fix::restart::{OPERATOR_LABEL, operator_steps, reconcile_warnings};
use crate::fix::{Act, Case, Condition, Object, Plan, Proposal, Risk, Step};
use crate::lang::listed;
use crate::say;

/// The operator starts, comes to CSI, and the provisioners are replaced.
const MOVES_WITHIN: u64 = 900;

/// A provisioner and the port that it shall have.
struct Move {
    key: &'static str,
    ns: String,
    deployment: String,
    driver: String,
    port: u16,
    place: Place,
}

/// Where the setting of a move is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// To be written into the operator's ConfigMap.
    Config,
    /// To be changed in the environment of the operator, where it is now and the ConfigMap does not have it.
    Environment,
    /// It is set already; the operator has not started since.
    Set,
}

pub fn plan(case: &Case<'_>) -> Result<Proposal, Gap> {
    let facts = case.facts;
    let ns = &facts.cluster()?.operator_ns;
    let whole = both(facts.whole(kinds::CONFIG_MAP, ns, OPERATOR_CONFIG), facts.whole(kinds::DEPLOYMENT, ns, OPERATOR));
    let seen = both(both(clashes(facts), rook_version(facts)), takers(facts));
    let (((found, version), (takers, _)), (config, operator)) = both(seen, whole)?;
    let detail = case.finding.detail.as_deref().unwrap_or_default();
    let Some(clash) = found.clashes.iter().find(|clash| clash.is_csi_addons() && clash.port.to_string() == detail)
    else {
        return Ok(Proposal::Guided(say!("the clash is gone: diagnose again")));
    };
    if let Some(why) = by_hand(facts, clash, version)? {
        return Ok(Proposal::Guided(why));
    }
    let Some(operator) = operator else {
        return Ok(Proposal::Guided(say!("there is no Deployment {} in {} that would read the setting", OPERATOR, ns)));
    };
    let settings = Settings { config, operator };
    let Some(moves) = moves(clash, &settings, &takers) else {
        return Ok(Proposal::Guided(say!(
            "ConfigMap {} does not exist in {}, and Rook needs it, even if it is empty: see OPR005, and make it first",
            OPERATOR_CONFIG,
            ns
        )));
    };
    Ok(Proposal::Plan(settings.plan(facts, clash, &moves)?))
}

/// Why the tool must not act here.
fn by_hand(facts: &Facts<'_>, clash: &Clash<'_>, version: Option<Version>) -> Result<Option<Text>, Gap> {
    if clash.is_of_csi_operator() {
        return Ok(Some(match (clash.room_apart(facts)?, version) {
            (Some(text), _) => text,
            (None, Some(version)) if version < (1, 18, 0) => say!(
                "the ports of CSI-Addons are constants of the ceph-csi-operator; the one that comes with Rook 1.18 has a port for each"
            ),
            (None, Some(version)) if version < (1, 20, 0) => say!(
                "the ports of CSI-Addons are constants of the ceph-csi-operator, and Rook writes Drivers and OperatorConfig anew until 1.20: what would be changed there does not last"
            ),
            (None, _) => say!(
                "the ports of CSI-Addons are constants of the ceph-csi-operator; what can be changed (metrics off, the controllers off the host network) is a choice that is yours"
            ),
        }));
    }
    let of_both = plugins(facts)?.iter().any(Plugin::is_of_csi_operator);
    let why = match version {
        _ if of_both => Some(say!(
            "the ceph-csi-operator serves drivers here as well, so Rook does not manage these workloads any more: see CSI018"
        )),
        None => Some(say!(
            "the image of the operator does not tell its version, and only v1.16.5, v1.17.0 and later know the keys"
        )),
        Some(version) if version >= (1, 20, 0) => Some(say!("Rook 1.20 does not manage this layout any more")),
        Some(version) if !knows_ports(version) => Some(say!(
            "v{}.{}.{} of Rook does not know the keys for the provisioners' ports, which came with v1.16.5 and v1.17.0: an upgrade is needed first",
            version.0,
            version.1,
            version.2
        )),
        Some(_) if !clash.ends_without_provisioners() => Some(say!(
            "moving the provisioners would not end it: {} would be left on port {}, and a change of CSIADDONS_PORT or of the other side replaces pods on every node",
            clash.names(),
            clash.port
        )),
        Some(_) => None,
    };
    Ok(why)
}

/// The two places that the operator takes its settings from; the ConfigMap goes before the environment.
struct Settings<'s> {
    config: Option<&'s Value>,
    operator: &'s Value,
}

/// What moves where; none if there is no place to write it.
fn moves(clash: &Clash<'_>, settings: &Settings<'_>, takers: &[Taker]) -> Option<Vec<Move>> {
    let mut taken: BTreeSet<u16> = takers.iter().map(|taker| taker.port).collect();
    let mut moves = Vec::new();
    // In the order that the remedy names them in.
    let mut provisioners: Vec<Plugin<'_>> = clash.provisioners().collect();
    provisioners.sort_by_key(|plugin| !plugin.is_of_family("rbd"));
    for plugin in provisioners {
        let Some(key) = port_key(&plugin) else { continue };
        let is_free = |port: &u16| *port != clash.port && !taken.contains(port);
        let (port, place) = match settings.port(key).filter(is_free) {
            Some(port) => (port, Place::Set),
            None => (free(&taken).next()?, settings.place(key)?),
        };
        taken.insert(port);
        let (ns, deployment) = (plugin.metadata.namespace.clone(), plugin.metadata.name.clone());
        moves.push(Move { key, ns, deployment, driver: plugin.driver().to_owned(), port, place });
    }
    Some(moves)
}

impl Settings<'_> {
    /// What the operator would read now.
    fn port(&self, key: &str) -> Option<u16> {
        let in_config = self.config.and_then(|config| config["data"][key].as_str());
        let in_environment = || self.variable(key).and_then(|at| self.operator.pointer(&at)?.as_str());
        in_config.or_else(in_environment)?.parse().ok()
    }

    /// Where the value of a variable stands in the operator's Deployment.
    fn variable(&self, key: &str) -> Option<String> {
        const CONTAINERS: &str = "/spec/template/spec/containers";
        let containers = self.operator.pointer(CONTAINERS)?.as_array()?;
        containers.iter().enumerate().find_map(|(container, it)| {
            let variables = it["env"].as_array()?;
            let at = variables.iter().position(|it| it["name"] == key && it["value"].is_string())?;
            Some(format!("{CONTAINERS}/{container}/env/{at}/value"))
        })
    }

    fn place(&self, key: &str) -> Option<Place> {
        let is_in_config = self.config.is_some_and(|config| config["data"][key].is_string());
        match self.variable(key) {
            Some(_) if !is_in_config => Some(Place::Environment),
            _ => self.config.map(|_| Place::Config),
        }
    }

    fn plan(&self, facts: &Facts<'_>, clash: &Clash<'_>, moves: &[Move]) -> Result<Plan, Gap> {
        let ns = &facts.cluster()?.operator_ns;
        let names = listed(moves.iter().map(|it| say!("{} to port {}", it.deployment, it.port)));
        let drivers: BTreeSet<&str> = moves.iter().map(|it| it.driver.as_str()).collect();
        let drivers = listed(drivers);
        let mut plan = Plan::new(say!("move CSI-Addons of {}", names), Risk::Disruptive)
            .guard(Condition::OperatorRuns)
            .interrupts(say!("no volume of {} is created, deleted, resized or attached while its provisioner is replaced; what is mounted goes on working", drivers))
            .interrupts(say!("the operator starts again: for a minute or two nobody replaces what fails"))
            .warning(say!("what listens on a node outside of Kubernetes, or in pods that no DaemonSet and no Deployment made, cannot be seen from here: ss -ltn on the nodes shows it"))
            .warning(say!("a firewall on the nodes must let the manager of CSI-Addons reach the new ports"));
        plan.warnings.extend(reconcile_warnings(facts)?);
        for it in moves {
            let beside = format!("Deployment {}/{}", it.ns, it.deployment);
            plan = plan.guard(Condition::PortFree { port: it.port, beside });
        }
        let restarts = moves.iter().any(|it| it.place != Place::Environment);
        plan = plan.steps(self.patch_config(moves)).steps(self.patch_environment(moves));
        if restarts {
            plan = plan.steps(operator_steps(facts, ns, OPERATOR_LABEL)?);
        }
        let waits = moves.iter().map(|it| {
            let until = Condition::ListensOn { ns: it.ns.clone(), deployment: it.deployment.clone(), port: it.port };
            Step::wait(
                say!("wait until {} listens on {} and its pods are Ready", it.deployment, it.port),
                until,
                MOVES_WITHIN,
            )
        });
        Ok(plan
            .steps(waits)
            .next(say!("if a Deployment stays on port {}, the operator says why: kubectl -n {} logs deployment/{} | grep ceph-csi", clash.port, ns, OPERATOR))
            .next(say!("to take it back for good, start the operator again after fix undo: it reads these keys when it starts")))
    }

    fn patch_config(&self, moves: &[Move]) -> Option<Step> {
        let before = self.config?;
        let mut after = before.clone();
        let mut words = Vec::new();
        for it in moves.iter().filter(|it| it.place == Place::Config) {
            after["data"][it.key] = json!(it.port.to_string());
            words.push(format!("{}={}", it.key, it.port));
        }
        let object = Object::of(kinds::CONFIG_MAP, before);
        let does = say!("set {} in {}", listed(&words), object);
        (!words.is_empty()).then(|| Step::new(does, Act::Patch { object, before: before.clone(), after }))
    }

    fn patch_environment(&self, moves: &[Move]) -> Option<Step> {
        let mut after = self.operator.clone();
        let mut words = Vec::new();
        for it in moves.iter().filter(|it| it.place == Place::Environment) {
            if let Some(value) = self.variable(it.key).and_then(|at| after.pointer_mut(&at)) {
                *value = json!(it.port.to_string());
                words.push(format!("{}={}", it.key, it.port));
            }
        }
        let object = Object::of(kinds::DEPLOYMENT, self.operator);
        let does = say!("set {} in the environment of {}, which starts it again", listed(&words), object);
        let act = Act::Patch { object, before: self.operator.clone(), after };
        let step = Step::new(does, act).guard(Condition::Quorum { without: Vec::new() });
        (!words.is_empty()).then_some(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_config_map_goes_before_the_environment() {
        const KEY: &str = "CSIADDONS_RBD_PROVISIONER_PORT";
        let operator = json!({"spec": {"template": {"spec": {"containers": [{"env": [{"name": "A", "value": "1"},
            {"name": KEY, "value": "9075"}]}]}}}});
        let bare = json!({"spec": {"template": {"spec": {"containers": [{}]}}}});
        let (with, without) = (json!({"data": {KEY: "9076"}}), json!({"data": null}));
        for (config, operator, port, place) in [
            (Some(&with), &operator, Some(9076), Some(Place::Config)),
            (Some(&without), &operator, Some(9075), Some(Place::Environment)),
            (Some(&without), &bare, None, Some(Place::Config)),
            (None, &operator, Some(9075), Some(Place::Environment)),
            (None, &bare, None, None),
        ] {
            let settings = Settings { config, operator };
            assert_eq!(settings.port(KEY), port);
            assert!(settings.place(KEY) == place, "{config:?}");
        }
    }
}
