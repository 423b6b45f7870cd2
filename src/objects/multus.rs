//! Multus: NetworkAttachmentDefinitions, their CNI configuration, and the annotations of pods.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;

use super::kube::{Meta, Pod};

/// Asks for networks.
pub const NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";
/// Says which interfaces the pod got; `networks-status` is its older spelling.
pub const NETWORK_STATUS: &str = "k8s.v1.cni.cncf.io/network-status";

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NetworkAttachment {
    pub metadata: Meta,
    pub spec: NetworkAttachmentSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NetworkAttachmentSpec {
    /// The CNI configuration, JSON in a string.
    pub config: String,
}

impl NetworkAttachment {
    /// `namespace/name`
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.metadata.namespace, self.metadata.name)
    }

    /// What Multus calls the network in its errors: the configuration's own name, else the object's.
    pub fn cni_name(&self) -> String {
        let config: Option<Value> = serde_json::from_str(&self.spec.config).ok();
        let named = config.as_ref().and_then(|config| config.get("name")?.as_str());
        named.filter(|name| !name.is_empty()).unwrap_or(&self.metadata.name).to_owned()
    }

    /// Where its addresses come from; empty if the configuration cannot be read, which NET006 reports.
    pub fn ipam(&self) -> Ipam {
        self.plugins().unwrap_or_default().into_iter().next().unwrap_or_default().ipam
    }

    /// The plugins in order; the first makes the interface and owns the IPAM.
    pub fn plugins(&self) -> Result<Vec<Plugin>, String> {
        let config: Value = serde_json::from_str(&self.spec.config).map_err(|error| error.to_string())?;
        let plugins = match config.get("plugins") {
            Some(Value::Array(plugins)) => plugins.clone(),
            Some(_) => return Err("plugins is not a list".into()),
            None => vec![config],
        };
        plugins
            .into_iter()
            .map(|mut plugin| {
                strip(&mut plugin);
                plugin.get_mut("ipam").into_iter().for_each(forget_foreign);
                serde_json::from_value(plugin).map_err(|error| error.to_string())
            })
            .collect()
    }
}

/// The keys of an IPAM that is not known here may have the same names and other shapes.
fn forget_foreign(ipam: &mut Value) {
    let kind = ipam.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let known = ["", "host-local", "whereabouts", "static", "dhcp", "kube-ovn"].contains(&kind.as_str());
    if !known && let Value::Object(map) = ipam {
        let routes: Option<Vec<Route>> = map.get("routes").and_then(|it| serde_json::from_value(it.clone()).ok());
        map.retain(|key, _| key == "type" || (key == "routes" && routes.is_some()));
    }
}

fn strip(value: &mut Value) {
    if let Value::Object(map) = value {
        map.retain(|_, value| !value.is_null());
        map.values_mut().for_each(strip);
    }
}

/// One CNI plugin's configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Plugin {
    #[serde(rename = "type")]
    pub kind: String,
    pub mode: String,
    /// The host's interface, where the plugin has one. Kept as they come, like the next: others may write them otherwise.
    pub master: Value,
    pub bridge: Value,
    pub vlan: Value,
    pub mtu: Value,
    pub is_default_gateway: bool,
    pub ipam: Ipam,
}

/// The union of the IPAM plugins' keys: host-local's are camelCase, whereabouts' snake_case.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Ipam {
    #[serde(rename = "type")]
    pub kind: String,
    pub routes: Vec<Route>,
    pub gateway: String,
    pub subnet: String,
    /// host-local
    #[serde(rename = "rangeStart")]
    pub first: String,
    #[serde(rename = "rangeEnd")]
    pub last: String,
    /// host-local: a list of range sets, each a list of ranges.
    pub ranges: Vec<Vec<Range>>,
    /// whereabouts: the range of the IPAM itself.
    #[serde(flatten)]
    pub own: WhereaboutsRange,
    #[serde(rename = "ipRanges")]
    pub ip_ranges: Vec<WhereaboutsRange>,
    /// whereabouts: pools of different names know nothing of each other.
    pub network_name: String,
    /// whereabouts: every node has a pool of its own.
    pub node_slice_size: String,
    /// whereabouts: absent means true: no address is given twice, whatever the range.
    pub enable_overlapping_ranges: Option<bool>,
    /// static
    pub addresses: Vec<StaticAddress>,
}

impl Ipam {
    /// Every subnet that addresses come from, as the configuration writes it.
    pub fn subnets(&self) -> Vec<IpNet> {
        let flat = [self.subnet.as_str(), self.own.range.as_str()].into_iter();
        let sets = self.ranges.iter().flatten().map(|range| range.subnet.as_str());
        let whereabouts = self.ip_ranges.iter().map(|range| range.range.as_str());
        let fixed = self.addresses.iter().map(|address| address.address.as_str());
        flat.chain(sets).chain(whereabouts).chain(fixed).filter_map(subnet).collect()
    }

    /// The addresses that host-local or whereabouts hand out; empty for others, whose ranges are elsewhere.
    pub fn spans(&self) -> Vec<Span> {
        match self.kind.as_str() {
            "host-local" => {
                let sets = self.ranges.iter().flatten().map(|range| (&range.subnet, &range.first, &range.last));
                let all = [(&self.subnet, &self.first, &self.last)].into_iter().chain(sets);
                all.filter_map(|(subnet, first, last)| Span::new(subnet, first, last, &[])).collect()
            }
            "whereabouts" => {
                let all = [&self.own].into_iter().chain(&self.ip_ranges);
                all.filter_map(|it| Span::new(&it.range, &it.range_start, &it.range_end, &it.exclude)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Every gateway that is set.
    pub fn gateways(&self) -> Vec<&str> {
        let sets = self.ranges.iter().flatten().map(|range| range.gateway.as_str());
        let fixed = self.addresses.iter().map(|address| address.gateway.as_str());
        [self.gateway.as_str()].into_iter().chain(sets).chain(fixed).filter(|gateway| !gateway.is_empty()).collect()
    }
}

/// `10.0.0.0/24`, or whereabouts' `10.0.0.5-10.0.0.9/24`.
fn subnet(text: &str) -> Option<IpNet> {
    let text = text.rsplit_once('-').map_or(text, |(_, end)| end);
    text.parse::<IpNet>().ok().map(|net| net.trunc())
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct Route {
    pub dst: String,
    pub gw: String,
}

impl Route {
    /// A default route, or one of the halves that together make one.
    pub fn is_default(&self) -> bool {
        self.dst.parse::<IpNet>().is_ok_and(|net| net.prefix_len() <= 1)
    }
}

/// Addresses of one subnet that are handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub subnet: IpNet,
    pub first: IpAddr,
    pub last: IpAddr,
    pub excluded: Vec<IpNet>,
}

impl Span {
    /// `range` is a subnet, or whereabouts' `10.0.0.5-10.0.0.9/24`. An end that is not set is the subnet's.
    fn new(range: &str, first: &str, last: &str, excluded: &[String]) -> Option<Self> {
        let (from, to) = range.rsplit_once('-').unwrap_or(("", ""));
        let to = to.split('/').next().unwrap_or_default();
        let subnet = subnet(range)?;
        let set = |texts: [&str; 2]| {
            let parsed = texts.into_iter().find_map(|text| text.parse::<IpAddr>().ok());
            parsed.filter(|address| subnet.contains(address))
        };
        // The network's own address and the last one, which broadcasts, are no host's.
        let hosts = subnet.max_prefix_len() - subnet.prefix_len() >= 2;
        let edge = u128::from(hosts);
        let usable = (number(subnet.network()) + edge, number(subnet.broadcast()) - edge);
        Some(Self {
            first: set([from, first]).unwrap_or_else(|| address(subnet, usable.0)),
            last: set([to, last]).unwrap_or_else(|| address(subnet, usable.1)),
            excluded: excluded.iter().filter_map(|text| single_or_net(text)).collect(),
            subnet,
        })
    }

    pub fn holds(&self, ip: IpAddr) -> bool {
        self.subnet.contains(&ip)
            && self.first <= ip
            && ip <= self.last
            && !self.excluded.iter().any(|net| net.contains(&ip))
    }

    /// How many addresses can be given.
    pub fn size(&self) -> u128 {
        free(number(self.first), number(self.last), &self.excluded)
    }

    /// Whether both may give the same address.
    pub fn meets(&self, other: &Self) -> bool {
        let excluded: Vec<IpNet> = self.excluded.iter().chain(&other.excluded).copied().collect();
        let (first, last) = (self.first.max(other.first), self.last.min(other.last));
        self.first.is_ipv4() == other.first.is_ipv4() && free(number(first), number(last), &excluded) > 0
    }
}

/// Addresses from the first to the last that no network of the list holds.
fn free(first: u128, last: u128, excluded: &[IpNet]) -> u128 {
    let mut holes: Vec<_> = excluded.iter().map(|net| (number(net.network()), number(net.broadcast()))).collect();
    holes.sort_unstable();
    let (mut next, mut count) = (first, 0);
    for (from, to) in holes.into_iter().filter(|(from, to)| *to >= first && *from <= last) {
        count += from.saturating_sub(next);
        next = next.max(to.saturating_add(1));
    }
    count + last.saturating_add(1).saturating_sub(next)
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    }
}

/// The address of that number in the family of the subnet.
fn address(subnet: IpNet, number: u128) -> IpAddr {
    match subnet {
        IpNet::V4(_) => u32::try_from(number).map_or(subnet.broadcast(), |number| IpAddr::V4(number.into())),
        IpNet::V6(_) => IpAddr::V6(number.into()),
    }
}

/// The address so many steps after this one.
pub fn step(from: IpAddr, by: u128) -> Option<IpAddr> {
    let number = number(from).checked_add(by)?;
    match from {
        IpAddr::V4(_) => u32::try_from(number).ok().map(|number| IpAddr::V4(number.into())),
        IpAddr::V6(_) => Some(IpAddr::V6(number.into())),
    }
}

fn single_or_net(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from)).map(|net| net.trunc())
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Range {
    pub subnet: String,
    #[serde(rename = "rangeStart")]
    pub first: String,
    #[serde(rename = "rangeEnd")]
    pub last: String,
    pub gateway: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct WhereaboutsRange {
    pub range: String,
    pub range_start: String,
    pub range_end: String,
    pub exclude: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct StaticAddress {
    pub address: String,
    pub gateway: String,
}

/// A network that a selector or an annotation names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Selection {
    pub ns: String,
    pub name: String,
}

impl Selection {
    /// `namespace/name`
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.ns, self.name)
    }
}

/// Reads `[ns/]name[@iface],…`, a JSON list of objects, or (as Rook tolerates) one JSON object.
pub fn selections(text: &str, default_ns: &str) -> Result<Vec<Selection>, String> {
    let text = text.trim();
    if text.starts_with('[') || text.starts_with('{') {
        let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let items = if let Value::Array(items) = value { items } else { vec![value] };
        return items.iter().map(|item| json_selection(item, default_ns)).collect();
    }
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    Ok(names.map(|name| named(name, default_ns)).collect())
}

fn json_selection(item: &Value, default_ns: &str) -> Result<Selection, String> {
    let text = |key: &str| item.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let name = text("name").ok_or("a network selection has no name")?;
    Ok(Selection { ns: text("namespace").unwrap_or(default_ns).to_owned(), name: name.to_owned() })
}

fn named(text: &str, default_ns: &str) -> Selection {
    let text = text.split_once('@').map_or(text, |(name, _)| name);
    let (ns, name) = text.split_once('/').unwrap_or((default_ns, text));
    Selection { ns: ns.to_owned(), name: name.to_owned() }
}

/// An interface that a pod has, by its network-status.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Interface {
    /// `namespace/name` of the NAD, or the default network's own name.
    pub name: String,
    pub interface: String,
    pub ips: Vec<String>,
    pub gateway: Vec<String>,
    /// A number, where the plugin reports it (CNI 1.1 and later).
    pub mtu: Value,
}

impl Interface {
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.ips.iter().filter_map(|ip| ip.split('/').next()?.parse().ok())
    }
}

/// The networks that this pod asked for.
pub fn wanted_networks(pod: &Pod) -> Result<Vec<Selection>, String> {
    let text = pod.metadata.annotations.get(NETWORKS).map_or("", String::as_str);
    selections(text, &pod.metadata.namespace)
}

/// The interfaces that this pod got; none if the annotation is absent, which Multus writes and nobody else does.
pub fn interfaces(pod: &Pod) -> Result<Option<Vec<Interface>>, String> {
    let annotations = &pod.metadata.annotations;
    let Some(text) = annotations.get(NETWORK_STATUS).or_else(|| annotations.get("k8s.v1.cni.cncf.io/networks-status"))
    else {
        return Ok(None);
    };
    let mut value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if let Value::Array(items) = &mut value {
        items.iter_mut().for_each(strip);
    }
    serde_json::from_value(value).map(Some).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selections_come_in_three_notations() {
        let public = Selection { ns: "rook-ceph".into(), name: "public".into() };
        for text in [
            "public",
            "rook-ceph/public@net1",
            r#"[{"name":"public"}]"#,
            r#"{"name":"public","namespace":"rook-ceph"}"#,
        ] {
            assert_eq!(selections(text, "rook-ceph"), Ok(vec![public.clone()]), "{text}");
        }
        assert!(selections("[{]", "x").is_err());
    }

    #[test]
    fn an_ipam_hands_out_its_spans() {
        for (ipam, sizes) in [
            (r#"{"type":"whereabouts","range":"10.0.0.0/24"}"#, vec![254]),
            (r#"{"type":"whereabouts","range":"10.0.0.5-10.0.0.9/24"}"#, vec![5]),
            (
                r#"{"type":"whereabouts","range":"10.0.0.0/24","range_start":"10.0.0.10","range_end":"10.0.0.200"}"#,
                vec![191],
            ),
            (
                r#"{"type":"whereabouts","range":"10.0.0.0/29","exclude":["10.0.0.2/32","10.0.0.2","10.0.0.4/30"]}"#,
                vec![2],
            ),
            (r#"{"type":"whereabouts","ipRanges":[{"range":"10.0.0.0/30"},{"range":"fd00::/126"}]}"#, vec![2, 2]),
            (
                r#"{"type":"host-local","ranges":[[{"subnet":"10.0.0.0/24","rangeStart":"10.0.0.11","rangeEnd":"10.0.0.12"}]]}"#,
                vec![2],
            ),
            (r#"{"type":"host-local","subnet":"10.0.0.0/30"}"#, vec![2]),
            (r#"{"type":"kube-ovn","provider":"a.b"}"#, vec![]),
        ] {
            let mut nad = NetworkAttachment::default();
            nad.spec.config = format!(r#"{{"type":"macvlan","ipam":{ipam}}}"#);
            let spans: Vec<u128> = nad.ipam().spans().iter().map(Span::size).collect();
            assert_eq!(spans, sizes, "{ipam}");
        }
    }

    #[test]
    fn spans_meet_where_both_may_give_an_address() {
        let span = |range: &str, exclude: &[&str]| {
            let exclude: Vec<String> = exclude.iter().map(|&net| net.to_owned()).collect();
            Span::new(range, "", "", &exclude).unwrap()
        };
        for (a, b, expected) in [
            (span("10.0.0.0/24", &[]), span("10.0.0.128/25", &[]), true),
            (span("10.0.0.0/25", &[]), span("10.0.0.128/25", &[]), false),
            (span("10.0.0.0/24", &["10.0.0.128/25"]), span("10.0.0.128/25", &[]), false),
            (span("10.0.0.10-10.0.0.99/24", &[]), span("10.0.0.100-10.0.0.200/24", &[]), false),
            (span("10.0.0.0/24", &[]), span("fd00::/64", &[]), false),
        ] {
            assert_eq!((a.meets(&b), b.meets(&a)), (expected, expected), "{a:?} {b:?}");
        }
    }

    #[test]
    fn halves_of_a_default_route_are_one() {
        let is_default = |dst: &str| Route { dst: dst.into(), gw: String::new() }.is_default();
        assert!(["0.0.0.0/0", "::/0", "128.0.0.0/1", "0.0.0.0/1", "8000::/1"].into_iter().all(is_default));
        assert!(!["192.168.254.0/24", "10.0.0.0/8", ""].into_iter().any(is_default));
    }
}
