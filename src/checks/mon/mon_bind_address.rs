use std::collections::BTreeMap;

use super::ends::{Failed, failed};
use super::{EXTERNAL, daemon, deployment, flag, list, severity_of_one};
use crate::check;
use crate::check::{Answered, Evidence, Finding, Place, Remedy, Text};
use crate::facts::{Facts, Gap, Settled};
use crate::objects::kube::Pod;
use crate::objects::rook::{CephCluster, Network};
use crate::say;

check! {
    /// # What it looks at
    /// Monitors that do not run and cannot bind their address: the address of the pod against `spec.network.ipFamily` and
    /// `dualStack` and against `--public-addr` and `--public-bind-addr` of the monitor (an IPv6 address needs brackets before a
    /// port, an IPv4 address has none), and `unable to bind` at the end of its log.
    ///
    /// # Why it matters
    /// Such a monitor ends at each start. The families are the same on every node, so all monitors end alike.
    ///
    /// # Confirm by hand
    /// `kubectl -n <ns> get pod <pod> -o jsonpath='{.status.podIPs} {.spec.containers[0].args}'` and
    /// `kubectl -n <ns> logs <pod> -c mon --previous`.
    ///
    /// # Fix
    /// Say in the CephCluster which family the pods' first address has (`ipFamily: IPv6` on an IPv6 cluster), or `dualStack: true`
    /// where they have both. A port behind an address without brackets is a fault of Rook up to early 1.14
    /// with `requireMsgr2`. If the port is taken, stop who holds it on that node.
    ///
    /// # References
    /// Rook: CRDs/Cluster/network-providers, "IPFamily"; issues 7522, 11858, pull request 14248.
    "MON011" "mon-bind-address" Mon,
    needs: [Discovery, CephClusters, MonPods, Objects, Logs],
    explained_by: [(mon::mon_network_changed, Daemon)],
}

/// A monitor that failed, and what its log says of it.
type Unbound<'s> = (Failed<'s>, Option<Evidence>);

const UNABLE: &[&str] = &["unable to bind to", "unable to bind monitor to"];

fn run(facts: &Facts<'_>) -> Result<Answered, Gap> {
    if facts.cluster()?.external {
        return Ok(Answered::NotApplicable(EXTERNAL));
    }
    let cluster = facts.ceph_cluster()?;
    let failed = failed(facts)?;
    let mut blind = failed.blind;
    let opened = facts.each(failed.seen, |facts, (_, failed)| failed.last_words(facts, UNABLE).settled())?;
    let mut reasons: BTreeMap<String, (Text, Vec<Unbound<'_>>)> = BTreeMap::new();
    let mut add = |reason: Text, failed, words| {
        reasons.entry(reason.english()).or_insert_with(|| (reason, Vec::new())).1.push((failed, words));
    };
    for ((_, failed), words) in opened.seen {
        let misfit = misfit(failed.pod, &cluster.spec.network);
        match (misfit, words) {
            (Some(reason), words) => add(reason, failed, words.unwrap_or_default()),
            (None, Ok(Some(words))) => add(plain(&words.excerpt), failed, Some(words)),
            (None, Ok(None)) => {}
            (None, Err(unknown)) => blind.push(unknown),
        }
    }
    let findings = reasons.into_values().filter_map(|(reason, mons)| finding(cluster, &reason, &mons));
    Ok(Answered::judged(findings.collect()).blind(blind).blind(opened.blind))
}

/// What is wrong with the address that a monitor is told, against the first one that its pod has.
fn misfit(pod: &Pod, network: &Network) -> Option<Text> {
    let (ip, bind) = (pod.status.pod_ip.as_str(), flag(&pod.spec, "--public-bind-addr").unwrap_or_default());
    let public = flag(&pod.spec, "--public-addr").unwrap_or_default();
    if ip.is_empty() {
        return None;
    }
    let six = ip.contains(':');
    let with_port = public.strip_prefix(ip).is_some_and(|rest| rest == ":3300" || rest == ":6789");
    if six && (bind.starts_with("$(ROOK_POD_IP):") || with_port) {
        return Some(say!("the port stands behind an IPv6 address without brackets"));
    }
    if !six && bind.starts_with("[$(ROOK_POD_IP)]") {
        return Some(say!("an IPv4 address stands in the brackets of IPv6"));
    }
    let wants_six = network.ip_family == "IPv6";
    if network.dual_stack || wants_six == six {
        return None;
    }
    let (wanted, has) = if wants_six { ("IPv6", "IPv4") } else { ("IPv4", "IPv6") };
    Some(say!("the CephCluster is set to {} and the first address of the pods is {}", wanted, has))
}

/// Why the kernel refused, in words.
fn plain(line: &str) -> Text {
    if line.contains("Address already in use") {
        say!("another process holds its port on the node")
    } else if line.contains("Cannot assign requested address") {
        say!("its address is on no interface of the pod")
    } else {
        say!("it cannot bind its address")
    }
}

fn finding(cluster: &CephCluster, reason: &Text, mons: &[Unbound<'_>]) -> Option<Finding> {
    let ns = &cluster.metadata.namespace;
    let (first, _) = mons.first()?;
    let summary = say!("{} cannot bind: {}", list(mons.iter().map(|(failed, _)| failed.mon.id)), reason);
    let remedy = Remedy::guided(say!("make the address fit: `ipFamily` of the CephCluster is to be the family of the pods' first address, `dualStack: true` where they have both (Rook up to early 1.14 writes no brackets where `requireMsgr2` asks for a port: upgrade it); if a port is taken, stop who holds 3300 or 6789 on {}; delete no monitor", first.mon.pod.node))
        .command(format!("kubectl -n {ns} get cephcluster {} -o jsonpath='{{.spec.network}}'", cluster.metadata.name))
        .command(format!("kubectl -n {ns} get pod {} -o jsonpath='{{.status.podIPs}} {{.spec.containers[0].args}}'", first.mon.pod.name))
        .command(format!("kubectl -n {ns} logs {} -c mon --previous --tail=50", first.mon.pod.name));
    let told = |failed: &Failed<'_>| {
        let flags = ["--public-addr", "--public-bind-addr"].into_iter();
        let flags = flags.filter_map(|name| Some(format!(", {name}={}", flag(&failed.pod.spec, name)?)));
        let text = format!("podIP {}{}", failed.pod.status.pod_ip, flags.collect::<String>());
        Evidence::field(&deployment(ns, failed.mon.id), "pod status.podIP and arguments", text)
    };
    let places = mons.iter().flat_map(|(failed, _)| [daemon(failed.mon.id), Place::node(&failed.mon.pod.node)]);
    let others = mons.iter().skip(1).map(|(failed, _)| deployment(ns, failed.mon.id));
    let finding = Finding::new(severity_of_one(cluster), deployment(ns, first.mon.id), summary, remedy);
    let evidence = mons.iter().flat_map(|(failed, words)| [Some(told(failed)), words.clone()]).flatten();
    Some(finding.also(others).at(places).evidence(evidence))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_and_brackets_must_fit() {
        let case = |ip: &str, family: &str, dual: bool, args: &[&str]| {
            let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
            let container = crate::objects::kube::Container { name: "mon".into(), args, ..Default::default() };
            let mut pod = Pod::default();
            pod.status.pod_ip = ip.to_owned();
            pod.spec.containers.push(container);
            misfit(&pod, &Network { ip_family: family.to_owned(), dual_stack: dual, ..Network::default() })
        };
        let bare = &["--public-addr=fd00::a", "--public-bind-addr=$(ROOK_POD_IP)"];
        let bare_port = &["--public-addr=fd00::a", "--public-bind-addr=$(ROOK_POD_IP):3300"];
        let brackets = &["--public-addr=fd00::a", "--public-bind-addr=[$(ROOK_POD_IP)]:3300"];
        let mangled = &["--public-addr=fd07:aaaa:bbbb:cccc::12:3300"];
        assert!(case("fd00::1", "IPv6", false, bare).is_none());
        assert!(case("fd00::1", "IPv6", false, brackets).is_none());
        assert!(case("10.0.0.1", "", false, bare_port).is_none());
        assert!(case("10.0.0.1", "", true, bare).is_none());
        assert!(case("", "IPv6", false, bare).is_none(), "no address is known");
        assert!(case("fd00::1", "IPv6", true, bare_port).unwrap().english().contains("without brackets"));
        assert!(
            case("fd07:aaaa:bbbb:cccc::12", "IPv6", false, mangled).unwrap().english().contains("without brackets")
        );
        assert!(case("10.0.0.1", "IPv6", false, brackets).unwrap().english().contains("brackets of IPv6"));
        assert!(case("10.0.0.1", "IPv6", false, bare).unwrap().english().contains("set to IPv6"));
        assert!(case("fd00::1", "", false, bare).unwrap().english().contains("set to IPv4"));
    }
}
