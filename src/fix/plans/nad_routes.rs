//! NET007, NET008: what makes a default route comes out of the NAD of a storage network, and the pods that carry it
//! are made anew.
//!
//! In the text of the NAD's configuration only the default routes go (or `isDefaultGateway` of a bridge), and the
//! gateway that no other route needs; everything else stays as it was written. A pod keeps the routes that it
//! started with, so the pods that have the interface restart in the safe order. The tool does so only while the
//! cluster holds nothing: then nobody can be using that route. It does not where pods would take addresses that
//! others have (NET012), or where hosts that mount volumes may need a specific route instead.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::Range;

use ipnet::IpNet;
use serde_json::{Value, json};

use super::attachment_missing::{multus_on, not_shared};
use crate::check::Text;
use crate::checks::ceph::quoted;
use crate::checks::net::{StorageNetwork, daemon_rows, nad_host_local_shared, storage_networks};
use crate::facts::{Facts, Gap, Select, Settled, Unknown, both, kinds};
use crate::fix::condition::Held;
use crate::fix::json_text::{Part, replaced};
use crate::fix::restart::{in_order, take_away, wait_for_successor};
use crate::fix::{Act, Case, Condition, Object, Plan, Proposal, Risk, Step};
use crate::lang::clauses;
use crate::objects::kube::Pod;
use crate::objects::multus::{NetworkAttachment, NetworkAttachmentSpec, Plugin, Route, interfaces};
use crate::say;

pub fn plan(case: &Case<'_>) -> Result<Proposal, Gap> {
    let facts = case.facts;
    if case.finding.detail.as_deref() == Some("ipam-gateway") {
        return Ok(Proposal::Guided(say!("which gateway is the right one, the network's owner must say")));
    }
    let networks = storage_networks(facts)?;
    let guilty = networks.iter().find(|network| case.finding.objects.first() == Some(&network.object()));
    let Some(network) = guilty else {
        return Ok(Proposal::Guided(say!("the CephCluster does not use this network any more: diagnose again")));
    };
    let (ns, name) = (&network.selection.ns, &network.selection.name);
    let change = both(mend(facts, network), facts.whole(kinds::NETWORK_ATTACHMENT, ns, name));
    let ((mend, whole), (pods, operator)) = both(change, both(carriers(facts, network), operator(facts)))?;
    let Some(whole) = whole else { return Ok(Proposal::Guided(say!("{} is gone: diagnose again", network.object()))) };
    if let Some(why) = mend.why_by_hand() {
        return Ok(Proposal::Guided(why));
    }
    let config = whole["spec"]["config"].as_str().and_then(|config| mended(config, &mend.instead));
    let Some(config) = config else {
        return Ok(Proposal::Guided(say!("{} is being changed: diagnose again", network.object())));
    };
    let mut after = whole.clone();
    after["spec"]["config"] = Value::String(config);
    let patch = Act::Patch { object: Object::of(kinds::NETWORK_ATTACHMENT, whole), before: whole.clone(), after };
    let nodes: BTreeSet<&str> = pods.iter().map(|pod| pod.spec.node_name.as_str()).collect();
    let multus = facts.each(nodes, |facts, node| multus_on(facts, node));
    let (multus, restarts) = both(multus, in_order(facts, &pods))?;
    if let Some(unknown) = multus.blind.into_iter().next() {
        return Err(Gap::Unknown(unknown));
    }
    let full = network.selection.full_name();
    let mut plan = if pods.is_empty() {
        Plan::new(say!("take the default route out of {}, which no pod carries yet", full), Risk::Safe)
    } else {
        let does = say!("take the default route out of {}, and make the {} pods that carry it anew", full, pods.len());
        Plan::new(does, Risk::Disruptive).interrupts(say!(
            "each of these pods for the time of its restart, one after the other; the cluster holds no data yet"
        ))
    };
    plan = plan.guard(not_shared(&network.object()));
    plan.guards.extend(multus.seen.into_iter().filter_map(|(_, multus)| multus));
    let plan = plan
        .step(Step::new(say!("take the default route out of the configuration of {}", network.object()), patch).guard(Condition::HoldsNothing))
        .steps(restarts.monitors)
        .steps(operator.into_iter().filter(|_| !pods.is_empty()))
        .steps(restarts.rest)
        .next(say!("in a monitor's pod no default route may lead over net1: ip route"))
        .next(say!("then the operator goes on by itself; its log says what it waits for: kubectl -n {} logs deploy/rook-ceph-operator", facts.cluster()?.operator_ns))
        .next(say!("rook multus validation run in the operator's pod shows whether the network itself carries the traffic"));
    Ok(Proposal::Plan(plan))
}

/// What can be done about the default routes of a NAD.
pub(crate) struct Mend {
    /// Its configuration without them; none if it cannot be changed in its own words.
    pub config: Option<String>,
    /// Ranges outside of the network that get a route of their own in their place.
    pub instead: Vec<IpNet>,
    /// Why a person must do it.
    reasons: Vec<Text>,
}

impl Mend {
    pub fn why_by_hand(&self) -> Option<Text> {
        (!self.reasons.is_empty()).then(|| say!("{}", clauses(&self.reasons)))
    }
}

pub(crate) fn mend(facts: &Facts<'_>, network: &StorageNetwork<'_>) -> Result<Mend, Gap> {
    let Some(nad) = network.attachment else {
        return Ok(Mend { config: None, instead: Vec::new(), reasons: vec![say!("there is no such NAD")] });
    };
    let held = Condition::HoldsNothing.judge(facts).settled();
    let (held, (outside, rows)) =
        both(held, both(outside(facts, network, nad).settled(), daemon_rows(facts).settled()))?;
    let mut reasons = Vec::new();
    let unseen = |unknown: &Unknown| {
        say!("what decides whether it is safe cannot be seen ({}: {})", unknown.fact.text(), unknown.why.text())
    };
    match held {
        Ok(Held::Yes) => {}
        Ok(Held::No(seen)) => reasons.push(say!(
            "the cluster holds data ({}), so hosts or clients may use that route today: find out who does before it goes",
            seen
        )),
        Err(unknown) => reasons.push(unseen(&unknown)),
    }
    match rows {
        Ok(rows) if nad_host_local_shared::is_shared(network, &rows) => reasons.push(say!(
            "NET012 stands on {}: each pod that restarts takes the next address of its node, and two get the same one, so mend that before any restart",
            network.selection.full_name()
        )),
        Ok(_) => {}
        Err(unknown) => reasons.push(unseen(&unknown)),
    }
    let instead = match outside {
        Ok(ranges) => ranges,
        Err(unknown) => {
            reasons.push(unseen(&unknown));
            Vec::new()
        }
    };
    if !instead.is_empty() {
        let within = subnets(nad);
        let within = if within.is_empty() { say!("it") } else { say!("{}", list(&within)) };
        reasons.push(say!(
            "what is outside of the network ({}) may reach its daemons by that route: the commands put routes there in its place, which may be left out if every host that mounts volumes has an address in {}",
            list(&instead),
            within
        ));
    }
    let config = mended(&nad.spec.config, &instead);
    if config.is_none() {
        reasons.push(say!("the configuration cannot be changed in its own words"));
    }
    Ok(Mend { config, instead, reasons })
}

pub(crate) fn list(ranges: &[IpNet]) -> String {
    ranges.iter().map(IpNet::to_string).collect::<Vec<_>>().join(", ")
}

/// The command that gives the NAD this configuration.
pub(crate) fn patch_command(network: &StorageNetwork<'_>, config: &str) -> String {
    let patch = json!({"spec": {"config": config}}).to_string();
    let (ns, name) = (&network.selection.ns, &network.selection.name);
    format!("kubectl -n {ns} patch net-attach-def {name} --type=merge -p {}", quoted(&patch))
}

/// Pods that have the interface of the network, and that an owner makes anew.
fn carriers<'s>(facts: &Facts<'s>, network: &StorageNetwork<'_>) -> Result<Vec<&'s Pod>, Gap> {
    let cluster = facts.cluster()?;
    let namespaces: BTreeSet<&str> = [cluster.ns.as_str(), cluster.operator_ns.as_str()].into();
    let pods = facts.each(namespaces, |facts, ns| facts.list::<Pod>(Some(ns), Select::all()))?;
    if let Some(unknown) = pods.blind.into_iter().next() {
        return Err(Gap::Unknown(unknown));
    }
    let full = network.selection.full_name();
    let carries = |pod: &&Pod| {
        let all = interfaces(pod).ok().flatten().unwrap_or_default();
        all.iter().any(|interface| interface.name == full)
    };
    let comes_back = |pod: &&Pod| {
        let kinds = ["ReplicaSet", "DaemonSet", "StatefulSet"];
        let owner = pod.metadata.controller().is_some_and(|owner| kinds.contains(&owner.kind.as_str()));
        owner && pod.metadata.deletion_timestamp.is_none()
    };
    Ok(pods.seen.into_iter().flat_map(|(_, pods)| pods).filter(comes_back).filter(carries).collect())
}

/// The operator waits twenty minutes for monitors that it could not reach; anew, it looks at once.
fn operator(facts: &Facts<'_>) -> Result<Vec<Step>, Gap> {
    let rows = facts.operator_pods()?.iter().filter(|row| !row.is_replaced());
    let mut steps = Vec::new();
    for (_, pod) in facts.each(rows, |facts, row| facts.pod(&row.ns, &row.name))?.seen {
        steps.push(take_away(facts, pod)?);
        steps.push(wait_for_successor(pod, "app=rook-ceph-operator"));
    }
    Ok(steps)
}

fn subnets(nad: &NetworkAttachment) -> Vec<IpNet> {
    nad.plugins().unwrap_or_default().iter().flat_map(|plugin| plugin.ipam.subnets()).collect()
}

/// Ranges outside of the network whose way to its daemons the default route may be: of the hosts where CSI mounts
/// from the hosts' network, and those that the CephCluster gives.
fn outside(facts: &Facts<'_>, network: &StorageNetwork<'_>, nad: &NetworkAttachment) -> Result<Vec<IpNet>, Gap> {
    let (cluster, (plugins, nodes)) =
        both(facts.ceph_cluster(), both(crate::checks::csi::plugins(facts), facts.nodes()))?;
    let specific: Vec<IpNet> = nad
        .plugins()
        .unwrap_or_default()
        .iter()
        .flat_map(|plugin| &plugin.ipam.routes)
        .filter(|route| !route.is_default())
        .filter_map(|route| route.dst.parse().ok())
        .collect();
    let within: Vec<IpNet> = subnets(nad).into_iter().chain(specific.iter().copied()).collect();
    let on_host = plugins.iter().any(|plugin| plugin.is_node_plugin() && plugin.template.spec.host_network);
    // Only the public network is the hosts', and who wrote specific routes has thought of them.
    let hosts = nodes.iter().filter(|_| on_host && network.role == "public" && specific.is_empty());
    let hosts = hosts.filter_map(|node| node.address.parse::<IpAddr>().ok()).filter_map(range_of);
    let given = cluster.spec.network.address_ranges.get(network.role).into_iter().flatten();
    let given = given.filter_map(|range| range.parse::<IpNet>().ok());
    let all: BTreeSet<IpNet> =
        hosts.chain(given).filter(|range| !within.iter().any(|net| net.contains(range))).collect();
    Ok(all.into_iter().collect())
}

/// The range that a host's address is likely of: how wide it is cannot be seen.
fn range_of(address: IpAddr) -> Option<IpNet> {
    let length = if address.is_ipv4() { 24 } else { 64 };
    IpNet::new(address, length).ok().map(|net| net.trunc())
}

/// Places in a text and what comes there.
type Changes = Vec<(Range<usize>, String)>;

/// The configuration without what makes a default route, and with routes to these ranges in its place. None if
/// nothing makes one, or if it cannot be taken out of the text.
pub(crate) fn mended(config: &str, instead: &[IpNet]) -> Option<String> {
    let root = Part::parse(config)?;
    let plugins: Vec<&Part> = match root.get("plugins") {
        Some(plugins) => plugins.parts.iter().collect(),
        None => vec![&root],
    };
    let changes: Changes = plugins.into_iter().flat_map(|plugin| in_plugin(config, plugin, instead)).collect();
    let mended = replaced(config, changes);
    let is_well = |plugin: &Plugin| !is_default_gateway(plugin) && !plugin.ipam.routes.iter().any(Route::is_default);
    let all_well = plugins_of(&mended).is_some_and(|plugins| plugins.iter().all(is_well));
    (mended != config && all_well).then_some(mended)
}

fn plugins_of(config: &str) -> Option<Vec<Plugin>> {
    let spec = NetworkAttachmentSpec { config: config.to_owned() };
    NetworkAttachment { spec, ..NetworkAttachment::default() }.plugins().ok()
}

fn is_default_gateway(plugin: &Plugin) -> bool {
    plugin.kind == "bridge" && plugin.is_default_gateway
}

fn in_plugin(text: &str, part: &Part, instead: &[IpNet]) -> Changes {
    let plugin = plugins_of(part.text(text)).and_then(|plugins| plugins.into_iter().next());
    let Some(plugin) = plugin else { return Vec::new() };
    let mut changes = Vec::new();
    let leads_out = is_default_gateway(&plugin);
    if leads_out {
        changes.extend(plain_gateway(text, part));
    }
    let Some(ipam) = part.get("ipam") else { return changes };
    let routes = ipam.get("routes").map_or(&[][..], |routes| &routes.parts);
    let route = |part: &Part| serde_json::from_str::<Route>(part.text(text)).unwrap_or_default();
    let defaults: Vec<(usize, Route)> =
        routes.iter().map(route).enumerate().filter(|(_, route)| route.is_default()).collect();
    if defaults.is_empty() {
        if leads_out && !instead.is_empty() {
            let written: Vec<String> = instead.iter().map(|net| written(net, "")).collect();
            changes.extend(added(ipam, &format!("\"routes\": [{}]", written.join(", "))));
        }
        return changes;
    }
    // The first default route of a family makes room for the specific ones of that family.
    let mut in_place: Vec<(usize, String, bool)> = Vec::new();
    for (family, gw_of) in [true, false].map(|v4| (v4, defaults.iter().find(|(_, route)| is_v4(route) == v4))) {
        let Some((at, default)) = gw_of else { continue };
        let of_family = instead.iter().filter(|net| net.addr().is_ipv4() == family);
        let texts: Vec<String> = of_family.map(|net| written(net, &default.gw)).collect();
        if !texts.is_empty() {
            in_place.push((*at, texts.join(", "), default.gw.is_empty()));
        }
    }
    let goes = |at: usize| defaults.iter().any(|(it, _)| *it == at) && !in_place.iter().any(|(it, ..)| *it == at);
    let left = routes.iter().enumerate().filter(|(at, _)| !defaults.iter().any(|(it, _)| it == at));
    let needs_gateway = left.map(|(_, part)| route(part)).any(|route| route.gw.is_empty())
        || in_place.iter().any(|(_, _, takes_gateway)| *takes_gateway)
        || gateway_serves(&plugin);
    let all_go = (0..routes.len()).all(goes);
    if let Some(list) = ipam.get("routes").filter(|_| !all_go) {
        changes.extend(list.cuts(|at, _| goes(at)).into_iter().map(|cut| (cut, String::new())));
    }
    for (at, text, _) in in_place {
        changes.push((routes[at].value.clone(), text));
    }
    let goes_whole =
        |_: usize, part: &Part| (part.key == "routes" && all_go) || (part.key == "gateway" && !needs_gateway);
    changes.extend(ipam.cuts(goes_whole).into_iter().map(|cut| (cut, String::new())));
    changes
}

/// A bridge without the default route, but with the address that it has: `isDefaultGateway` means `isGateway`, too.
fn plain_gateway(text: &str, plugin: &Part) -> Changes {
    let Some(default) = plugin.get("isDefaultGateway") else { return Vec::new() };
    match plugin.get("isGateway") {
        Some(gateway) => {
            let cuts = plugin.cuts(|_, part| part.key == "isDefaultGateway");
            let mut changes: Changes = cuts.into_iter().map(|cut| (cut, String::new())).collect();
            if gateway.text(text) != "true" {
                changes.push((gateway.value.clone(), "true".to_owned()));
            }
            changes
        }
        None => vec![(default.whole.clone(), "\"isGateway\": true".to_owned())],
    }
}

/// Behind the last member of an object.
fn added(object: &Part, member: &str) -> Changes {
    let Some(last) = object.parts.last() else { return Vec::new() };
    vec![(last.whole.end..last.whole.end, format!(", {member}"))]
}

/// A gateway that is more than the next hop of routes: a bridge takes it for its own address, and host-local never
/// gives it to a pod.
fn gateway_serves(plugin: &Plugin) -> bool {
    let gives = |gateway: &str| {
        let gateway = gateway.parse::<IpAddr>().ok();
        gateway
            .is_some_and(|ip| plugin.ipam.kind == "host-local" && plugin.ipam.spans().iter().any(|span| span.holds(ip)))
    };
    plugin.kind == "bridge" || gives(&plugin.ipam.gateway)
}

fn is_v4(route: &Route) -> bool {
    route.dst.parse::<IpNet>().is_ok_and(|net| net.addr().is_ipv4())
}

fn written(net: &IpNet, gw: &str) -> String {
    if gw.is_empty() { format!(r#"{{"dst": "{net}"}}"#) } else { format!(r#"{{"dst": "{net}", "gw": {}}}"#, json!(gw)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORY: &str = r#"{
  "cniVersion": "0.3.0",
  "type": "macvlan",
  "master": "enp6s0",
  "mode": "bridge",
  "ipam": {
    "type": "host-local",
    "subnet": "10.12.0.0/24",
    "rangeStart": "10.12.0.11",
    "rangeEnd": "10.12.0.250",
    "routes": [
      { "dst": "0.0.0.0/0" }
    ],
    "gateway": "10.12.0.1"
  }
}"#;

    #[test]
    fn only_the_default_route_goes_and_the_rest_keeps_its_form() {
        let expected = r#"{
  "cniVersion": "0.3.0",
  "type": "macvlan",
  "master": "enp6s0",
  "mode": "bridge",
  "ipam": {
    "type": "host-local",
    "subnet": "10.12.0.0/24",
    "rangeStart": "10.12.0.11",
    "rangeEnd": "10.12.0.250"
  }
}"#;
        assert_eq!(mended(STORY, &[]).as_deref(), Some(expected));
        let with_hosts = mended(STORY, &["192.168.70.0/24".parse().unwrap()]).unwrap();
        assert_eq!(
            with_hosts,
            STORY.replace("0.0.0.0/0", "192.168.70.0/24").replace("{ \"dst", "{\"dst").replace("24\" }", "24\"}")
        );
    }

    #[test]
    fn routes_and_gateways_go_or_stay_by_what_needs_them() {
        for (ipam, left) in [
            // A route without a next hop takes the gateway.
            (
                r#"{"type":"whereabouts","gateway":"10.0.0.1","routes":[{"dst":"0.0.0.0/0"},{"dst":"10.9.0.0/16"}]}"#,
                r#"{"type":"whereabouts","gateway":"10.0.0.1","routes":[{"dst":"10.9.0.0/16"}]}"#,
            ),
            (
                r#"{"type":"whereabouts","gateway":"10.0.0.1","routes":[{"dst":"10.9.0.0/16","gw":"10.0.0.2"} , {"gw":"10.0.0.1","dst":"0.0.0.0/0"}]}"#,
                r#"{"type":"whereabouts","routes":[{"dst":"10.9.0.0/16","gw":"10.0.0.2"}]}"#,
            ),
            // Halves, both families, a key that nobody knows.
            (
                r#"{"routes":[{"dst":"0.0.0.0/1"},{"dst":"128.0.0.0/1"},{"dst":"::/1"},{"dst":"8000::/1"},{"dst":"::/0"}],"type":"static","x":[1, 2]}"#,
                r#"{"type":"static","x":[1, 2]}"#,
            ),
            // A gateway in the range of host-local is kept from being given to a pod.
            (
                r#"{"type":"host-local","subnet":"10.0.0.0/24","gateway":"10.0.0.9","routes":[{"dst":"0.0.0.0/0"}]}"#,
                r#"{"type":"host-local","subnet":"10.0.0.0/24","gateway":"10.0.0.9"}"#,
            ),
        ] {
            for (before, after) in [
                (format!(r#"{{"type":"macvlan","ipam":{ipam}}}"#), format!(r#"{{"type":"macvlan","ipam":{left}}}"#)),
                (
                    format!(r#"{{"name":"n","plugins":[{{"type":"macvlan","ipam":{ipam}}},{{"type":"tuning"}}]}}"#),
                    format!(r#"{{"name":"n","plugins":[{{"type":"macvlan","ipam":{left}}},{{"type":"tuning"}}]}}"#),
                ),
            ] {
                assert_eq!(mended(&before, &[]), Some(after), "{before}");
            }
        }
    }

    #[test]
    fn a_bridge_keeps_its_address() {
        for (bridge, left) in [
            (r#""isDefaultGateway":true"#, r#""isGateway": true"#),
            (r#""isGateway":true,"isDefaultGateway":true"#, r#""isGateway":true"#),
            (r#""isDefaultGateway":true,"isGateway":false"#, r#""isGateway":true"#),
        ] {
            let config = |keys: &str| format!(r#"{{"type":"bridge",{keys},"ipam":{{"type":"whereabouts"}}}}"#);
            assert_eq!(mended(&config(bridge), &[]), Some(config(left)), "{bridge}");
        }
        let with_hosts = mended(
            r#"{"type":"bridge","isDefaultGateway":true,"ipam":{"type":"whereabouts"}}"#,
            &["10.1.0.0/24".parse().unwrap()],
        );
        let expected =
            r#"{"type":"bridge","isGateway": true,"ipam":{"type":"whereabouts", "routes": [{"dst": "10.1.0.0/24"}]}}"#;
        assert_eq!(with_hosts.as_deref(), Some(expected));
    }

    #[test]
    fn what_has_no_default_route_or_is_no_json_is_left_alone() {
        for config in ["", "{", r#"{"type":"macvlan"}"#, r#"{"ipam":{"routes":[{"dst":"10.0.0.0/8"}]}}"#] {
            assert_eq!(mended(config, &[]), None, "{config}");
        }
    }
}
