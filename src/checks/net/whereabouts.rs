//! The storage networks whose addresses whereabouts gives, and its books of them.

use std::net::IpAddr;

use super::StorageNetwork;
use crate::check::{Evidence, ObjectRef};
use crate::facts::{Facts, Gap, kinds};
use crate::objects::multus::{Ipam, Span};
use crate::objects::whereabouts::{Allocation, IpPool};

/// A range of a storage network, and the pool that holds what is given out of it.
pub(crate) struct Book<'n> {
    pub network: &'n StorageNetwork<'n>,
    pub pool: &'n IpPool,
    pub span: Span,
}

/// An address that is given out, and the pod that it was given to.
pub(crate) struct Given<'n> {
    pub address: IpAddr,
    pub key: &'n str,
    pub allocation: &'n Allocation,
    pub ns: &'n str,
    pub pod: &'n str,
}

/// None for a network whose addresses come from elsewhere, that has given none so far, or that keeps a pool for
/// each node.
pub(crate) fn books<'n>(facts: &Facts<'n>, networks: &'n [StorageNetwork<'n>]) -> Result<Vec<Book<'n>>, Gap> {
    let ipam = |network: &'n StorageNetwork<'n>| Some((network, network.attachment?.ipam()));
    let is_shared = |ipam: &Ipam| ipam.kind == "whereabouts" && ipam.node_slice_size.is_empty();
    let ours: Vec<_> = networks.iter().filter_map(ipam).filter(|(_, ipam)| is_shared(ipam)).collect();
    if ours.is_empty() || !facts.installed(kinds::IP_POOL)? {
        return Ok(Vec::new());
    }
    let pools = facts.ip_pools()?;
    let mut books = Vec::new();
    for (network, ipam) in ours {
        for span in ipam.spans() {
            let name = pool_name(&ipam, &span);
            let pool = pools.iter().find(|pool| pool.metadata.name == name);
            books.extend(pool.map(|pool| Book { network, pool, span }));
        }
    }
    Ok(books)
}

/// `192.168.140.0-24`, with the name of the network before it if the IPAM has one.
fn pool_name(ipam: &Ipam, span: &Span) -> String {
    let range = span.subnet.to_string().replace([':', '/'], "-");
    if ipam.network_name.is_empty() { range } else { format!("{}-{range}", ipam.network_name) }
}

impl<'n> Book<'n> {
    /// What is given out of the range that the NAD has now.
    pub fn given(&self) -> impl Iterator<Item = (IpAddr, &'n str, &'n Allocation)> {
        self.pool.allocated().filter(|(address, ..)| self.span.holds(*address))
    }

    /// The same with the pods. Their names end up in commands, and no pod has another one.
    pub fn named(&self) -> impl Iterator<Item = Given<'n>> {
        let is_name = |text: &str| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
        };
        self.given().filter_map(move |(address, key, allocation)| {
            let (ns, pod) = allocation.podref.split_once('/')?;
            (is_name(ns) && is_name(pod)).then_some(Given { address, key, allocation, ns, pod })
        })
    }

    pub fn is_full(&self) -> bool {
        self.given().map(|_| 1).sum::<u128>() >= self.span.size()
    }

    pub fn object(&self) -> ObjectRef {
        ObjectRef::of::<IpPool>(&self.pool.metadata)
    }

    pub fn counted(&self) -> Evidence {
        let Span { first, last, .. } = &self.span;
        let (given, size) = (self.given().count(), self.span.size());
        let excerpt = format!("{given} of the {size} addresses from {first} to {last} are given out");
        Evidence::field(&self.object(), "spec.allocations", excerpt)
    }
}
