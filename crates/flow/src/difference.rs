//! In what the plan of a run differs from that of another: a pure function of the two.

use std::collections::BTreeMap;

use cenote_catalog::{AssetRun, PlanChange, PlanDifference};

/// What of a task is part of the fingerprint.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    /// Unknown of runs before this was noted.
    code: Option<[u8; 32]>,
    priority: i64,
    upstream: Vec<String>,
}

/// The tasks of a run as they were planned, by key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outline(BTreeMap<String, Step>);

impl Outline {
    /// `edges`: (upstream, downstream) by task key.
    pub(crate) fn of(run: &AssetRun, edges: Vec<(String, String)>) -> Self {
        let step = |code, priority| Step { code, priority, upstream: Vec::new() };
        // The tasks of a run have its own priority beside their own.
        let steps =
            run.tasks.iter().map(|task| (task.key.clone(), step(task.code, task.priority - run.priority)));
        let mut outline = Self(steps.collect());
        for (upstream, downstream) in edges {
            if let Some(step) = outline.0.get_mut(&downstream) {
                step.upstream.push(upstream);
            }
        }
        outline.0.values_mut().for_each(|step| step.upstream.sort());
        outline
    }
}

/// What is other in `after` than in `before`.
pub(crate) fn difference(before: &Outline, after: &Outline) -> PlanDifference {
    let only = |one: &Outline, other: &Outline| -> Vec<String> {
        one.0.keys().filter(|key| !other.0.contains_key(*key)).cloned().collect()
    };
    let mut changed = Vec::new();
    for (key, new) in &after.0 {
        let Some(old) = before.0.get(key) else { continue };
        let mut note = |field, from: String, to: String| {
            changed.push(PlanChange { task: key.clone(), field, from, to });
        };
        if let (Some(from), Some(to)) = (old.code, new.code)
            && from != to
        {
            note("codeId", hex::encode(from), hex::encode(to));
        }
        if old.priority != new.priority {
            note("priority", old.priority.to_string(), new.priority.to_string());
        }
        if old.upstream != new.upstream {
            note("upstreamKeys", old.upstream.join(", "), new.upstream.join(", "));
        }
    }
    PlanDifference { added: only(after, before), removed: only(before, after), changed }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline(steps: &[(&str, u8, i64, &[&str])]) -> Outline {
        let step = |(key, code, priority, upstream): &(&str, u8, i64, &[&str])| {
            let upstream = upstream.iter().map(|key| (*key).to_owned()).collect();
            ((*key).to_owned(), Step { code: Some([*code; 32]), priority: *priority, upstream })
        };
        Outline(steps.iter().map(step).collect())
    }

    #[test]
    fn what_came_went_and_changed_is_named() {
        let before = outline(&[("a", 1, 0, &[]), ("b", 1, 0, &["a"]), ("gone", 1, 0, &[])]);
        let after = outline(&[("a", 2, 0, &[]), ("b", 1, 5, &["a", "new"]), ("new", 1, 0, &[])]);
        let found = difference(&before, &after);
        assert_eq!((found.added, found.removed), (vec!["new".to_owned()], vec!["gone".to_owned()]));
        let changed: Vec<String> = found
            .changed
            .iter()
            .map(|change| format!("{} {} {}>{}", change.task, change.field, &change.from[..1], change.to))
            .collect();
        assert_eq!(
            changed,
            [
                format!("a codeId 0>{}", "02".repeat(32)),
                "b priority 0>5".into(),
                "b upstreamKeys a>a, new".into()
            ]
        );
        assert_eq!(difference(&after, &after), PlanDifference::default());
    }

    #[test]
    fn what_is_not_known_of_an_old_run_is_no_difference() {
        let mut before = outline(&[("a", 1, 0, &[])]);
        before.0.values_mut().for_each(|step| step.code = None);
        assert_eq!(difference(&before, &outline(&[("a", 2, 0, &[])])), PlanDifference::default());
    }
}
