//! The tables that `-v` shows beside the findings.

use rookdoctor::checks;
use rookdoctor::diagnosis::{Diagnosis, Scope, diagnose};
use rookdoctor::examples;
use rookdoctor::facts::Why;
use rookdoctor::facts::archive::Tree;
use rookdoctor::lang::Text;
use rookdoctor::overview;

use crate::support;

fn run(tree: Tree) -> Diagnosis {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let scope = Scope { overviews: overview::ALL.to_vec(), ..Scope::default() };
    let source = support::bundle(tree);
    runtime.block_on(diagnose(&source, checks::ALL, &scope, &|_, _| {})).remove(0)
}

/// The rows of one table, each as a line.
fn rows(diagnosis: &Diagnosis, name: &str) -> Vec<String> {
    let table = diagnosis.overviews.iter().find(|(overview, _)| overview.name == name);
    let line = |row: &Vec<Text>| row.iter().map(Text::english).collect::<Vec<_>>().join(" | ");
    table.unwrap().1.rows.iter().map(line).collect()
}

fn assert_has(rows: &[String], wanted: &[&str]) {
    for row in wanted {
        assert!(rows.iter().any(|line| line == row), "{row} is not in {rows:#?}");
    }
}

#[test]
fn every_device_has_a_verdict() {
    let rows = rows(&run(support::base("story6-osd-devices-skipped")), "devices");
    assert_eq!(rows.len(), 17);
    assert_has(
        &rows,
        &[
            "flint-1 | sdb | used as osd.0 | prepare job",
            "flint-1 | sdc | skipped: filesystem ext4 | prepare job",
            "flint-2 | sdd | skipped: mounted at /var/lib/scratch | prepare job",
            "flint-3 | sde | not asked for by the CephCluster | prepare job",
        ],
    );
}

#[test]
fn the_map_of_ports_has_both_sides_of_a_clash() {
    let rows = rows(&run(support::base("story2-csiaddons-9070-pending")), "host-ports");
    assert_has(
        &rows,
        &[
            "9070 | rook-ceph | ds/csi-rbdplugin | csi-addons | 3: opal-1, opal-2, opal-3 | ",
            "9070 | rook-ceph | deploy/csi-rbdplugin-provisioner | csi-addons |  | 2",
        ],
    );
}

#[test]
fn the_map_of_ports_has_the_daemons_of_a_host_network() {
    let rows = rows(&run(support::base("healthy-hostnet-120")), "host-ports");
    assert_has(
        &rows,
        &[
            "3300 | storage | deploy/rook-ceph-mon-a | mon | 1: larch1 | ",
            "9926 | storage | deploy/rook-ceph-exporter-* | ceph-exporter | 3: larch1, larch2, larch3 | ",
        ],
    );
}

#[test]
fn the_inventory_counts_what_is_missing() {
    let rows = rows(&run(support::base("story1-nad-default-route")), "inventory");
    assert!(rows.iter().any(|line| line.starts_with("managers | 0 | ") && line.ends_with(" | missing")), "{rows:#?}");
}

#[test]
fn overviews_end_on_every_recorded_cluster() {
    for example in examples::ALL {
        for (overview, listing) in &run(support::base(example.name)).overviews {
            assert!(listing.rows.iter().all(|row| row.len() == overview.columns.len()), "{}", example.name);
            let unread = listing.blind.iter().find(|unknown| unknown.why == Why::OverBudget);
            assert!(unread.is_none(), "{} {}: {unread:?}", example.name, overview.name);
        }
    }
}
