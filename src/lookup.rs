//! Finds checks by what people call them: a code, a name or an area.

use std::collections::BTreeSet;

use crate::check::{Area, Check};
use crate::checks::{ALL, RETIRED};

/// A name that no check and no area has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    #[error("no check or area is called \"{name}\"{}; see `kubectl rookdoctor checks`", hint(near))]
    Unknown { name: String, near: Vec<String> },
    #[error("{code} is retired; its question is now asked by {successor}")]
    Retired { code: &'static str, successor: &'static str },
    #[error("no check is left: --skip takes away all that --only names")]
    NothingLeft,
}

/// The check of this code or name.
pub fn check(name: &str) -> Result<&'static Check, NotFound> {
    let is_it = |check: &&&Check| check.code.eq_ignore_ascii_case(name) || check.name.eq_ignore_ascii_case(name);
    ALL.iter().find(is_it).copied().ok_or_else(|| not_found(name))
}

/// The checks that `--only` names (all, if it names none) without those that `--skip` names.
pub fn select(only: &[String], skip: &[String]) -> Result<Vec<&'static Check>, NotFound> {
    let wanted = codes(only)?;
    let unwanted = codes(skip)?;
    let chosen =
        |check: &&&'static Check| (only.is_empty() || wanted.contains(check.code)) && !unwanted.contains(check.code);
    let checks: Vec<_> = ALL.iter().filter(chosen).copied().collect();
    if checks.is_empty() { Err(NotFound::NothingLeft) } else { Ok(checks) }
}

fn codes(names: &[String]) -> Result<BTreeSet<&'static str>, NotFound> {
    let mut codes = BTreeSet::new();
    for name in names.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
        match area(name) {
            Some(area) => codes.extend(ALL.iter().filter(|check| check.area == area).map(|check| check.code)),
            None => {
                codes.insert(check(name)?.code);
            }
        }
    }
    Ok(codes)
}

fn area(name: &str) -> Option<Area> {
    let is_it =
        |area: &Area| area.prefix().eq_ignore_ascii_case(name) || format!("{area:?}").eq_ignore_ascii_case(name);
    Area::ALL.iter().copied().find(is_it)
}

fn not_found(name: &str) -> NotFound {
    match RETIRED.iter().find(|(code, _)| code.eq_ignore_ascii_case(name)) {
        Some((code, successor)) => NotFound::Retired { code, successor },
        None => {
            let known = ALL.iter().flat_map(|check| [check.code, check.name]);
            let areas = Area::ALL.iter().map(|area| area.prefix());
            NotFound::Unknown { name: name.to_owned(), near: near(name, known.chain(areas)) }
        }
    }
}

/// Up to three known names that are close to this one, the closest first.
pub fn near<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let name = name.to_lowercase();
    let likeness = |known: &str| {
        let known = known.to_lowercase();
        let within = name.len() >= 4 && known.contains(&name);
        if within { 1.0 } else { strsim::jaro_winkler(&name, &known) }
    };
    let mut near: Vec<(f64, &str)> =
        known.into_iter().map(|known| (likeness(known), known)).filter(|(likeness, _)| *likeness > 0.85).collect();
    near.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    near.into_iter().take(3).map(|(_, known)| known.to_owned()).collect()
}

/// `; do you mean NET007 or NET008?`
pub fn hint(near: &[String]) -> String {
    match near {
        [] => String::new(),
        [one] => format!("; do you mean {one}?"),
        [most @ .., last] => format!("; do you mean {} or {last}?", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes_of(only: &[&str], skip: &[&str]) -> Vec<&'static str> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        select(&owned(only), &owned(skip)).unwrap().iter().map(|check| check.code).collect()
    }

    #[test]
    fn checks_are_chosen_by_code_name_and_area() {
        assert_eq!(codes_of(&["NET007"], &[]), ["NET007"]);
        assert_eq!(codes_of(&["nad-default-route", "net008"], &[]), ["NET007", "NET008"]);
        assert_eq!(codes_of(&["ext"], &["EXT001"]), ["EXT002", "EXT003", "EXT004", "EXT005"]);
        let of_access = ALL.iter().filter(|check| check.area == Area::Access).count();
        assert_eq!(codes_of(&["access"], &[]).len(), of_access);
        assert_eq!(codes_of(&[], &[]).len(), ALL.len());
        assert_eq!(select(&["EXT".into()], &["ext".into()]), Err(NotFound::NothingLeft));
    }

    #[test]
    fn a_wrong_name_is_told_its_neighbours() {
        let message = |name: &str| check(name).map(|check| check.code).unwrap_err().to_string();
        assert!(message("nad-defualt-route").contains("do you mean nad-default-route"));
        assert!(message("default-route").contains("do you mean nad-default-route"));
        assert!(message("NET07").contains("NET007"));
        assert_eq!(message("zzz"), "no check or area is called \"zzz\"; see `kubectl rookdoctor checks`");
        assert!(message("osd015").contains("CEPH006"));
    }
}
