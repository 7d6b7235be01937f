//! The name of an answer's column that was given none: PostgreSQL's rule, on every door.
//!
//! A column keeps its name, a call takes the function's (`avg(usage)` → `avg`), a cast that of what it casts; what has no
//! name of its own is `?column?`.

use sqlparser::ast::{
    AccessExpr, DataType, Expr, ObjectName, ObjectNamePart, Query, SelectItem, SetExpr, TrimWhereField, Value,
};

use crate::parse::folded;

/// What has no name of its own.
pub(crate) const UNNAMED: &str = "?column?";

/// The name of an unnamed output column.
pub(crate) fn output_name(expr: &Expr) -> String {
    match named(expr) {
        Named::Strong(name) | Named::Weak(name) => name,
        Named::Not => UNNAMED.to_owned(),
    }
}

enum Named {
    /// Of a column or a function.
    Strong(String),
    /// Only of a type: something inside may know better.
    Weak(String),
    Not,
}

fn named(expr: &Expr) -> Named {
    let strong = |name: &str| Named::Strong(name.to_owned());
    match expr {
        Expr::Identifier(ident) => Named::Strong(folded(ident)),
        Expr::CompoundIdentifier(parts) => {
            parts.last().map_or(Named::Not, |last| Named::Strong(folded(last)))
        }
        Expr::CompoundFieldAccess { root, access_chain } => match access_chain.last() {
            Some(AccessExpr::Dot(field)) => named(field),
            _ => named(root),
        },
        Expr::Function(function) => of_object(&function.name),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => named(inner),
        Expr::Cast { expr, data_type, .. } => match named(expr) {
            Named::Strong(name) => Named::Strong(name),
            Named::Weak(_) | Named::Not => Named::Weak(type_name(data_type)),
        },
        Expr::TypedString(typed) => Named::Weak(type_name(&typed.data_type)),
        Expr::Interval(_) => Named::Weak("interval".to_owned()),
        Expr::Value(value) if matches!(value.value, Value::Boolean(_)) => Named::Weak("bool".to_owned()),
        Expr::Case { else_result, .. } => match else_result.as_deref().map(named) {
            Some(Named::Strong(name)) => Named::Strong(name),
            _ => Named::Weak("case".to_owned()),
        },
        Expr::Subquery(query) => first_of(query),
        Expr::Exists { negated: false, .. } => strong("exists"),
        Expr::Array(_) => strong("array"),
        Expr::Tuple(_) => strong("row"),
        Expr::AtTimeZone { .. } => strong("timezone"),
        Expr::Extract { .. } => strong("extract"),
        Expr::Ceil { .. } => strong("ceil"),
        Expr::Floor { .. } => strong("floor"),
        Expr::Position { .. } => strong("position"),
        Expr::Substring { .. } => strong("substring"),
        Expr::Overlay { .. } => strong("overlay"),
        Expr::Trim { trim_where, .. } => strong(match trim_where {
            Some(TrimWhereField::Leading) => "ltrim",
            Some(TrimWhereField::Trailing) => "rtrim",
            Some(TrimWhereField::Both) | None => "btrim",
        }),
        _ => Named::Not,
    }
}

fn of_object(name: &ObjectName) -> Named {
    match name.0.last() {
        Some(ObjectNamePart::Identifier(ident)) => Named::Strong(folded(ident)),
        _ => Named::Not,
    }
}

/// A scalar subquery is named like its column.
fn first_of(query: &Query) -> Named {
    let SetExpr::Select(select) = query.body.as_ref() else { return Named::Not };
    match select.projection.first() {
        Some(SelectItem::UnnamedExpr(expr)) => named(expr),
        Some(SelectItem::ExprWithAlias { alias, .. }) => Named::Strong(folded(alias)),
        _ => Named::Not,
    }
}

/// PostgreSQL's own name of a type.
fn type_name(data_type: &DataType) -> String {
    let text = data_type.to_string().to_lowercase();
    let with_zone = text.contains("with time zone");
    let word = text.split(['(', ' ', '[', '<']).next().unwrap_or_default();
    let name = match word {
        "boolean" => "bool",
        "tinyint" | "smallint" => "int2",
        "int" | "integer" => "int4",
        "bigint" => "int8",
        "real" => "float4",
        "double" | "float" => "float8",
        "decimal" | "dec" => "numeric",
        "string" => "text",
        "character" | "char" => "bpchar",
        "blob" | "binary" | "varbinary" => "bytea",
        "timestamp" if with_zone => "timestamptz",
        "time" if with_zone => "timetz",
        other => other,
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use datafusion::sql::parser::Statement as AnyStatement;
    use sqlparser::ast::Statement;

    use super::*;
    use crate::parse::{Parsed, parse};

    fn name_of(expr: &str) -> String {
        let Parsed::Sql { statement, .. } = parse(&format!("SELECT {expr} FROM t")).unwrap() else {
            panic!("a query")
        };
        let AnyStatement::Statement(statement) = *statement else { panic!("a query") };
        let Statement::Query(query) = *statement else { panic!("a query") };
        let SetExpr::Select(select) = *query.body else { panic!("a select") };
        let SelectItem::UnnamedExpr(expr) = &select.projection[0] else { panic!("{:?}", select.projection) };
        output_name(expr)
    }

    #[test]
    fn names_are_those_of_postgresql() {
        for (expr, name) in [
            ("c.host", "host"),
            ("\"Host\"", "Host"),
            ("avg(usage)", "avg"),
            ("COUNT(*)", "count"),
            ("count(*) FILTER (WHERE a > 1)", "count"),
            ("row_number() OVER (ORDER BY a)", "row_number"),
            ("usage::int", "usage"),
            ("CAST(max(usage) AS BIGINT)", "max"),
            ("(a + b)::int", "int4"),
            ("'2024-01-01'::timestamptz", "timestamptz"),
            ("DATE '2024-01-01'", "date"),
            ("INTERVAL '1 day'", "interval"),
            ("true", "bool"),
            ("1", "?column?"),
            ("'a'", "?column?"),
            ("a + 1", "?column?"),
            ("-a", "?column?"),
            ("a IS NULL", "?column?"),
            ("(a)", "a"),
            ("CASE WHEN a THEN 1 END", "case"),
            ("CASE WHEN a THEN 1 ELSE b END", "b"),
            ("coalesce(a, 0)", "coalesce"),
            ("EXISTS (SELECT 1)", "exists"),
            ("(SELECT max(x) FROM s)", "max"),
            ("ARRAY[1]", "array"),
            ("extract(hour FROM a)", "extract"),
            ("substring(a FROM 2)", "substring"),
            ("trim(a)", "btrim"),
        ] {
            assert_eq!(name_of(expr), name, "{expr}");
        }
    }
}
