//! What checks declare is true.

use std::collections::{BTreeMap, BTreeSet};

use rookdoctor::check::{Check, FixKind};
use rookdoctor::checks;
use rookdoctor::diagnosis::Status;
use rookdoctor::facts::Row;
use rookdoctor::overview;
use rookdoctor::timeline;

use crate::scenarios::DIAGNOSES;
use crate::support::Scenario;

#[test]
fn codes_and_names_are_unique_and_in_order() {
    let codes: Vec<(_, &str)> = checks::ALL.iter().map(|check| (check.area, check.code)).collect();
    assert!(codes.is_sorted(), "the registry is not in the order of the catalogue");
    let unique: BTreeSet<&str> = checks::ALL.iter().flat_map(|check| [check.code, check.name]).collect();
    assert_eq!(unique.len(), 2 * checks::ALL.len());
    for check in checks::ALL {
        let number = check.code.strip_prefix(check.area.prefix()).expect(check.code);
        assert!(number.len() == 3 && number.bytes().all(|byte| byte.is_ascii_digit()), "{}", check.code);
        assert!(check.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-' || byte.is_ascii_digit()));
        assert!(checks::RETIRED.iter().all(|(retired, _)| *retired != check.code), "{} was retired", check.code);
    }
}

#[test]
fn every_page_has_its_five_headings_with_text() {
    let headings = ["What it looks at", "Why it matters", "Confirm by hand", "Fix", "References"];
    for check in checks::ALL {
        let sections: Vec<&str> = check.docs.split("\n # ").collect();
        let found: Vec<&str> = sections.iter().map(|s| s.lines().next().unwrap().trim_matches(['#', ' '])).collect();
        assert_eq!(found, headings, "{}", check.code);
        for section in sections {
            assert!(section.lines().skip(1).any(|line| line.len() > 20), "{}: empty section in {section}", check.code);
        }
    }
}

/// The document is what `checks -o markdown` prints: `cargo run -q -- checks -o markdown > src/checks/README.md`.
#[test]
fn the_printed_catalogue_is_current() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/checks/README.md");
    let same = std::fs::read_to_string(path).unwrap() == rookdoctor::commands::checks::markdown::catalogue();
    assert!(same, "print it anew: cargo run -q -- checks -o markdown > src/checks/README.md");
}

#[test]
fn cause_links_form_a_graph_without_cycles() {
    fn walk(check: &'static Check, path: &mut Vec<&'static str>) {
        assert!(!path.contains(&check.code), "a cycle: {path:?} {}", check.code);
        path.push(check.code);
        check.causes().for_each(|(cause, _)| walk(cause, path));
        path.pop();
    }
    checks::ALL.iter().for_each(|check| walk(check, &mut Vec::new()));
    for check in checks::ALL {
        let registered = |cause: &&Check| checks::ALL.contains(cause);
        assert!(check.causes().all(|(cause, _)| registered(&cause)), "{}", check.code);
        let links: BTreeSet<_> = check.causes().map(|(cause, scope)| (cause.code, scope)).collect();
        assert_eq!(links.len(), check.causes().count(), "{} repeats a cause", check.code);
    }
}

#[test]
fn checks_read_what_they_declare() {
    let mut touched: BTreeMap<&str, BTreeSet<_>> = BTreeMap::new();
    for (_, diagnosis) in DIAGNOSES.iter() {
        for outcome in &diagnosis.outcomes {
            touched.entry(outcome.check.code).or_default().extend(&outcome.touched);
        }
    }
    let mut wrong = Vec::new();
    for check in checks::ALL {
        let needs: BTreeSet<_> = check.needs.iter().copied().collect();
        let touched = &touched[check.code];
        let undeclared: Vec<_> = touched.difference(&needs).collect();
        let unused: Vec<_> = needs.difference(touched).collect();
        if !undeclared.is_empty() || !unused.is_empty() {
            wrong.push(format!("{}: undeclared {undeclared:?}, never read {unused:?}", check.code));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_row_of_the_table_of_reads_is_wanted() {
    let tables = overview::ALL.iter().flat_map(|overview| overview.needs).chain(timeline::NEEDS);
    let wanted: BTreeSet<Row> = checks::ALL.iter().flat_map(|check| check.needs).chain(tables).copied().collect();
    let idle: Vec<&Row> = Row::ALL.iter().filter(|row| !wanted.contains(row)).collect();
    assert!(idle.is_empty(), "{idle:?}");
}

#[test]
fn every_check_fires_and_has_a_near_miss() {
    let scenarios = Scenario::all();
    let mut wrong = Vec::new();
    for check in checks::ALL {
        let fires = DIAGNOSES.iter().any(|(_, diagnosis)| {
            diagnosis.outcomes.iter().any(|outcome| outcome.check == *check && outcome.status == Status::Found)
        });
        let missed = scenarios.iter().any(|scenario| scenario.expect.silent.iter().any(|code| code == check.code));
        if !fires {
            wrong.push(format!("{} fires nowhere", check.code));
        }
        if !missed {
            wrong.push(format!("{} has no near miss", check.code));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn messages_are_fragments() {
    for (name, diagnosis) in DIAGNOSES.iter() {
        for placed in &diagnosis.findings {
            for text in [placed.finding.summary.english(), placed.finding.remedy.summary.english()] {
                assert!(!text.ends_with('.'), "{name} {}: ends with a full stop: {text}", placed.id);
                let template = placed.finding.summary.template;
                let first = template.chars().next().unwrap_or('A');
                let upper = first.is_uppercase() && template.chars().nth(1).is_none_or(char::is_lowercase);
                assert!(
                    !upper || template.starts_with("Rook") || template.starts_with("Ceph"),
                    "{name} {}: {template}",
                    placed.id
                );
            }
        }
    }
}

/// The program's own code below a folder, without its tests: path and text of each file.
fn sources(below: &str) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut open = vec![root.join(below)];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]").next().unwrap().to_owned();
                files.push((path.strip_prefix(root).unwrap().display().to_string(), code));
            }
        }
    }
    files
}

/// A check or a fix that drops the reason of an unknown fact could call the unseen healthy, or safe.
#[test]
fn gaps_are_not_swallowed() {
    let mut wrong = Vec::new();
    for (path, code) in ["src/checks", "src/fix/plans", "src/fix/condition"].into_iter().flat_map(sources) {
        for (number, line) in code.lines().enumerate() {
            let reads = line.contains("facts.") && !line.contains("settled()");
            let drops = [".ok()", "is_err()", "is_ok()", "unwrap_or", "Err(_)"].iter().any(|word| line.contains(word));
            if reads && drops {
                wrong.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What changes a cluster goes through the guards, the journal and the user's word.
#[test]
fn only_apply_and_publish_write() {
    let writes = ["Write::", "change_ceph("];
    let places = ["src/fix/apply", "src/facts/live/write.rs", "src/publish/event.rs", "src/publish/store.rs"];
    let may = |path: &str| places.iter().any(|place| path.starts_with(place));
    let wrong: Vec<String> = sources("src")
        .into_iter()
        .filter(|(path, code)| !may(path) && writes.iter().any(|word| code.contains(word)))
        .map(|(path, _)| path)
        .collect();
    assert_eq!(wrong, [] as [&str; 0]);
}

/// The items of Rook's troubleshooting documentation in the order of its chapters: a number, what it is about, and the
/// checks that tell of it, the nearest first. A word means that the API shows it not or only in part: the page of
/// the first check then says with it what to look at by hand.
#[rustfmt::skip]
const TROUBLESHOOTING: &[(&str, &str, &[&str], &str)] = &[
    ("1", "monitors lose their data with no dataDirHostPath", &["ACC005"], "dataDirHostPath"),
    ("2", "only monitors run", &["MON003", "OSD001"], ""),
    ("3", "the operator does not reach the monitors", &["OPR003"], ""),
    ("4", "a firewall between nodes", &["NET020", "OPR003"], "firewall"),
    ("5", "MTU", &["NET021"], ""),
    ("6", "keyring of an earlier installation", &["MON005"], ""),
    ("7", "monitors of an earlier cluster", &["MON005"], ""),
    ("8", "monitors run without a quorum", &["MON001", "MON002", "MON007"], ""),
    ("9", "failover of a monitor", &["MON002", "MON013"], ""),
    ("10", "a monitor has no node", &["MON006"], ""),
    ("11", "host network toggled", &["MON010"], ""),
    ("12", "LimitNOFILE=infinity", &["NODE012"], "LimitNOFILE"),
    ("13", "clock skew", &["NODE004"], ""),
    ("14", "monitors from outside", &["MON007"], "externalMonIDs"),
    ("15", "keys with an old cipher", &["CEPH014"], ""),
    ("16", "allowedCiphers locks out", &["OPR003", "CEPH014"], ""),
    ("17", "too few placement groups", &["CEPH008"], ""),
    ("18", "slow requests", &["OSD010"], ""),
    ("19", "pool without an application", &["CEPH002"], ""),
    ("20", "HEALTH_ERR holds an upgrade", &["IMG004"], ""),
    ("21", "claim stays Pending", &["CSI010"], ""),
    ("22", "no or too few OSDs", &["OSD001", "OSD005", "CEPH006"], ""),
    ("23", "storage selection", &["OSD004", "OSD003"], ""),
    ("24", "no OSD on a device", &["OSD003", "OSD002"], ""),
    ("25", "one OSD per node only", &["OSD003", "OSD005"], ""),
    ("26", "OSDs after a new installation", &["OSD006", "OSD003"], ""),
    ("27", "aio-max-nr", &["NODE012", "OSD002"], ""),
    ("28", "LVM of an OSD on a claim", &["OSD006"], "lv_tags"),
    ("29", "Atari partitions", &["OSD003"], "Atari"),
    ("30", "quorum lost, one good monitor", &["MON001"], ""),
    ("31", "resource stays in deletion", &["OPR008"], ""),
    ("32", "new cluster, deleted namespace", &["ACC004"], "client.admin.keyring"),
    ("33", "provisioner pods", &["CSI002", "CSI001", "NODE013"], ""),
    ("34", "provisioner does not reach the monitors", &["CSI010", "NET020"], "3300"),
    ("35", "Ceph is not healthy", &["CEPH001", "CEPH003", "OSD010"], ""),
    ("36", "pool of a class is missing", &["CSI016"], ""),
    ("37", "filesystem of a class is missing", &["CSI016"], ""),
    ("38", "subvolume group is missing", &["CSI016", "CSI010"], "subvolumegroup"),
    ("39", "create, delete, expand, snapshot", &["CSI010", "CSI020", "CSI017"], ""),
    ("40", "operation with the given Volume ID", &["CSI011", "CSI010"], ""),
    ("41", "attachment", &["CSI011", "CSI006", "CSI012"], ""),
    ("42", "registration of the driver", &["CSI006", "CSI003"], ""),
    ("43", "mount hangs in the kernel", &["CSI011", "NET018"], "dmesg"),
    ("44", "a command of the plugin by hand", &["CSI010"], "--keyfile"),
    ("45", "node lost", &["CSI012", "CSI013", "NODE011"], ""),
    ("46", "reboot hangs", &["NODE011"], "_netdev"),
    ("47", "several filesystems on an old kernel", &["NODE005"], ""),
    ("48", "RBD with XFS beside OSDs", &["NODE005"], "kworker"),
    ("49", "host ports", &["CSI004", "CSI005", "CSI014"], ""),
    ("50", "mixed versions", &["IMG001", "IMG002"], ""),
    ("51", "upgrade refused", &["IMG004"], ""),
    ("52", "Rook 1.20", &["OPR009", "CSI018", "OPR007"], ""),
    ("53", "Ceph 20.2.0 with read affinity", &["IMG005"], ""),
    ("54", "upgrade to Tentacle", &["CEPH010"], "Tentacle"),
    ("54", "multisite on 20.2.4", &["CEPH012"], "rgw_sigv4_insecure"),
    ("55", "toolbox of an older image", &["IMG006"], ""),
    ("56", "Rook's version as Ceph's", &["NODE010", "OPR010"], ""),
    ("57", "settings of the operator ignored", &["OPR007"], ""),
    ("58", "debug logs", &["MON004"], "log_to_file"),
    ("59", "dashboard and monitoring on OpenShift", &["CEPH010"], "openshift.io/cluster-monitoring=true"),
    ("60", "namespace stays Terminating", &["OPR008"], "disaster-protection"),
    ("61", "removal and replacement of an OSD", &["OSD013", "OPR006"], "replace-ready-for-swap"),
    ("62", "flags left after maintenance", &["OSD011", "OPR001"], ""),
    ("63", "toolbox and its job", &["IMG006", "ACC005"], "rook-ceph-toolbox-job"),
    ("64", "direct mount", &["NODE005"], "rook-direct-mount"),
    ("65", "profiling", &["OSD010"], "gcore"),
    ("66", "phantom OSD", &["OSD013"], ""),
    ("67", "DRBD below a floating monitor", &["MON008"], "drbdadm"),
    ("68", "NVMe-oF", &["CEPH017"], "nvmeof.csi.ceph.com-ctrlplugin"),
    ("69", "limits of RBD volumes", &["CSI020"], "qos"),
    ("70", "several NFS servers", &["CEPH017"], "server.active"),
    ("71", "maintenance mode", &["OPR006"], "maintenance"),
    ("72", "wiping before a device is used again", &["OSD003"], "sgdisk"),
    ("N1", "detection of the networks", &["NET017", "OPR004"], ""),
    ("N2", "selectors and ranges", &["NET005", "NET009", "NET011", "NET013"], ""),
    ("N3", "host and public network", &["NET018"], "--host-check-only"),
    ("N4", "no address, no default network", &["NET022", "NET006", "NET016", "OSD006"], ""),
    ("N5", "commands outside of the networks hang", &["ACC005"], "sidecar"),
    ("N6", "monitors on Service addresses", &["NET017"], "Service"),
    ("N7", "OSD on a former address", &["NET017", "NET018"], ""),
    ("N8", "holder pods", &["NET019"], ""),
    ("N9", "ServiceAccount of the validation", &["NET018"], "ServiceAccount"),
    ("N10", "any network of the host", &["NET017"], "addressRanges"),
];

#[test]
fn every_item_of_rooks_troubleshooting_has_a_check() {
    let items: BTreeSet<String> = TROUBLESHOOTING.iter().map(|(item, ..)| (*item).to_owned()).collect();
    let all = (1..=72).map(|item| item.to_string()).chain((1..=10).map(|item| format!("N{item}")));
    assert_eq!(items, all.collect());
    for (item, what, codes, word) in TROUBLESHOOTING {
        let check = |code: &&str| checks::ALL.iter().find(|check| check.code == *code);
        assert!(codes.iter().all(|code| check(code).is_some()), "{item}, {what}: {codes:?}");
        let docs = codes.first().and_then(check).map_or("", |check| check.docs);
        assert!(!docs.is_empty() && docs.contains(word), "{item}, {what}: {codes:?} does not say {word}");
    }
}

/// What a finding offers is there: a fix where it says `auto`, commands where a person acts.
#[test]
fn findings_offer_what_there_is() {
    let mut wrong = BTreeSet::new();
    for placed in DIAGNOSES.iter().flat_map(|(_, diagnosis)| &diagnosis.findings) {
        let (check, remedy) = (placed.check, &placed.finding.remedy);
        if remedy.fix == FixKind::Auto && check.fix.is_none() {
            wrong.insert(format!("{} says auto and has no fix", check.code));
        }
        if remedy.fix != FixKind::Advice && remedy.commands.is_empty() {
            wrong.insert(format!("{} gives no command: {}", check.code, remedy.summary.template));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.into_iter().collect::<Vec<_>>().join("\n"));
}
