//! What Ceph must say.

use jiff::SignedDuration;

use super::Held;
use crate::facts::{Facts, Gap, Select, View, both};
use crate::objects::ceph::QuorumStatus;
use crate::objects::kube::Pod;
use crate::objects::rook::{BlockPool, Filesystem, ObjectStore};
use crate::say;

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
    // A map that names fewer monitors than are in quorum is not whole.
    let all = status.monmap.mons.len().max(status.quorum_names.len());
    let majority = all / 2 + 1;
    let left: Vec<&str> = names(status).filter(|name| !without.iter().any(|mon| mon == name)).collect();
    Ok(Held::when(left.len() >= majority, || {
        if left.is_empty() {
            return say!("no monitor of {} would be in quorum, and {} are needed", all, majority);
        }
        say!("only {} of {} would be in quorum, and {} are needed", left.join(", "), all, majority)
    }))
}

fn names(status: &QuorumStatus) -> impl Iterator<Item = &str> {
    status.quorum_names.iter().map(String::as_str)
}

/// No OSD is deployed, no pool was made and no volume of Ceph's exists: nothing can be lost.
pub(crate) fn holds_nothing(facts: &Facts<'_>) -> Result<bool, Gap> {
    Ok(nothing_held(facts)? == Held::Yes)
}

pub(super) fn nothing_held(facts: &Facts<'_>) -> Result<Held, Gap> {
    let stores = both(
        made(facts, |filesystem: &Filesystem| (&filesystem.status.phase, &filesystem.metadata.name)),
        made(facts, |store: &ObjectStore| (&store.status.phase, &store.metadata.name)),
    );
    let pools = both(made(facts, |pool: &BlockPool| (&pool.status.phase, &pool.metadata.name)), stores);
    let volumes = both(facts.volumes(), facts.storage_classes());
    let osds = facts.deployments_where("app=rook-ceph-osd");
    let ((osds, (volumes, classes)), (pool, (filesystem, store))) = both(both(osds, volumes), pools)?;
    let of_ceph = |class: &str| {
        let class = classes.iter().find(|it| it.metadata.name == class);
        // A volume whose class is gone may be anybody's.
        class.is_none_or(|class| class.provisioner.contains("ceph"))
    };
    if let Some(osd) = osds.first() {
        return Ok(Held::No(say!("Deployments of OSDs exist, {} among them", osd.name)));
    }
    if let Some(volume) = volumes.iter().find(|volume| of_ceph(&volume.storage_class)) {
        return Ok(Held::No(say!("PersistentVolume {} exists", volume.name)));
    }
    Ok(match pool.or(filesystem).or(store) {
        Some(made) => Held::No(say!("{} was made", made)),
        None => Held::Yes,
    })
}

/// The first object of this kind that Rook made in Ceph, with its pools.
fn made<T: View>(facts: &Facts<'_>, of: impl Fn(&T) -> (&String, &String)) -> Result<Option<String>, Gap> {
    let ns = facts.cluster()?.ns.as_str();
    let all: &[T] = match facts.list(Some(ns), Select::all()) {
        Err(Gap::NotInstalled(_)) => &[],
        all => all?,
    };
    let mut ready = all.iter().map(of).filter(|(phase, _)| *phase == "Ready");
    Ok(ready.next().map(|(_, name)| format!("{} {name}", T::KIND.kind)))
}

pub(super) fn filesystem_serves(facts: &Facts<'_>, name: &str) -> Result<Held, Gap> {
    let dump = facts.fs_dump()?;
    let Some(filesystem) = dump.filesystems.iter().find(|it| it.mdsmap.fs_name == name) else {
        return Ok(Held::No(say!("Ceph knows no filesystem {}", name)));
    };
    let map = &filesystem.mdsmap;
    let active = map.info.values().filter(|mds| mds.state == "up:active").count();
    let ranks = (map.max_mds as usize).max(1);
    Ok(Held::when(active >= ranks, || say!("{} of {} ranks are active", active, ranks)))
}

pub(super) fn mon_in(facts: &Facts<'_>, mon: &str) -> Result<Held, Gap> {
    let status = facts.quorum_status()?;
    Ok(Held::when(names(status).any(|name| name == mon), || {
        say!("in quorum are {}", names(status).collect::<Vec<_>>().join(", "))
    }))
}

/// That a monitor went is noticed only after some seconds: until then the others still count it, though it has not
/// come back yet.
pub(super) fn mon_rejoined(facts: &Facts<'_>, mon: &str) -> Result<Held, Gap> {
    let ns = facts.cluster()?.ns.as_str();
    let pods = facts.list::<Pod>(Some(ns), Select::label(format!("app=rook-ceph-mon,ceph_daemon_id={mon}")));
    let (held, (status, pods)) = both(mon_in(facts, mon), both(facts.quorum_status(), pods))?;
    let statuses = pods.iter().flat_map(|pod| &pod.status.container_statuses).filter(|status| status.name == "mon");
    let started = statuses.filter_map(|status| status.state.running.as_ref()?.started_at).max();
    let elected = status.quorum_age.map(|age| facts.now() - SignedDuration::from_secs(age));
    Ok(match (held, started, elected) {
        (Held::Yes, Some(started), Some(elected)) => Held::when(elected + CLOCKS_DIFFER >= started, || {
            say!("the quorum is older than its container: the others have not noticed that it went")
        }),
        (Held::Yes, None, _) => Held::No(say!("its container does not run")),
        (held, ..) => held,
    })
}

/// The start of a container and the age of a quorum are told by different clocks.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_secs(5);

pub(super) fn ok_to_stop(facts: &Facts<'_>, osds: &[i64]) -> Result<Held, Gap> {
    let answer = facts.ok_to_stop(osds)?;
    Ok(Held::when(answer.ok_to_stop, || match answer.bad_become_inactive.len() {
        0 if !answer.reason.is_empty() => say!("{}", answer.reason),
        0 => say!("Ceph says no ({} PGs are not ok)", answer.num_not_ok_pgs),
        bad => say!("{} PGs would become inactive ({}, …)", bad, answer.bad_become_inactive[0]),
    }))
}

pub(super) fn osds_up(facts: &Facts<'_>, osds: &[i64]) -> Result<Held, Gap> {
    let dump = facts.osd_dump()?;
    let all: Vec<i64> = dump.osds.iter().map(|osd| osd.osd).collect();
    let wanted = if osds.is_empty() { &all } else { osds };
    let up = |id: &&i64| dump.osds.iter().any(|osd| osd.osd == **id && osd.up == 1);
    let down: Vec<String> = wanted.iter().filter(|id| !up(id)).map(|id| format!("osd.{id}")).collect();
    Ok(Held::when(down.is_empty(), || say!("{} is not up", down.join(", "))))
}

pub(super) fn pgs_clean(facts: &Facts<'_>) -> Result<Held, Gap> {
    let states = &facts.ceph_status()?.pgmap.pgs_by_state;
    // Where there are OSDs, there is the mgr's own pool at least.
    if states.is_empty() {
        return Ok(Held::No(say!("Ceph tells of no PG")));
    }
    let clean = |state: &str| {
        let harmless = ["active", "clean", "deep", "scrubbing", "snaptrim", "snaptrim_wait"];
        state.split('+').all(|part| harmless.contains(&part)) && state.contains("clean")
    };
    let other: Vec<String> = states
        .iter()
        .filter(|state| !clean(&state.state_name))
        .map(|state| format!("{} {}", state.count, state.state_name))
        .collect();
    Ok(Held::when(other.is_empty(), || say!("{}", other.join(", "))))
}

/// What the mgr answers, such as whether OSDs may stop, hangs without one.
pub(super) fn mgr_active(facts: &Facts<'_>) -> Result<Held, Gap> {
    Ok(Held::when(facts.ceph_status()?.mgrmap.available, || say!("no mgr is active")))
}

pub(super) fn standby_mgr(facts: &Facts<'_>) -> Result<Held, Gap> {
    Ok(Held::when(facts.ceph_status()?.mgrmap.num_standbys > 0, || say!("there is no standby mgr")))
}

/// The wrong application is not repaired by adding the right one.
pub(super) fn pool_application(facts: &Facts<'_>, pool: &str, only: &str) -> Result<Held, Gap> {
    let Some(found) = facts.pools()?.iter().find(|it| it.pool_name == pool) else {
        return Ok(Held::No(say!("there is no pool {}", pool)));
    };
    let others: Vec<&str> =
        found.application_metadata.keys().map(String::as_str).filter(|application| *application != only).collect();
    Ok(Held::when(others.is_empty(), || say!("it has {}", others.join(", "))))
}
