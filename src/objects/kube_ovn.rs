//! Custom resources of Kube-OVN (`kubeovn.io/v1`).

use ipnet::IpNet;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::kube::{Condition, Meta};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Subnet {
    pub metadata: Meta,
    pub spec: SubnetSpec,
    pub status: SubnetStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SubnetSpec {
    /// One range, or one of each family with a comma.
    pub cidr_block: String,
    pub gateway: String,
    /// `ovn` is the default network; `<nad>.<namespace>.ovn` and `<nad>.<namespace>` belong to a NAD.
    pub provider: String,
    pub vpc: String,
    /// The Vlan of an underlay network.
    pub vlan: String,
    pub default: bool,
    pub namespaces: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct SubnetStatus {
    pub conditions: Vec<Condition>,
    #[serde(rename = "v4availableIPs")]
    pub v4_available: Value,
    #[serde(rename = "v4usingIPs")]
    pub v4_using: Value,
    #[serde(rename = "v6availableIPs")]
    pub v6_available: Value,
    #[serde(rename = "v6usingIPs")]
    pub v6_using: Value,
}

impl Subnet {
    pub fn nets(&self) -> Vec<IpNet> {
        self.spec.cidr_block.split(',').filter_map(|range| range.trim().parse().ok()).collect()
    }

    /// Whether it is a switch of OVN; else Kube-OVN only keeps its addresses.
    pub fn is_ovn(&self) -> bool {
        let provider = &self.spec.provider;
        provider.is_empty() || provider == "ovn" || provider.ends_with(".ovn")
    }

    /// Whether a family that it has is used up. Releases exist that count nothing at all: both numbers are 0 then.
    pub fn is_full(&self) -> bool {
        let status = &self.status;
        self.nets().iter().any(|net| match net {
            IpNet::V4(_) => is_count(&status.v4_available, true) && is_count(&status.v4_using, false),
            IpNet::V6(_) => is_count(&status.v6_available, true) && is_count(&status.v6_using, false),
        })
    }
}

/// Whether a count is there, and is zero or is not. Releases differ in whether it is a number or its text.
fn is_count(value: &Value, zero: bool) -> bool {
    let text = value.as_str().and_then(|text| text.parse::<f64>().ok());
    value.as_f64().or(text).is_some_and(|count| (count == 0.0) == zero)
}

/// The network cards of the nodes that underlay networks leave by.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ProviderNetwork {
    pub metadata: Meta,
    pub status: ProviderNetworkStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ProviderNetworkStatus {
    pub not_ready_nodes: Vec<String>,
    pub vlans: Vec<String>,
    pub conditions: Vec<NodeCondition>,
}

/// A condition of one node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NodeCondition {
    pub node: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub reason: String,
    pub message: String,
    pub last_transition_time: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_subnet_is_full_where_a_family_of_its_own_is() {
        for (range, status, full) in [
            (
                "10.1.0.0/24",
                json!({"v4availableIPs": 0, "v4usingIPs": 253, "v6availableIPs": 0, "v6usingIPs": 0}),
                true,
            ),
            ("10.1.0.0/24", json!({"v4availableIPs": 0.0, "v4usingIPs": 253.0}), true),
            ("10.1.0.0/24", json!({"v4availableIPs": "0", "v4usingIPs": "253"}), true),
            (
                "10.1.0.0/24",
                json!({"v4availableIPs": 1, "v4usingIPs": 252, "v6availableIPs": 0, "v6usingIPs": 9}),
                false,
            ),
            ("10.1.0.0/24", json!({"v4availableIPs": 0, "v4usingIPs": 0}), false),
            ("10.1.0.0/24", json!({}), false),
            (
                "10.1.0.0/24,fd00::/120",
                json!({"v4availableIPs": 9, "v4usingIPs": 9, "v6availableIPs": 0, "v6usingIPs": 9}),
                true,
            ),
        ] {
            let subnet = json!({"spec": {"cidrBlock": range}, "status": status});
            let subnet: Subnet = serde_json::from_value(subnet.clone()).unwrap();
            assert_eq!(subnet.is_full(), full, "{range} {status}");
        }
    }
}
