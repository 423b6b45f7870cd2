//! What a missing permission costs: the checks that cannot look, and those that may not be able to look closely.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{Places, Reach, Role, covers, permissions, table};
use crate::checks;
use crate::facts::Row;
use crate::facts::live::Permission;

/// Checks by their codes, in the order of the catalogue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Blind {
    /// Those that read ahead what may not be read.
    pub blinds: Vec<&'static str>,
    /// Those that open such things where something looks guilty.
    pub may_blind: Vec<&'static str>,
}

/// What is lost without this permission, where `allowed` says what else may be done.
pub fn without(missing: &Permission, places: &[Places], reach: Reach, allowed: &dyn Fn(&Permission) -> bool) -> Blind {
    let is_lost = |row: &Row| {
        let mut needs = places.iter().flat_map(|places| table::of_row(*row, places, reach));
        needs.any(|need| covers(missing, &need) && !allowed(&need))
    };
    let lost: BTreeSet<Row> = Row::ALL.iter().copied().filter(is_lost).collect();
    let (ahead, later): (BTreeSet<Row>, BTreeSet<Row>) = lost.into_iter().partition(|row| row.is_read_ahead());
    let of = |rows: &dyn Fn(&Row) -> bool| {
        let touched = checks::ALL.iter().filter(|check| check.needs.iter().any(rows));
        touched.map(|check| check.code).collect::<Vec<_>>()
    };
    let blinds = of(&|row| ahead.contains(row));
    let opens = opened_by(missing);
    let may_blind = of(&|row| later.contains(row) || opens.contains(row))
        .into_iter()
        .filter(|code| !blinds.contains(code))
        .collect();
    Blind { blinds, may_blind }
}

/// The rows behind which reads on suspicion stand that may need this.
fn opened_by(permission: &Permission) -> &'static [Row] {
    match (permission.verb, permission.plural.as_str(), permission.part) {
        (_, "pods", "log") => &[Row::Logs],
        (_, "pods", "exec") => &[Row::MonSockets],
        ("list", "pods", "") => &[Row::PodTables, Row::Objects],
        ("list", "deployments", "") => &[Row::DeploymentTables, Row::Objects],
        ("get" | "list", _, "") => &[Row::Objects],
        _ => &[],
    }
}

/// What is read ahead or on suspicion for a whole cluster, each in its own place.
pub fn needs_of_rows(places: &Places, reach: Reach) -> Vec<Permission> {
    Row::ALL.iter().flat_map(|row| table::of_row(*row, places, reach)).collect()
}

/// The checks that cannot look, or not everywhere, with the roles that are granted, whatever is the matter with the cluster.
pub fn with_only(roles: &[Role], places: &Places, reach: Reach) -> Vec<&'static str> {
    let granted: Vec<Permission> = roles.iter().flat_map(|role| permissions(*role, places, reach)).collect();
    let is_granted = |need: &Permission| granted.iter().any(|one| covers(one, need));
    let is_lost = |row: &Row| row.is_read_ahead() && !table::of_row(*row, places, reach).iter().all(is_granted);
    let blind = checks::ALL.iter().filter(|check| check.needs.iter().any(is_lost));
    blind.map(|check| check.code).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Places {
        Places::new("rook", "op", &[])
    }

    fn missing(role: Role, text: &str) -> Permission {
        let all = permissions(role, &places(), Reach::Cluster);
        all.into_iter().find(|one| one.to_string() == text).unwrap_or_else(|| panic!("nothing needs {text}"))
    }

    #[test]
    fn a_missing_permission_blinds_who_needs_it() {
        let nodes = without(&missing(Role::Read, "list nodes"), &[places()], Reach::Cluster, &|_| false);
        assert!(nodes.blinds.contains(&"NODE001") && !nodes.blinds.contains(&"CEPH002"), "{nodes:?}");
        let exec = without(&missing(Role::Exec, "create pods/exec in rook"), &[places()], Reach::Cluster, &|_| false);
        assert!(exec.blinds.contains(&"CEPH002") && !exec.blinds.contains(&"NODE001"), "{exec:?}");
        let logs = without(&missing(Role::Read, "get pods/log in op"), &[places()], Reach::Cluster, &|_| false);
        assert!(logs.blinds.is_empty() && !logs.may_blind.is_empty(), "{logs:?}");
    }

    #[test]
    fn what_is_allowed_where_it_is_needed_blinds_nobody() {
        let pods = missing(Role::Read, "list pods");
        let here = |need: &Permission| ["rook", "op"].contains(&need.ns.as_str());
        assert!(without(&pods, &[places()], Reach::Cluster, &here).blinds.is_empty());
        assert!(without(&pods, &[places()], Reach::Cluster, &|_| false).blinds.contains(&"MON002"));
    }

    #[test]
    fn all_roles_together_blind_nobody() {
        let blind = |roles: &[Role], reach| with_only(roles, &places(), reach);
        assert!(blind(&[Role::Read, Role::Exec], Reach::Cluster).is_empty());
        assert!(blind(&[Role::Read], Reach::Cluster).contains(&"CEPH002"));
        let inside = blind(&[Role::Read, Role::Exec], Reach::Namespaces);
        assert!(inside.contains(&"NODE001") && !inside.contains(&"CEPH002"), "{inside:?}");
    }
}
