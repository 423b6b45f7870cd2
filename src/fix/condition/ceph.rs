//! What Ceph must say.

use super::Held;
use crate::facts::{Facts, Gap, both};
use crate::objects::ceph::QuorumStatus;

/// A cluster without any data may lose its quorum: nothing is stored, and often it never had one.
pub(super) fn quorum(facts: &Facts<'_>, without: &[String]) -> Result<Held, Gap> {
    if holds_nothing(facts)? {
        return Ok(Held::Yes);
    }
    let status = facts.quorum_status()?;
    // One that is out already takes nothing away.
    if !without.is_empty() && !names(status).any(|name| without.iter().any(|mon| mon == name)) {
        return Ok(Held::Yes);
    }
    let majority = status.monmap.mons.len() / 2 + 1;
    let left: Vec<&str> = names(status).filter(|name| !without.iter().any(|mon| mon == name)).collect();
    Ok(Held::when(left.len() >= majority, || {
        let rest = if left.is_empty() { "no monitor".to_owned() } else { format!("only {}", left.join(", ")) };
        format!("{rest} of {} would be in quorum, and {majority} are needed", status.monmap.mons.len())
    }))
}

fn names(status: &QuorumStatus) -> impl Iterator<Item = &str> {
    status.quorum_names.iter().map(String::as_str)
}

/// No OSD is deployed and no volume of Ceph's exists: nothing can be lost.
pub(crate) fn holds_nothing(facts: &Facts<'_>) -> Result<bool, Gap> {
    let (osds, (volumes, classes)) =
        both(facts.deployments_where("app=rook-ceph-osd"), both(facts.volumes(), facts.storage_classes()))?;
    let of_ceph = |class: &str| {
        let class = classes.iter().find(|it| it.metadata.name == class);
        // A volume whose class is gone may be anybody's.
        class.is_none_or(|class| class.provisioner.contains("ceph"))
    };
    Ok(osds.is_empty() && !volumes.iter().any(|volume| of_ceph(&volume.storage_class)))
}

pub(super) fn mon_in(facts: &Facts<'_>, mon: &str) -> Result<Held, Gap> {
    let status = facts.quorum_status()?;
    Ok(Held::when(names(status).any(|name| name == mon), || {
        format!("in quorum are {}", names(status).collect::<Vec<_>>().join(", "))
    }))
}

pub(super) fn ok_to_stop(facts: &Facts<'_>, osds: &[i64]) -> Result<Held, Gap> {
    let answer = facts.ok_to_stop(osds)?;
    Ok(Held::when(answer.ok_to_stop, || match answer.bad_become_inactive.len() {
        0 if !answer.reason.is_empty() => answer.reason.clone(),
        0 => format!("Ceph says no ({} PGs are not ok)", answer.num_not_ok_pgs),
        bad => format!("{bad} PGs would become inactive ({}, …)", answer.bad_become_inactive[0]),
    }))
}

pub(super) fn osds_up(facts: &Facts<'_>, osds: &[i64]) -> Result<Held, Gap> {
    let dump = facts.osd_dump()?;
    let all: Vec<i64> = dump.osds.iter().map(|osd| osd.osd).collect();
    let wanted = if osds.is_empty() { &all } else { osds };
    let up = |id: &&i64| dump.osds.iter().any(|osd| osd.osd == **id && osd.up == 1);
    let down: Vec<String> = wanted.iter().filter(|id| !up(id)).map(|id| format!("osd.{id}")).collect();
    Ok(Held::when(down.is_empty(), || format!("{} is not up", down.join(", "))))
}

pub(super) fn pgs_clean(facts: &Facts<'_>) -> Result<Held, Gap> {
    let states = &facts.ceph_status()?.pgmap.pgs_by_state;
    let clean = |state: &str| {
        let harmless = ["active", "clean", "deep", "scrubbing", "snaptrim", "snaptrim_wait"];
        state.split('+').all(|part| harmless.contains(&part)) && state.contains("clean")
    };
    let other: Vec<String> = states
        .iter()
        .filter(|state| !clean(&state.state_name))
        .map(|state| format!("{} {}", state.count, state.state_name))
        .collect();
    Ok(Held::when(other.is_empty(), || other.join(", ")))
}

pub(super) fn mgr_active(facts: &Facts<'_>) -> Result<Held, Gap> {
    Ok(Held::when(facts.ceph_status()?.mgrmap.available, || "no mgr is active".to_owned()))
}

pub(super) fn standby_mgr(facts: &Facts<'_>) -> Result<Held, Gap> {
    Ok(Held::when(facts.ceph_status()?.mgrmap.num_standbys > 0, || "there is no standby mgr".to_owned()))
}

/// The wrong application is not repaired by adding the right one.
pub(super) fn pool_application(facts: &Facts<'_>, pool: &str, only: &str) -> Result<Held, Gap> {
    let Some(found) = facts.pools()?.iter().find(|it| it.pool_name == pool) else {
        return Ok(Held::No(format!("there is no pool {pool}")));
    };
    let others: Vec<&str> =
        found.application_metadata.keys().map(String::as_str).filter(|application| *application != only).collect();
    Ok(Held::when(others.is_empty(), || format!("it has {}", others.join(", "))))
}
