use std::collections::BTreeMap;

use serde_json::Value;

use super::sandbox::{Blame, WAITING, failures};
use super::{down, last_words, multus_daemon_sets, multus_pods};
use crate::check;
use crate::check::{Answered, Evidence, Finding, ObjectRef, Place, Remedy, Severity};
use crate::facts::tables::PodRow;
use crate::facts::{Facts, Gap, both};
use crate::objects::kube::{ConfigMap, DaemonSet};
use crate::say;

check! {
    /// # What it looks at
    /// Whether Multus waits for the default network: sandboxes that fail, and Multus daemons that end, with `still
    /// waiting for readinessindicatorfile`; and thin ones that end with `cannot find valid master CNI config`. And whether it has such an indicator at all, and one that means anything:
    /// a file that outlives a reboot, such as a CNI configuration in `/etc/cni/net.d`, says only that the default
    /// network was installed once.
    ///
    /// # Why it matters
    /// After a boot the configuration of Multus is there before the default CNI serves. With an indicator Multus holds
    /// the pods back; if the file never comes, because the default CNI is broken or writes another one, no pod of the
    /// node starts. Without one all pods of the node try and fail until the default CNI serves, which heals by itself
    /// but is the burst in which Multus runs out of memory. Upstream's manifests set none: that alone is information.
    ///
    /// # Confirm by hand
    /// `kubectl -n kube-system get configmap multus-daemon-config -o yaml` (thick) or the arguments of the DaemonSet
    /// (thin), and on the node `ls` of the file.
    ///
    /// # Fix
    /// Mend the default CNI of that node. If it is well, name a file that it makes when it serves and that a boot
    /// removes, below `/run`.
    ///
    /// # References
    /// multus-cni docs/thick-plugin and docs/how-to-use, `readinessindicatorfile`; kube-ovn #4845, multus-cni #1221.
    "NET022" "cni-start-order" Net,
    needs: [DaemonSets, PodTables, Objects, SandboxEvents, Logs],
    explained_by: [
        (node::node_not_ready, Node), (node::node_rebooted, Node), (node::cni_not_ready, Node),
        (ovn::ovn_central_down, Cluster), (ovn::ovs_ovn_unhealthy, Node), (ovn::kube_ovn_cni_unhealthy, Node),
        (ovn::stale_after_reboot, Node),
    ],
}

/// What thin Multus says, before the folder, when the default CNI has left no configuration there; it then ends.
const NO_CONFIG: &str = "cannot find valid master CNI config in ";

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    let (daemon_sets, pods) = both(multus_daemon_sets(facts), multus_pods(facts))?;
    if daemon_sets.is_empty() {
        return Ok(Answered::NotApplicable("there is no DaemonSet of Multus"));
    }
    let indicators = facts.each(daemon_sets, |facts, daemon_set| indicator(facts, daemon_set));
    let ((down, failures), indicators) = both(both(down(facts, pods.iter().copied()), failures(facts)), indicators)?;
    let mut blind = [down.blind, failures.blind.clone(), indicators.blind].concat();
    let mut waiting: BTreeMap<&str, Vec<Evidence>> = BTreeMap::new();
    let said = facts.each(down.seen, |facts, (_, pod)| {
        let words = last_words(facts, pod, "kube-multus", &[WAITING, NO_CONFIG])?;
        if words.is_none() {
            // Only logs that were read say nothing.
            let (ns, name) = (&pod.metadata.namespace, &pod.metadata.name);
            both(facts.log(ns, name, "kube-multus"), facts.previous_log(ns, name, "kube-multus"))?;
        }
        Ok(words)
    })?;
    for ((row, _), words) in said.seen {
        waiting.entry(&row.node).or_default().extend(words);
    }
    blind.extend(said.blind);
    let held: Vec<_> = failures.blamed_on(Blame::DefaultNetwork).collect();
    for failure in &held {
        waiting.entry(&failure.node).or_default().extend(failure.events.iter().take(1).map(|it| Evidence::event(it)));
    }
    waiting.retain(|_, evidence| !evidence.is_empty());
    let mut findings: Vec<Finding> = waiting.into_iter().map(|(node, evidence)| waits(&pods, node, evidence)).collect();
    findings.extend(indicators.seen.iter().filter_map(|(daemon_set, indicator)| unordered(daemon_set, indicator)));
    Ok(Answered::judged(findings).blind(blind))
}

fn waits(pods: &[&PodRow], node: &str, evidence: Vec<Evidence>) -> Finding {
    let path = evidence.iter().find_map(|it| waited_for(&it.excerpt));
    let path = path.map_or_else(|| say!("its readiness indicator"), |path| say!("{}", path));
    let folder = evidence.iter().find_map(|it| unconfigured(&it.excerpt)).map(str::to_owned);
    // What thin Multus wrote before may still serve, so pods may start all the same.
    let (severity, summary, fix) = match folder {
        Some(folder) => (
            Severity::Warning,
            say!("thin Multus on {} ends: the default CNI has no configuration in {}", node, folder),
            say!(
                "mend the default CNI of {}; if its pods are well there, it writes its configuration elsewhere: give Multus that folder as --multus-autoconfig-dir",
                node
            ),
        ),
        None => (
            Severity::Critical,
            say!("no pod on {} starts: Multus there waits for the default network, and {} is absent", node, path),
            say!(
                "mend the default CNI of {}; if its pods are well there, it writes another file: compare the readiness indicator of Multus with what the CNI makes on the node",
                node
            ),
        ),
    };
    let remedy =
        Remedy::guided(fix).command(format!("kubectl get pods -A -o wide --field-selector spec.nodeName={node}"));
    let object = pods.iter().find(|row| row.node == node).map_or_else(
        || ObjectRef::node(node),
        |row| {
            let owner = row.name.rsplit_once('-').map_or(row.name.as_str(), |(owner, _)| owner);
            ObjectRef::pod_row(row, &row.ns, format!("{owner}@{node}"))
        },
    );
    Finding::new(severity, object, summary, remedy).at([Place::node(node)]).evidence(evidence)
}

/// The folder in which thin Multus looks for the default CNI's configuration.
fn unconfigured(text: &str) -> Option<&str> {
    text.split_once(NO_CONFIG)?.1.split('"').nth(1)
}

/// The file that the words of Multus name.
fn waited_for(text: &str) -> Option<&str> {
    Some(text.split_once(WAITING)?.1.split(". pollimmediate").next()?.trim())
}

/// What Multus waits for before it serves.
enum Indicator {
    File(String),
    /// Nothing, and where that was read.
    Nothing(Evidence),
    /// It is set in a way that is not known here.
    Elsewhere,
}

/// Thin Multus takes it as an argument, the thick one from its ConfigMap.
fn indicator(facts: &Facts<'_>, daemon_set: &DaemonSet) -> Result<Indicator, Gap> {
    let spec = &daemon_set.spec.template.spec;
    const FLAG: &str = "--readiness-indicator-file";
    if let Some(file) = spec.containers.iter().find_map(|container| container.flag(FLAG)).filter(|it| !it.is_empty()) {
        return Ok(Indicator::File(file.to_owned()));
    }
    let mut words = spec.containers.iter().flat_map(|container| container.command.iter().chain(&container.args));
    if words.any(|word| word.contains("readiness-indicator-file")) {
        return Ok(Indicator::Elsewhere);
    }
    let names = spec.volumes.iter().filter_map(|volume| Some(volume.config_map.as_ref()?.name.as_str()));
    let Some(name) = names.into_iter().find(|name| name.contains("multus")) else { return Ok(Indicator::Elsewhere) };
    let ns = &daemon_set.metadata.namespace;
    let Some(map) = facts.object::<ConfigMap>(ns, name)? else { return Ok(Indicator::Elsewhere) };
    let Some((_, text)) = map.data.iter().find(|(_, text)| text.to_lowercase().contains("readinessindicator")) else {
        let object = ObjectRef::of::<ConfigMap>(&map.metadata);
        return Ok(Indicator::Nothing(Evidence::field(&object, "data", "no readinessindicatorfile")));
    };
    let config: Option<Value> = serde_json::from_str(text).ok();
    let file = config.as_ref().and_then(|config| config.get("readinessindicatorfile")).and_then(Value::as_str);
    Ok(file.map_or(Indicator::Elsewhere, |file| Indicator::File(file.to_owned())))
}

/// What a boot removes: the host's `/run` under any of the paths that Multus sees it by.
fn ends_with_the_boot(file: &str) -> bool {
    let file = file.strip_prefix("/hostroot").or_else(|| file.strip_prefix("/host")).unwrap_or(file);
    ["/run/", "/var/run/", "/tmp/"].iter().any(|folder| file.starts_with(folder))
}

fn unordered(daemon_set: &DaemonSet, indicator: &Indicator) -> Option<Finding> {
    let object = ObjectRef::of::<DaemonSet>(&daemon_set.metadata);
    let (summary, evidence) = match indicator {
        Indicator::File(file) if !ends_with_the_boot(file) => (
            say!(
                "the readiness indicator of Multus, {}, outlives a reboot, so it does not hold pods back after one",
                file
            ),
            Evidence::field(&object, "readiness indicator", file),
        ),
        Indicator::Nothing(evidence) => (
            say!(
                "after a boot pods try, and fail, until the default network serves: Multus has no readiness indicator"
            ),
            evidence.clone(),
        ),
        _ => return None,
    };
    let remedy = Remedy::advice(say!(
        "optional: name a file below /run that the default CNI makes when it serves (Kube-OVN: its socket kube-ovn-daemon.sock), as Multus sees it"
    ));
    Some(Finding::info(object, summary, remedy).detail("indicator").evidence([evidence]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_boot_removes_tells_of_this_boot() {
        for (file, ends) in [
            ("/host/run/openvswitch/kube-ovn-daemon.sock", true),
            ("/run/multus/cni/net.d/10-ovn-kubernetes.conf", true),
            ("/hostroot/var/run/flannel/subnet.env", true),
            ("/host/etc/cni/net.d/01-kube-ovn.conflist", false),
            ("/etc/cni/net.d/10-calico.conflist", false),
        ] {
            assert_eq!(ends_with_the_boot(file), ends, "{file}");
        }
    }

    #[test]
    fn the_file_is_read_from_the_words() {
        let text = "still waiting for readinessindicatorfile @ /run/x.conf. pollimmediate error: timed out";
        assert_eq!(waited_for(text), Some("/run/x.conf"));
    }
}
