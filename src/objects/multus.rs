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
    /// host-local: a list of range sets, each a list of ranges.
    pub ranges: Vec<Vec<Range>>,
    /// whereabouts
    pub range: String,
    #[serde(rename = "ipRanges")]
    pub ip_ranges: Vec<WhereaboutsRange>,
    /// static
    pub addresses: Vec<StaticAddress>,
}

impl Ipam {
    /// Every subnet that addresses come from, as the configuration writes it.
    pub fn subnets(&self) -> Vec<IpNet> {
        let flat = [self.subnet.as_str(), self.range.as_str()].into_iter();
        let sets = self.ranges.iter().flatten().map(|range| range.subnet.as_str());
        let whereabouts = self.ip_ranges.iter().map(|range| range.range.as_str());
        let fixed = self.addresses.iter().map(|address| address.address.as_str());
        flat.chain(sets).chain(whereabouts).chain(fixed).filter_map(subnet).collect()
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

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Range {
    pub subnet: String,
    pub gateway: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct WhereaboutsRange {
    pub range: String,
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
    fn halves_of_a_default_route_are_one() {
        let is_default = |dst: &str| Route { dst: dst.into(), gw: String::new() }.is_default();
        assert!(["0.0.0.0/0", "::/0", "128.0.0.0/1", "0.0.0.0/1", "8000::/1"].into_iter().all(is_default));
        assert!(!["192.168.254.0/24", "10.0.0.0/8", ""].into_iter().any(is_default));
    }
}
