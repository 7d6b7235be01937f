//! Whether a plan answers the same each time, on the same tables and at the same time of the statement.

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;

/// False if the plan, or a view in it, calls what answers differently each time: `random()`, `uuid()`.
pub(crate) fn is_deterministic(plan: &LogicalPlan) -> bool {
    let mut same = true;
    let walked = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            same &= !expr.is_volatile();
            Ok(if same { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
        })?;
        if let LogicalPlan::TableScan(scan) = node
            && let Some(view) = scan.source.get_logical_plan()
        {
            same &= is_deterministic(&view);
        }
        Ok(if same { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    // The walk itself cannot fail; nothing is claimed if it does.
    same && walked.is_ok()
}
