//! Addresses and the networks they are of. Each network gets another prefix and every address keeps its place
//! in its network, so that subnets, gateways, ranges, offsets and equal hosts are what they were.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::sync::LazyLock;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use regex::bytes::Regex;

static V4: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?-u)[0-9]{1,3}(?:\.[0-9]{1,3}){3}").ok());
static V6: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?-u)[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*").ok());

/// What follows the last number of a kernel's version.
const BUILDS: [&str; 6] = ["el", "fc", "x86", "amzn", "aarch", "uek"];
/// Wider networks stay: `10.0.0.0/8` says nothing of a cluster.
const WIDEST: (u8, u8) = (12, 32);
/// What an address is taken to share with its neighbours where no network is named.
const ALONE: (u8, u8) = (24, 64);
/// A network as small as this is a host.
const HOST: (u8, u8) = (31, 127);

/// An address in a text, with the length of the prefix behind it.
pub struct Seen {
    pub range: Range<usize>,
    pub address: IpAddr,
    pub prefix: Option<u8>,
}

/// Every address of a text, but not those that are the same everywhere.
pub fn find(text: &[u8]) -> Vec<Seen> {
    let (Some(v4), Some(v6)) = (V4.as_ref(), V6.as_ref()) else { return Vec::new() };
    let mut seen: Vec<Seen> = v4.find_iter(text).filter_map(|run| as_v4(text, run.range())).collect();
    seen.extend(v6.find_iter(text).filter_map(|run| as_v6(text, run.range())));
    seen.retain(|seen| !is_common(seen.address));
    seen.sort_by_key(|seen| seen.range.start);
    seen
}

fn as_v4(text: &[u8], range: Range<usize>) -> Option<Seen> {
    let before = &text[range.start.saturating_sub(2)..range.start];
    let after = &text[range.end..text.len().min(range.end + 6)];
    // `10.0.0.1..10.0.0.9` is a range, `1.10.0.0.1` is a version.
    let begins = match before {
        [.., b'.', b'.'] | [] => true,
        [b'\\', b'n' | b't' | b'r'] => true,
        [.., last] => !last.is_ascii_alphanumeric() && *last != b'.',
    };
    let ends = match after {
        [b'.', next, ..] if next.is_ascii_digit() => false,
        [b'.', rest @ ..] => !BUILDS.iter().any(|build| rest.starts_with(build.as_bytes())),
        [next, ..] => !next.is_ascii_alphanumeric(),
        [] => true,
    };
    let address: Ipv4Addr = std::str::from_utf8(&text[range.clone()]).ok()?.parse().ok()?;
    (begins && ends).then(|| Seen { prefix: prefix(text, range.end, 32), address: address.into(), range })
}

fn as_v6(text: &[u8], mut range: Range<usize>) -> Option<Seen> {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let is_escape = text[..range.start].ends_with(b"\\n") || text[..range.start].ends_with(b"\\t");
    if (range.start > 0 && is_name(&text[range.start - 1]) && !is_escape) || text.get(range.end).is_some_and(is_name) {
        return None;
    }
    loop {
        let run = std::str::from_utf8(&text[range.clone()]).ok()?;
        match run.parse::<Ipv6Addr>() {
            Ok(address) if address.to_ipv4_mapped().is_none() && run.len() > 3 => {
                return Some(Seen { prefix: prefix(text, range.end, 128), address: address.into(), range });
            }
            _ if run.ends_with([':', '.']) => range.end -= 1,
            _ => return None,
        }
    }
}

/// The length in `/24`, if it follows.
fn prefix(text: &[u8], at: usize, longest: u8) -> Option<u8> {
    let digits = text[at..].strip_prefix(b"/")?;
    let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let prefix: u8 = std::str::from_utf8(&digits[..length.min(4)]).ok()?.parse().ok()?;
    (prefix <= longest).then_some(prefix)
}

/// Loopback, unspecified, link-local, multicast, masks, and resolvers that everybody may use.
fn is_common(address: IpAddr) -> bool {
    const RESOLVERS: [[u8; 4]; 5] = [[1, 1, 1, 1], [1, 0, 0, 1], [8, 8, 8, 8], [8, 8, 4, 4], [9, 9, 9, 9]];
    match address {
        IpAddr::V4(v4) => {
            let first = v4.octets()[0];
            v4.is_loopback() || v4.is_link_local() || first == 0 || first >= 224 || RESOLVERS.contains(&v4.octets())
        }
        IpAddr::V6(v6) => {
            let start = v6.segments();
            let is_resolver = start[..3] == [0x2606, 0x4700, 0x4700] || start[..3] == [0x2001, 0x4860, 0x4860];
            v6.is_loopback() || v6.is_unspecified() || v6.is_multicast() || v6.is_unicast_link_local() || is_resolver
        }
    }
}

/// Whether this is a network that is too wide to tell anything.
pub fn is_wide(address: IpAddr, prefix: Option<u8>) -> bool {
    let widest = if address.is_ipv4() { WIDEST.0 } else { WIDEST.1 };
    prefix.is_some_and(|prefix| prefix < widest)
}

/// Which network stands in for which.
#[derive(Debug, Default)]
pub struct Networks {
    /// By the first address of the old one.
    moved: BTreeMap<IpAddr, (IpNet, IpNet)>,
}

impl Networks {
    /// Plans for what was seen: the addresses, each with the lengths of prefix it was written with.
    pub fn plan(seen: &BTreeSet<(IpAddr, Option<u8>)>) -> Self {
        let mut wide = BTreeSet::new();
        let mut named = BTreeSet::new();
        for (address, prefix) in seen {
            let host = if address.is_ipv4() { HOST.0 } else { HOST.1 };
            let Some(net) = prefix.and_then(|prefix| IpNet::new(*address, prefix).ok()) else { continue };
            if is_wide(*address, *prefix) {
                wide.insert(net.trunc());
            } else if net.prefix_len() < host {
                named.insert(net.trunc());
            }
        }
        // The address of a wide network is none of a host.
        let hosts = seen.iter().filter(|(address, prefix)| !is_wide(*address, *prefix));
        for (address, _) in hosts {
            let alone = if address.is_ipv4() { ALONE.0 } else { ALONE.1 };
            let is_named = named.iter().any(|net| net.contains(address));
            named.extend(IpNet::new(*address, alone).ok().filter(|_| !is_named).map(|net| net.trunc()));
        }
        Self::placed(&IpNet::aggregate(&named.into_iter().collect()), &wide)
    }

    fn placed(old: &[IpNet], wide: &BTreeSet<IpNet>) -> Self {
        let mut networks = Self::default();
        let mut taken: Vec<Ipv4Net> = old.iter().filter_map(|net| v4(*net)).collect();
        let mut large_first: Vec<&IpNet> = old.iter().collect();
        large_first.sort_by_key(|net| (net.prefix_len(), net.network()));
        for (count, net) in (0u128..).zip(large_first) {
            let new = match net {
                IpNet::V4(v4) => free_v4(*v4, &taken, wide).inspect(|new| taken.push(*new)).map(IpNet::V4),
                IpNet::V6(v6) => {
                    let start = Ipv6Addr::from((0xfd7a_u128 << 112) | ((count + 1) << 96));
                    Ipv6Net::new(start, v6.prefix_len()).ok().map(IpNet::V6)
                }
            };
            networks.moved.insert(net.network(), (*net, new.unwrap_or(*net)));
        }
        networks
    }

    /// The address that stands in for this one.
    pub fn moved(&self, address: IpAddr) -> IpAddr {
        let near = self.moved.range(..=address).next_back();
        let Some((_, (old, new))) = near.filter(|(_, (old, _))| old.contains(&address)) else { return address };
        match (address, old, new) {
            (IpAddr::V4(address), IpNet::V4(old), IpNet::V4(new)) => {
                let place = address.to_bits() & old.hostmask().to_bits();
                Ipv4Addr::from_bits(new.network().to_bits() | place).into()
            }
            (IpAddr::V6(address), IpNet::V6(old), IpNet::V6(new)) => {
                let place = address.to_bits() & old.hostmask().to_bits();
                Ipv6Addr::from_bits(new.network().to_bits() | place).into()
            }
            _ => address,
        }
    }

    /// The networks, old and new.
    pub fn pairs(&self) -> impl Iterator<Item = &(IpNet, IpNet)> {
        self.moved.values()
    }
}

fn v4(net: IpNet) -> Option<Ipv4Net> {
    if let IpNet::V4(v4) = net { Some(v4) } else { None }
}

/// A network of the same size that is free, and in the same wide networks as the old one.
fn free_v4(old: Ipv4Net, taken: &[Ipv4Net], wide: &BTreeSet<IpNet>) -> Option<Ipv4Net> {
    let pools = [[10, 0, 0, 0], [172, 16, 0, 0], [192, 168, 0, 0], [100, 64, 0, 0], [11, 0, 0, 0]];
    let lengths = [8, 12, 16, 10, 8];
    let pools = pools.into_iter().zip(lengths).filter_map(|(start, length)| Ipv4Net::new(start.into(), length).ok());
    let more = (12u8..127).filter_map(|first| Ipv4Net::new([first, 0, 0, 0].into(), 8).ok());
    let overlaps = |a: &Ipv4Net, b: &Ipv4Net| a.contains(b) || b.contains(a);
    let same_place =
        |new: &Ipv4Net| wide.iter().all(|wide| wide.contains(&IpNet::V4(*new)) == wide.contains(&IpNet::V4(old)));
    let candidates = pools.chain(more).filter_map(|pool| pool.subnets(old.prefix_len()).ok()).flatten();
    candidates.into_iter().find(|new| same_place(new) && !taken.iter().any(|taken| overlaps(taken, new)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(text: &str) -> Vec<String> {
        find(text.as_bytes()).iter().map(|seen| text[seen.range.clone()].to_owned()).collect()
    }

    #[test]
    fn addresses_are_told_from_versions_and_times() {
        let text = "10.0.0.1:6789/0,10.0.0.2..10.0.0.9 [v2:[fd00::1]:3300/0 10.1.0.0/16 fd00:10::/64, fd00::2: refused \
                    reservations/10.0.3.1.yaml";
        let expected = ["10.0.0.1", "10.0.0.2", "10.0.0.9", "fd00::1", "10.1.0.0", "fd00:10::", "fd00::2", "10.0.3.1"];
        assert_eq!(seen(text), expected);
        let none = "v1.18.4.1 5.14.0-70.22.1.3.el9 18:37:45 127.0.0.1 ::1 0.0.0.0/0 255.255.255.0 fe80::1 std::string \
                    02:42:ac:11:00:02 224.0.0.1 cls::rbd 8.8.8.8 [::]:80";
        assert_eq!(seen(none), Vec::<String>::new());
    }

    #[test]
    fn relations_stay() {
        let text = "10.77.1.12 10.77.1.13/24 10.244.0.0/16 10.244.3.7 192.168.1.5 10.0.0.0/8 fd00:1::/64 fd00:1::7 10.96.0.0/12";
        let all: BTreeSet<_> = find(text.as_bytes()).iter().map(|seen| (seen.address, seen.prefix)).collect();
        let networks = Networks::plan(&all);
        let moved = |address: &str| networks.moved(address.parse().unwrap());
        let net = |address: &str, length| IpNet::new(moved(address), length).unwrap();
        for (address, _) in all.iter().filter(|(address, _)| address.to_string() != "10.0.0.0") {
            assert_ne!(networks.moved(*address), *address);
        }
        assert!(
            net("10.77.1.0", 24).contains(&moved("10.77.1.12"))
                && !net("10.77.1.0", 24).contains(&moved("192.168.1.5"))
        );
        assert_eq!(net("10.244.0.0", 16), net("10.244.0.0", 16).trunc());
        assert!(
            net("10.244.0.0", 16).contains(&moved("10.244.3.7"))
                && !net("10.244.0.0", 16).contains(&moved("10.77.1.12"))
        );
        assert!(
            net("10.0.0.0", 8).contains(&moved("10.96.0.1")) && !net("10.0.0.0", 8).contains(&moved("192.168.1.5"))
        );
        assert!(net("fd00:1::", 64).contains(&moved("fd00:1::7")) && moved("fd00:1::7").to_string().ends_with("::7"));
        assert_eq!(moved("10.0.0.0").to_string(), "10.0.0.0");
    }
}
