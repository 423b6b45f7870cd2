//! What a prepare job says about each device of its node.

use std::collections::{BTreeMap, BTreeSet};

use crate::facts::{Log, LogLine};

/// Why a device was not made into an OSD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is an OSD of this cluster.
    Ours {
        osd: String,
    },
    /// It is an OSD of the Ceph cluster with this fsid.
    Foreign {
        osd: String,
        fsid: String,
    },
    /// It was prepared for this cluster once, and no OSD of that number runs.
    Leftover {
        osd: String,
    },
    /// It is an OSD, and the log does not say whose.
    SomeOsd {
        uuid: String,
    },
    Filesystem(String),
    Mounted(String),
    /// ceph-volume's own reasons.
    Rejected(Vec<String>),
    /// The CephCluster does not ask for it.
    NotListed,
    /// Nothing is on it: it becomes an OSD.
    Free,
}

/// A device, what became of it, and the lines that say so.
pub(crate) struct Device<'l> {
    pub name: String,
    pub verdict: Verdict,
    pub line: &'l LogLine,
    /// Whose OSD it is comes in a later line.
    pub proof: Option<&'l LogLine>,
}

/// What the job was told to use, and what it left.
pub(crate) struct PrepareLog<'l> {
    /// Names as the CephCluster writes them; empty if it asks by filter or for all devices.
    pub listed: BTreeSet<String>,
    pub devices: Vec<Device<'l>>,
    /// Of those that are listed, the ones that the job did not come across: the node does not have them.
    pub absent: BTreeSet<String>,
    /// The line that says that nothing on the node is to be used.
    pub nothing: Option<&'l LogLine>,
}

impl PrepareLog<'_> {
    /// Whether the CephCluster asks for this device, as far as the log tells. Without a list, or with one of
    /// links (`/dev/disk/by-id/…`), which the lines do not repeat, any device may be meant, except those that
    /// are mounted: they are the host's own.
    pub fn is_asked(&self, device: &Device<'_>) -> bool {
        let by_list = |name: &str| self.listed.contains(name) || self.listed.contains(&format!("/dev/{name}"));
        match device.verdict {
            Verdict::Ours { .. } | Verdict::NotListed | Verdict::Free => false,
            _ if by_list(&device.name) => true,
            Verdict::Mounted(_) => false,
            _ if is_no_disk(&device.name) => false,
            _ => self.listed.is_empty() || self.listed.iter().any(|name| name.starts_with("/dev/disk/")),
        }
    }
}

/// Optical drives, loop devices and other things that look like disks and that nobody means.
fn is_no_disk(name: &str) -> bool {
    let kinds = ["sr", "loop", "zram", "ram", "rbd", "nbd", "fd"];
    let number =
        |kind: &&str| name.strip_prefix(*kind).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    kinds.iter().any(number)
}

/// Reads the log of a container `provision`.
pub(crate) fn parse(log: &Log) -> PrepareLog<'_> {
    let nothing = log.last("skipping OSD configuration as no devices matched the storage settings");
    let mut read = PrepareLog { listed: BTreeSet::new(), devices: Vec::new(), absent: BTreeSet::new(), nothing };
    let whose = owners(log);
    let leftover = log.last("since no instance of ").and_then(|line| line.text.split("since no instance of ").nth(1));
    let leftover = leftover.and_then(|rest| rest.split_whitespace().next()).map(str::to_owned);
    for line in &log.lines {
        if line.text.contains("desired devices to configure osds: [") {
            read.listed = listed(&line.text);
        }
        if let Some((name, verdict)) = verdict(&line.text, &whose) {
            // An incomplete prepare is told without the device's UUID, so it is the one that nobody owns.
            let verdict = match (verdict, &leftover) {
                (Verdict::SomeOsd { .. }, Some(osd)) => Verdict::Leftover { osd: osd.clone() },
                (verdict, _) => verdict,
            };
            let proof = match &verdict {
                Verdict::Foreign { fsid, .. } => log.last(fsid),
                Verdict::Leftover { .. } => log.last("since no instance of "),
                _ => None,
            };
            read.devices.push(Device { name: name.to_owned(), verdict, line, proof });
        }
    }
    // Each device is named when it is found; a log without its beginning tells nothing of that.
    if log.first("discovering hardware").is_some() {
        read.absent = read.listed.iter().filter(|name| !is_met(log, name)).cloned().collect();
    }
    read
}

/// Whether a line speaks of this device (`sdb`, `/dev/disk/by-id/…`), beside those that repeat what is asked for.
fn is_met(log: &Log, device: &str) -> bool {
    let name = device.rsplit('/').next().unwrap_or(device);
    let word = |c: char| c.is_ascii_alphanumeric() || "-_.:+".contains(c);
    let lines = log.lines.iter().map(|line| line.text.as_str()).filter(|text| !text.contains("{Name:"));
    let lines = lines.filter_map(|text| text.split(" the device filter/list ").next());
    lines.flat_map(|text| text.split(move |c| !word(c))).any(|found| found.trim_end_matches(['.', ':']) == name)
}

/// The devices that are asked for by name.
fn listed(text: &str) -> BTreeSet<String> {
    let entries = text.split("{Name:").skip(1).filter(|entry| {
        !entry.contains("IsFilter:true") && !entry.contains("IsDevicePathFilter:true") && !entry.starts_with("all ")
    });
    entries.filter_map(|entry| Some(entry.split_whitespace().next()?.to_owned())).collect()
}

/// Whose OSD each UUID is, from the lines that come after the devices.
fn owners(log: &Log) -> BTreeMap<String, Verdict> {
    let mut whose = BTreeMap::new();
    for line in log.lines.iter().map(|line| line.text.as_str()) {
        for entry in line.split("devices = [").skip(1).flat_map(|list| list.split("{ID:").skip(1)) {
            let id = entry.split_whitespace().next().unwrap_or_default();
            let uuid = entry.split(" UUID:").nth(1).and_then(|rest| rest.split_whitespace().next());
            whose.insert(uuid.unwrap_or_default().to_owned(), Verdict::Ours { osd: format!("osd.{id}") });
        }
        let foreign = ["belonging to a different ceph cluster \"", "running on a different ceph cluster \""];
        let osd =
            || line.split("skipping ").nth(1).and_then(|rest| rest.split(':').next()).unwrap_or_default().to_owned();
        if let Some(fsid) =
            foreign.iter().find_map(|words| line.split(words).nth(1)).and_then(|rest| rest.split('"').next())
            && let Some(uuid) = line.split('"').nth(1)
        {
            whose.insert(uuid.to_owned(), Verdict::Foreign { osd: osd(), fsid: fsid.to_owned() });
        }
    }
    whose
}

fn verdict<'t>(text: &'t str, whose: &BTreeMap<String, Verdict>) -> Option<(&'t str, Verdict)> {
    if let Some((name, _)) = text.split_once("\" is available").filter(|_| !text.contains("skipping ")) {
        return Some((name.rsplit('"').next()?, Verdict::Free));
    }
    let rest = text.split("skipping device \"").nth(1)?;
    let (name, why) = rest.split_once('"')?;
    let quoted = |text: &str| text.split('"').nth(1).unwrap_or_default().to_owned();
    let verdict = if let Some(uuid) = why.strip_prefix(", detected an existing OSD. UUID=") {
        let uuid = uuid.trim();
        whose.get(uuid).cloned().unwrap_or_else(|| Verdict::SomeOsd { uuid: uuid.to_owned() })
    } else if why.starts_with(" with mountpoint ") {
        Verdict::Mounted(quoted(why))
    } else if why.starts_with(" because it contains a filesystem ") {
        Verdict::Filesystem(quoted(why))
    } else if [" that does not match the device filter/list", " until the admin specifies it can be used"]
        .iter()
        .any(|words| why.starts_with(words))
    {
        Verdict::NotListed
    } else if let Some(reasons) = why.strip_prefix(": ") {
        Verdict::Rejected(reasons.split('"').skip(1).step_by(2).map(str::to_owned).collect())
    } else {
        return None;
    };
    Some((name, verdict))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines: &[&str]) -> Log {
        Log { lines: lines.iter().map(|text| LogLine { at: None, text: (*text).to_owned() }).collect() }
    }

    #[test]
    fn an_existing_osd_is_ours_or_of_another_cluster() {
        let log = log(&[
            r#"I | cephcmd: desired devices to configure osds: [{Name:sdb OSDsPerDevice:1 IsFilter:false IsDevicePathFilter:false} {Name:sdd OSDsPerDevice:1 IsFilter:false IsDevicePathFilter:false}]"#,
            r#"I | cephosd: skipping device "sda1" with mountpoint "/boot/efi""#,
            r#"I | cephosd: skipping device "sdb", detected an existing OSD. UUID=1898d3e3-54e2"#,
            r#"I | cephosd: skipping device "sdd", detected an existing OSD. UUID=960f266f-d3a5"#,
            r#"I | cephosd: skipping device "sde", detected an existing OSD. UUID=00000000-0000"#,
            r#"I | cephosd: skipping osd.2: "960f266f-d3a5" belonging to a different ceph cluster "caae1f5e-4ca3""#,
            r#"I | cephosd: devices = [{ID:0 Cluster:ceph UUID:1898d3e3-54e2 DevicePartUUID: BlockPath:/dev/sdb}]"#,
        ]);
        let read = parse(&log);
        let verdicts: Vec<_> =
            read.devices.iter().map(|device| (device.name.as_str(), &device.verdict, read.is_asked(device))).collect();
        let foreign = Verdict::Foreign { osd: "osd.2".into(), fsid: "caae1f5e-4ca3".into() };
        assert_eq!(
            verdicts,
            [
                ("sda1", &Verdict::Mounted("/boot/efi".into()), false),
                ("sdb", &Verdict::Ours { osd: "osd.0".into() }, false),
                ("sdd", &foreign, true),
                ("sde", &Verdict::SomeOsd { uuid: "00000000-0000".into() }, false),
            ]
        );
    }

    #[test]
    fn what_is_listed_and_never_met_is_absent() {
        let lines = [
            r#"I | cephcmd: desired devices to configure osds: [{Name:sdb IsFilter:false IsDevicePathFilter:false} {Name:sdz IsFilter:false IsDevicePathFilter:false} {Name:/dev/disk/by-id/wwn-0x5 IsFilter:false IsDevicePathFilter:false}]"#,
            "I | cephosd: discovering hardware",
            "D | exec: Running command: lsblk /dev/sdb --bytes --nodeps",
            r#"I | cephosd: skipping device "sdd" that does not match the device filter/list ([{sdz 1  0   false false}]). <nil>"#,
            r#"I | cephosd: "sdc" found in the desired devices (matched by link: "/dev/disk/by-id/wwn-0x5")"#,
        ];
        assert_eq!(parse(&log(&lines)).absent, BTreeSet::from(["sdz".to_owned()]));
        assert!(parse(&log(&[lines[0], lines[2]])).absent.is_empty());
    }

    #[test]
    fn a_device_says_why_it_was_left() {
        let log = log(&[
            r#"I | cephosd: skipping device "sda2" with mountpoint "/rootfs""#,
            r#"I | cephosd: skipping device "sdc" because it contains a filesystem "ext4""#,
            r#"I | cephosd: skipping device "nvme0n1": ["LVM detected", "Insufficient space (<10 extents) on vgs"]."#,
            r#"I | cephosd: skipping device "sdf" that does not match the device filter/list ([{sd[b-e] 1  0   true false}]). <nil>"#,
            r#"I | cephosd: skipping device "sr0": ["Insufficient space (<5GB)", "removable"]."#,
            r#"I | cephosd: skipping device "loop3": ["Insufficient space (<5GB)"]."#,
            r#"I | cephosd: device "sdg" is available."#,
        ]);
        let read = parse(&log);
        let asked: Vec<_> = read.devices.iter().map(|device| (device.name.as_str(), read.is_asked(device))).collect();
        assert_eq!(
            asked,
            [
                ("sda2", false),
                ("sdc", true),
                ("nvme0n1", true),
                ("sdf", false),
                ("sr0", false),
                ("loop3", false),
                ("sdg", false)
            ]
        );
        let reasons = ["LVM detected", "Insufficient space (<10 extents) on vgs"].map(str::to_owned).to_vec();
        assert_eq!(read.devices[2].verdict, Verdict::Rejected(reasons));
    }
}
