//! Which finding leads to which, by their places in the report, and which of these links say something new.

use std::collections::{BTreeMap, BTreeSet};

use crate::report::Report;

/// A cause, an effect.
pub(super) type Link = (usize, usize);

/// The causal links of a report.
pub(super) struct Links {
    /// Findings that explain nothing else and are explained by nothing, but for being roots, are not in it.
    pub roots: Vec<usize>,
    /// All direct links, with where the two meet.
    pub direct: BTreeMap<Link, String>,
    /// Those of them that no longer way replaces, by cause.
    pub nearest: BTreeMap<usize, Vec<usize>>,
    /// The longest way from a root; None for what follows from itself, which no diagnosis says.
    pub depth: Vec<Option<usize>>,
}

impl Links {
    pub fn of(report: &Report) -> Self {
        let places: BTreeMap<&str, usize> =
            report.findings.iter().enumerate().map(|(at, finding)| (finding.id.as_str(), at)).collect();
        let place = |id: &String| places.get(id.as_str()).copied();
        let mut direct = BTreeMap::new();
        for (effect, finding) in report.findings.iter().enumerate() {
            for cause in &finding.causes {
                if let Some(at) = place(&cause.finding) {
                    direct.entry((at, effect)).or_insert_with(|| cause.because.clone());
                }
            }
        }
        let edges: BTreeSet<Link> = direct.keys().copied().collect();
        let depth = depths(report.findings.len(), &edges);
        let mut nearest: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (cause, effect) in reduced(&depth, &edges) {
            nearest.entry(cause).or_default().push(effect);
        }
        Self { roots: report.root_causes.iter().filter_map(place).collect(), direct, nearest, depth }
    }

    /// The nearest effects of a finding.
    pub fn effects(&self, cause: usize) -> &[usize] {
        self.nearest.get(&cause).map_or(&[], Vec::as_slice)
    }

    /// The nearest causes of a finding.
    pub fn causes(&self, effect: usize) -> Vec<usize> {
        self.nearest.iter().filter(|(_, effects)| effects.contains(&effect)).map(|(&cause, _)| cause).collect()
    }
}

/// The longest way to each from one that nothing leads to.
pub(super) fn depths(count: usize, edges: &BTreeSet<Link>) -> Vec<Option<usize>> {
    let mut open = vec![0; count];
    edges.iter().for_each(|&(_, effect)| open[effect] += 1);
    let mut depth: Vec<Option<usize>> = vec![None; count];
    let mut deepest = vec![0; count];
    let mut ready: Vec<usize> = (0..count).filter(|&at| open[at] == 0).collect();
    while let Some(cause) = ready.pop() {
        depth[cause] = Some(deepest[cause]);
        for &(_, effect) in edges.range((cause, 0)..(cause + 1, 0)) {
            deepest[effect] = deepest[effect].max(deepest[cause] + 1);
            open[effect] -= 1;
            if open[effect] == 0 {
                ready.push(effect);
            }
        }
    }
    depth
}

/// The links that no longer way replaces: the transitive reduction.
pub(super) fn reduced(depth: &[Option<usize>], edges: &BTreeSet<Link>) -> BTreeSet<Link> {
    // From the deepest up, so that what an effect reaches is known before its causes ask.
    let mut order: Vec<usize> = (0..depth.len()).filter(|&at| depth[at].is_some()).collect();
    order.sort_by_key(|&at| std::cmp::Reverse(depth[at]));
    let mut reach: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); depth.len()];
    let mut kept = BTreeSet::new();
    for cause in order {
        let effects: Vec<usize> = edges.range((cause, 0)..(cause + 1, 0)).map(|&(_, effect)| effect).collect();
        let farther: BTreeSet<usize> = effects.iter().flat_map(|&effect| reach[effect].iter().copied()).collect();
        kept.extend(effects.iter().filter(|effect| !farther.contains(effect)).map(|&effect| (cause, effect)));
        reach[cause] = farther.into_iter().chain(effects).collect();
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_way_replaces_a_link() {
        let edges = BTreeSet::from([(0, 1), (1, 2), (0, 2), (2, 3), (0, 3), (0, 4)]);
        let depth = depths(5, &edges);
        assert_eq!(depth, [Some(0), Some(1), Some(2), Some(3), Some(1)]);
        assert_eq!(reduced(&depth, &edges), BTreeSet::from([(0, 1), (0, 4), (1, 2), (2, 3)]));
    }

    #[test]
    fn a_circle_has_no_depth_and_no_links() {
        let edges = BTreeSet::from([(0, 1), (1, 2), (2, 1)]);
        let depth = depths(3, &edges);
        assert_eq!(depth, [Some(0), None, None]);
        assert!(reduced(&depth, &edges).iter().all(|&(cause, _)| cause == 0));
    }
}
