//! Names and addresses of a recorded cluster, replaced the same way everywhere, so that its diagnosis stays the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};
use regex::bytes::Regex;

use super::addresses::{Networks, find, is_wide};
use super::learn::Names;
use crate::facts::archive::Tree;

static MACS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?-u)(?:[0-9A-Fa-f]{2}:)+[0-9A-Fa-f]{2}").ok());
static MAILS: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?-u)[A-Za-z0-9_.+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}").ok());
/// `user@1000.service` is a unit of systemd.
const UNITS: [&[u8]; 6] = [b".service", b".socket", b".timer", b".mount", b".slice", b".scope"];

/// A recorded cluster that tells nothing of its owner.
pub struct Anonymized {
    pub tree: Tree,
    /// For the owner only: what stands in for what.
    pub replaced: Vec<Replaced>,
}

/// Something that was replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// `node`, `namespace`, `user`, `cluster`, `domain`, `serial`, `mac`, `address` or `network`.
    pub sort: &'static str,
    pub original: String,
    pub replacement: String,
}

/// The table of what was replaced, a line each, to be kept beside the archive and never in it.
pub fn table(replaced: &[Replaced]) -> String {
    replaced.iter().fold(String::new(), |mut table, Replaced { sort, original, replacement }| {
        // Writing to a string does not fail.
        let _ = writeln!(table, "{sort}\t{original}\t{replacement}");
        table
    })
}

/// Replaces names and addresses in every file and path.
pub fn anonymize(tree: &Tree) -> Anonymized {
    let plan = Plan::of(tree);
    let mut anonymous = Tree::default();
    for (path, file) in tree.below("") {
        let path = String::from_utf8_lossy(&plan.apply(path.as_bytes())).into_owned();
        match file.bytes() {
            Ok(bytes) => anonymous.write(&path, plan.apply(&bytes)),
            // What could not be read stays something that cannot be read; no file would mean that there was nothing.
            Err(why) => anonymous.write(&path, format!("[not read: {why}").into_bytes()),
        }
    }
    Anonymized { tree: anonymous, replaced: plan.replaced }
}

/// What stands in for what, ready to be applied.
struct Plan {
    names: Option<AhoCorasick>,
    /// What stands in for the name of the same place.
    instead: Vec<String>,
    networks: Networks,
    macs: BTreeMap<String, String>,
    mails: BTreeMap<String, String>,
    replaced: Vec<Replaced>,
}

impl Plan {
    fn of(tree: &Tree) -> Self {
        let (mut addresses, mut macs, mut mails) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for (path, file) in tree.below("") {
            let bytes = file.bytes().unwrap_or_default();
            for text in [path.as_bytes(), &bytes] {
                addresses.extend(find(text).into_iter().map(|seen| (seen.address, seen.prefix)));
                macs.extend(matches(&MACS, text).into_iter().filter(|mac| is_mac(mac)).map(lossy));
                mails.extend(matches(&MAILS, text).into_iter().filter(|mail| is_mail(mail)).map(lossy));
            }
        }
        let networks = Networks::plan(&addresses);
        let mut names = names(&Names::of(tree));
        let addresses: BTreeSet<_> = addresses.into_iter().map(|(address, _)| address).collect();
        for address in addresses {
            let new = networks.moved(address);
            if new != address {
                names.push(replaced("address", address.to_string(), new.to_string()));
            }
        }
        let macs =
            numbered("mac", macs, |at| format!("02:00:00:{:02x}:{:02x}:{:02x}", at >> 16, (at >> 8) & 255, at & 255));
        let mails = numbered("user", mails, |at| format!("person-{at}@site.example"));
        let mut all = names.clone();
        all.extend(macs.iter().chain(&mails).cloned());
        all.extend(
            networks
                .pairs()
                .filter(|(old, new)| old != new)
                .map(|(old, new)| replaced("network", old.to_string(), new.to_string())),
        );
        let words: Vec<(String, String)> = names.iter().flat_map(spellings).collect();
        let by_name = |list: Vec<Replaced>| list.into_iter().map(|one| (one.original, one.replacement)).collect();
        Self {
            names: AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostLongest)
                .build(words.iter().map(|(old, _)| old))
                .ok(),
            instead: words.into_iter().map(|(_, new)| new).collect(),
            networks,
            macs: by_name(macs),
            mails: by_name(mails),
            replaced: all,
        }
    }

    /// A text with everything replaced.
    fn apply(&self, text: &[u8]) -> Vec<u8> {
        let mut edits: Vec<(std::ops::Range<usize>, String)> = Vec::new();
        for seen in find(text) {
            let new = self.networks.moved(seen.address);
            if new != seen.address && !is_wide(seen.address, seen.prefix) {
                edits.push((seen.range, new.to_string()));
            }
        }
        for (pattern, map) in [(&MACS, &self.macs), (&MAILS, &self.mails)] {
            let found = pattern.as_ref().into_iter().flat_map(|pattern| pattern.find_iter(text));
            edits.extend(found.filter_map(|found| Some((found.range(), map.get(&lossy(found.as_bytes()))?.clone()))));
        }
        for found in self.names.iter().flat_map(|names| names.find_iter(text)) {
            if is_whole(text, &found.range()) {
                edits.push((found.range(), self.instead[found.pattern().as_usize()].clone()));
            }
        }
        edits.sort_by_key(|(range, _)| (range.start, std::cmp::Reverse(range.end)));
        let mut out = Vec::with_capacity(text.len());
        let mut at = 0;
        for (range, new) in edits {
            if range.start >= at {
                out.extend_from_slice(&text[at..range.start]);
                out.extend_from_slice(new.as_bytes());
                at = range.end;
            }
        }
        out.extend_from_slice(&text[at..]);
        out
    }
}

fn replaced(sort: &'static str, original: String, replacement: String) -> Replaced {
    Replaced { sort, original, replacement }
}

/// Numbers them in their order, so that whatever is sorted by them stays sorted.
fn numbered(
    sort: &'static str,
    names: impl IntoIterator<Item = String>,
    new: impl Fn(usize) -> String,
) -> Vec<Replaced> {
    let names = names.into_iter().zip(1..);
    names.map(|(name, at)| replaced(sort, name, new(at))).collect()
}

fn names(names: &Names) -> Vec<Replaced> {
    let clone = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>();
    let mut all = numbered("node", clone(&names.nodes), |at| format!("machine-{at:03}"));
    let of_nodes: BTreeSet<&String> = names.nodes.iter().collect();
    let others =
        |set: &BTreeSet<String>| set.iter().filter(|name| !of_nodes.contains(name)).cloned().collect::<Vec<_>>();
    all.extend(numbered("namespace", others(&names.namespaces), |at| format!("space-{at:03}")));
    let clusters = others(&names.clusters).into_iter().filter(|name| !names.namespaces.contains(name));
    all.extend(numbered("cluster", clusters, |at| format!("realm-{at:03}")));
    all.extend(numbered("user", others(&names.users), |at| format!("person-{at:03}")));
    all.extend(numbered("domain", clone(&names.domains), |at| format!("site-{at:03}.example")));
    all.extend(numbered("serial", clone(&names.serials), |at| format!("SN{at:08}")));
    all
}

/// A name as others spell it: CRUSH has dashes where DNS has dots and DNS has them where IPv6 has colons.
fn spellings(one: &Replaced) -> Vec<(String, String)> {
    let Replaced { sort, original, replacement } = one;
    let dashed = |text: &str| text.replace(['.', ':'], "-");
    match *sort {
        "address" => vec![(dashed(original), dashed(replacement))],
        "domain" => vec![(original.clone(), replacement.clone()), (dashed(original), dashed(replacement))],
        _ => vec![(original.clone(), replacement.clone())],
    }
}

/// Whether a name begins and ends here. `elm-1` is part of `osd-prepare-elm-1-x7k2p`, and none of `helm-1` or `elm-12`.
fn is_whole(text: &[u8], range: &std::ops::Range<usize>) -> bool {
    let before = &text[range.start.saturating_sub(2)..range.start];
    let begins = match before {
        [b'\\', b'n' | b't' | b'r'] => true,
        [.., last] => !last.is_ascii_alphanumeric(),
        [] => true,
    };
    begins && text.get(range.end).is_none_or(|next| !next.is_ascii_alphanumeric())
}

fn matches<'t>(pattern: &LazyLock<Option<Regex>>, text: &'t [u8]) -> Vec<&'t [u8]> {
    pattern.as_ref().into_iter().flat_map(|pattern| pattern.find_iter(text)).map(|found| found.as_bytes()).collect()
}

/// Six bytes; a fingerprint has more. What all devices may have stays.
fn is_mac(run: &[u8]) -> bool {
    run.len() == 17 && !run.iter().all(|byte| b"0:".contains(byte)) && !run.iter().all(|byte| b"fF:".contains(byte))
}

fn is_mail(mail: &[u8]) -> bool {
    !UNITS.iter().any(|unit| mail.ends_with(unit))
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced_in(files: &[(&str, &str)]) -> (String, Vec<Replaced>) {
        let mut tree = Tree::default();
        for (path, content) in files {
            tree.write(path, content.as_bytes().to_vec());
        }
        let Anonymized { tree, replaced } = anonymize(&tree);
        let all = tree.below("").map(|(path, file)| format!("{path}\n{}\n", lossy(&file.bytes().unwrap())));
        (all.collect(), replaced)
    }

    const NODE: &str = "kind: Node\nmetadata:\n  name: elm-1.lab.acme.com\n  labels: {kubernetes.io/hostname: elm-1}\n\
                        status:\n  addresses:\n  - {type: InternalIP, address: 10.77.1.12}\n";
    const POD: &str = "kind: Pod\nmetadata:\n  name: rook-ceph-osd-prepare-elm-1-x7k2p\n  namespace: acme-shop\n  \
                       annotations: {openshift.io/requester: jdoe, owner: jane.doe@acme.com}\n  uid: 1-elm-12-helm-1\n\
                       spec: {nodeName: elm-1.lab.acme.com}\nstatus: {podIP: 10.244.3.7, hostIP: 10.77.1.12}\n";

    #[test]
    fn names_go_wherever_they_stand() {
        let (text, replaced) = replaced_in(&[
            ("cluster-scoped-resources/core/nodes/elm-1.lab.acme.com.yaml", NODE),
            ("namespaces/acme-shop/core/pods/x.yaml", POD),
            (
                "namespaces/acme-shop/pods/p/c/c/logs/current.log",
                "\\nelm-1: 10.77.1.12:6789/0 acme-shop.rbd.csi.ceph.com\n",
            ),
            ("namespaces/apps/core/events.yaml", "kind: EventList\nitems: []\n"),
            (
                "ceph/namespaces/acme-shop/must_gather_commands_json_output/ceph_osd_tree_--format_json-pretty",
                r#"{"nodes": [{"type": "host", "name": "elm-1-lab-acme-com", "children": [0]}],
                    "devices": [{"device_ids": "sdb=SAMSUNG_MZ7L3_S6EXNX0R1", "mac": "3c:ec:ef:01:02:03"}]}"#,
            ),
            ("rookdoctor/manifest.yaml", "clusterName: acme-prod-7\ncoverage: {pods: ok}\n"),
            ("rookdoctor/exec/acme-shop/p/c/ping_10.77.1.12.stdout", "{}"),
        ]);
        for gone in
            ["acme", "jdoe", "jane", "10.77.1", "10.244.3.7", "S6EXNX0R1", "3c:ec:ef", "elm-1.", "elm-1-l", "elm-1:"]
        {
            assert!(!text.contains(gone), "{gone} is left:\n{text}");
        }
        for stays in ["1-elm-12-helm-1", "namespaces/apps/", "rook-ceph-osd-prepare-machine-001-x7k2p", "pods: ok"] {
            assert!(text.contains(stays), "{stays} is gone:\n{text}");
        }
        let of = |sort| replaced.iter().find(|one| one.sort == sort).map(|one| one.original.as_str());
        assert_eq!(["node", "namespace", "cluster"].map(of), [Some("elm-1"), Some("acme-shop"), Some("acme-prod-7")]);
        assert!(table(&replaced).contains("node\telm-1\tmachine-001\n"));
        assert!(
            text.contains("space-001.rbd.csi.ceph.com") && text.contains("nodeName: machine-001.lab.site-001.example")
        );
    }

    #[test]
    fn words_of_the_trade_stay() {
        let node = "kind: Node\nmetadata: {name: worker}\n";
        let ns = "kind: Namespace\nmetadata: {name: widget}\nspec: {widget: 1, host: v1}\n";
        let files = [("cluster-scoped-resources/core/nodes/worker.yaml", node), ("namespaces/widget/widget.yaml", ns)];
        let (text, replaced) = replaced_in(&files);
        assert_eq!(replaced, Vec::new());
        assert!(text.contains(node) && text.contains(ns));
    }

    #[test]
    fn what_cannot_be_read_stays_unreadable() {
        let mut tree = Tree::default();
        tree.write("namespaces/a/core/pods.yaml", b"kind: [".to_vec());
        let anonymous = anonymize(&tree).tree;
        assert!(anonymous.file("namespaces/a/core/pods.yaml").unwrap().objects().is_err());
    }
}
