//! Which of Rook's pods need to talk to which, and whether they are seen to.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use jiff::SignedDuration;

use crate::check::Text;
use crate::checks::csi::errors::Cause;
use crate::checks::csi::plugins;
use crate::checks::mon::mons;
use crate::checks::osd::by_osd;
use crate::facts::tables::PodRow;
use crate::facts::{Facts, Gap, Settled, Unknown, Why, both};
use crate::objects::ceph::Status;
use crate::objects::kube::Pod;
use crate::say;

pub(crate) const MON_PORTS: &[RangeInclusive<u16>] = &[3300..=3300, 6789..=6789];
pub(crate) const DAEMON_PORTS: &[RangeInclusive<u16>] = &[6800..=7568];

/// Who opens connections, and whose trouble it is if that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Party {
    Operator,
    Mons,
    Mgrs,
    Osds,
    Controllers,
}

impl Party {
    pub fn told(self) -> Text {
        match self {
            Self::Operator => say!("the operator"),
            Self::Mons => say!("the monitors"),
            Self::Mgrs => say!("the mgr"),
            Self::Osds => say!("the OSDs"),
            Self::Controllers => say!("the CSI controllers"),
        }
    }
}

/// Who needs whom: everybody the monitors, and on the pod network OSDs, mgr and CSI each other.
pub(crate) const TO_MONS: &[(Party, Party)] = &[
    (Party::Operator, Party::Mons),
    (Party::Mons, Party::Mons),
    (Party::Mgrs, Party::Mons),
    (Party::Osds, Party::Mons),
    (Party::Controllers, Party::Mons),
];
pub(crate) const AMONG_DAEMONS: &[(Party, Party)] = &[
    (Party::Osds, Party::Osds),
    (Party::Osds, Party::Mgrs),
    (Party::Mgrs, Party::Osds),
    (Party::Controllers, Party::Osds),
];

pub(crate) type Pods<'s> = BTreeMap<Party, Vec<&'s Pod>>;

/// Some running pods of each party: policies that tell two daemons of a party apart are rare.
pub(crate) fn parties<'s>(facts: &Facts<'s>) -> Result<(Pods<'s>, Vec<Unknown>), Gap> {
    let (operator, (mons, mgrs)) = both(facts.operator_pods(), both(mons(facts), facts.mgr_pods()))?;
    let (osds, (rows, plugins)) = both(facts.osd_pods(), both(facts.csi_pods(), plugins(facts)))?;
    let controllers = plugins.iter().filter(|plugin| plugin.is_controller());
    let controllers = controllers.filter_map(|plugin| rows.iter().find(|row| plugin.owns(row) && row.is_well()));
    let runs = |row: &&PodRow| row.status == "Running";
    let all = [
        (Party::Operator, operator.iter().filter(runs).take(1).collect::<Vec<_>>()),
        (Party::Mons, mons.iter().filter(|mon| mon.runs()).map(|mon| mon.pod).take(5).collect()),
        (Party::Mgrs, mgrs.iter().filter(runs).take(2).collect()),
        (Party::Osds, osds.iter().filter(runs).take(3).collect()),
        (Party::Controllers, controllers.take(4).collect()),
    ];
    let rows = all.into_iter().flat_map(|(party, rows)| rows.into_iter().map(move |row| (party, row)));
    let cluster = facts.cluster()?;
    let opened = facts.each(rows, |facts, (party, row)| {
        let own = matches!(party, Party::Operator | Party::Controllers);
        facts.pod(if own { &cluster.operator_ns } else { &cluster.ns }, &row.name)
    })?;
    let mut pods = Pods::new();
    for ((party, _), pod) in opened.seen {
        pods.entry(party).or_default().push(pod);
    }
    Ok((pods, opened.blind))
}

/// A provisioner tries again at least that often.
const RECENT: SignedDuration = SignedDuration::from_mins(15);

/// Whether what this party needs the others for is seen not to work, while its pods run.
pub(crate) fn suffers(facts: &Facts<'_>, party: Party) -> Result<bool, Gap> {
    if party == Party::Operator {
        let status = &facts.ceph_cluster()?.status.ceph;
        let starts = |text: &str| text.contains("Error initializing cluster client");
        return Ok(status.details.get("error").is_some_and(|error| !starts(&error.message)));
    }
    if party == Party::Controllers {
        let is_current = |seen| facts.now().duration_since(seen) <= RECENT;
        let hangs = |message: &str| matches!(Cause::of(message), Cause::Unreachable | Cause::Hangs);
        let mut events = facts.provision_events()?.iter();
        return Ok(events.any(|it| it.last_seen().is_some_and(is_current) && hangs(&it.message)));
    }
    let status: &Status = match facts.ceph_status().settled()? {
        Ok(status) => status,
        // Without a quorum nothing answers; the monitors' pods run all the same.
        Err(Unknown { why: Why::Timeout, .. }) if party == Party::Mons => return Ok(true),
        Err(unknown) => return Err(Gap::Unknown(unknown)),
    };
    Ok(match party {
        Party::Mons => mons(facts)?.iter().filter(|mon| mon.pod.is_well()).count() > status.quorum.len(),
        Party::Mgrs => facts.mgr_pods()?.iter().any(PodRow::is_well) && !status.mgrmap.available,
        _ => {
            let wells = by_osd(facts.osd_pods()?).into_values().filter(|osd| osd.is_well()).count();
            wells > status.osdmap.num_up_osds as usize
        }
    })
}
