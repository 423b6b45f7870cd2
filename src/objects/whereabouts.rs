//! Custom resources of whereabouts (`whereabouts.cni.cncf.io/v1alpha1`).

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;

use super::kube::Meta;
use super::multus::step;

/// The addresses of one range that are given out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct IpPool {
    pub metadata: Meta,
    pub spec: IpPoolSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct IpPoolSpec {
    pub range: String,
    /// By the distance from the first address of the range.
    pub allocations: BTreeMap<String, Allocation>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Allocation {
    /// Of the container; a release and a repair go by it.
    pub id: String,
    /// `namespace/pod`
    pub podref: String,
}

impl IpPool {
    /// Every address that is given out, with the key of its allocation.
    pub fn allocated(&self) -> impl Iterator<Item = (IpAddr, &str, &Allocation)> {
        let from = self.spec.range.parse::<IpNet>().ok().map(|range| range.addr());
        let all = self.spec.allocations.iter();
        all.filter_map(move |(key, it)| Some((step(from?, key.parse().ok()?)?, key.as_str(), it)))
    }
}

/// What keeps an address from being given out of another range as well; named after the address.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Reservation {
    pub metadata: Meta,
    pub spec: ReservationSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ReservationSpec {
    pub podref: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_distance_from_the_range() {
        for (range, key, address) in [
            ("192.168.140.0/24", "10", Some("192.168.140.10")),
            ("fd00::/64", "256", Some("fd00::100")),
            ("192.168.140.0/24", "x", None),
            ("", "10", None),
        ] {
            let mut pool = IpPool::default();
            pool.spec.range = range.into();
            pool.spec.allocations.insert(key.into(), Allocation::default());
            let found: Vec<String> = pool.allocated().map(|(address, ..)| address.to_string()).collect();
            assert_eq!(found, address.into_iter().collect::<Vec<_>>(), "{range} {key}");
        }
    }
}
