//! What the rows of a plan follow from, as a text: where it differs, what was added up is something else.
//!
//! Numbers that the planner gives as it goes (feeds, subqueries, common expressions) are counted from the first on, so that
//! the same query has the same text however much stands before it in its script.

use std::collections::BTreeMap;

use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;

use super::check;
use super::cut::OperatorCut;
use crate::Error;
use crate::feed::FeedId;

/// Names that end with a number of the planner's.
const NUMBERED: [&str; 7] = [
    "closed_",
    "rows_",
    "__correlated_sq_",
    "__scalar_sq_",
    "__common_expr_",
    "__common_node_",
    "__datafusion_extracted_",
];

/// Of what holds rows; `named` says what a feed below it is.
pub(super) fn of_operator(
    operator: &OperatorCut,
    state: &SessionState,
    named: &dyn Fn(FeedId) -> String,
) -> Result<String, Error> {
    let optimized = |plan: &LogicalPlan| text(&state.optimize(plan)?, named);
    match operator {
        OperatorCut::Windows(cut) => optimized(&cut.input),
        OperatorCut::Grouped(cut) => {
            let mut all = optimized(&cut.input)?;
            if let Some(meaning) = &cut.meaning {
                let sums = |feed| if feed == meaning.sums.id { "sums".to_owned() } else { named(feed) };
                all.push_str(&text(&state.optimize(&meaning.plan)?, &sums)?);
            }
            Ok(all)
        }
        OperatorCut::Keyed(cut) => {
            let inputs = cut.inputs.iter().map(|input| optimized(&input.plan));
            let mut all = inputs.collect::<Result<String, Error>>()?;
            let rows = |feed: FeedId| {
                let own = cut.inputs.iter().position(|input| input.rows.id == feed);
                own.map_or_else(|| named(feed), |input| format!("input {input}"))
            };
            all.push_str(&text(&state.optimize(&cut.answer)?, &rows)?);
            Ok(all)
        }
        OperatorCut::Interval(cut) => {
            let sides = cut.sides.iter().map(|side| optimized(&side.plan));
            let mut all = sides.collect::<Result<String, Error>>()?;
            let rows = |feed: FeedId| {
                let own = cut.sides.iter().position(|side| side.rows.id == feed);
                own.map_or_else(|| named(feed), |side| format!("side {side}"))
            };
            let unmet = cut.sides.iter().filter_map(|side| side.unmet.as_ref());
            for plan in cut.pairs.iter().chain(&cut.met).chain(unmet) {
                all.push_str(&text(&state.optimize(plan)?, &rows)?);
            }
            Ok(all)
        }
        OperatorCut::Lookup(cut) => {
            let mut all = optimized(&cut.input)?;
            let rows = |feed| if feed == cut.rows.id { "rows".to_owned() } else { named(feed) };
            all.push_str(&text(&state.optimize(&cut.answer)?, &rows)?);
            Ok(all)
        }
    }
}

/// Of a plan: a line for each node.
pub(super) fn text(plan: &LogicalPlan, named: &dyn Fn(FeedId) -> String) -> Result<String, Error> {
    let mut out = String::new();
    node(plan, 0, named, &mut out)?;
    Ok(counted(&out))
}

fn node(
    plan: &LogicalPlan,
    depth: usize,
    named: &dyn Fn(FeedId) -> String,
    out: &mut String,
) -> Result<(), Error> {
    let line = match plan {
        LogicalPlan::TableScan(scan) => {
            let columns: Vec<&str> =
                scan.projected_schema.fields().iter().map(|field| field.name().as_str()).collect();
            let filters: Vec<String> = scan.filters.iter().map(ToString::to_string).collect();
            let of = named(check::feed_of(scan)?.id);
            format!("Scan [{}] where [{}] of {of}", columns.join(", "), filters.join(", "))
        }
        other => other.display().to_string(),
    };
    out.push_str(&" ".repeat(depth));
    out.push_str(&line);
    out.push('\n');
    plan.inputs().into_iter().try_for_each(|input| node(input, depth + 1, named, out))
}

/// The text with the planner's numbers counted by first appearance.
fn counted(text: &str) -> String {
    let mut counts: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((at, prefix)) =
        NUMBERED.iter().filter_map(|prefix| Some((rest.find(prefix)?, *prefix))).min()
    {
        let behind = &rest[at + prefix.len()..];
        let digits = behind.len() - behind.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        out.push_str(&rest[..at + prefix.len()]);
        if digits > 0 {
            let of_prefix = counts.entry(prefix).or_default();
            let next = of_prefix.len();
            out.push_str(&of_prefix.entry(&behind[..digits]).or_insert(next).to_string());
        }
        rest = &behind[digits..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_the_planner_are_counted_and_others_stay() {
        let text = "closed_17.c0 = rows_3.c1 AND closed_17.c1 = closed_4.c0 AND rows_ > 17 AND __common_expr_12 = 12";
        assert_eq!(
            counted(text),
            "closed_0.c0 = rows_0.c1 AND closed_0.c1 = closed_1.c0 AND rows_ > 17 AND __common_expr_0 = 12"
        );
    }
}
