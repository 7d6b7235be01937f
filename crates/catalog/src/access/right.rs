//! Where a right holds, and which objects it covers.

use std::fmt;

use cenote_vocab::Permissions;

use super::{Grant, Privilege, Privileges, pattern_matches};

/// What somebody wants to do something with. It need not be there yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object<'a> {
    /// All tenants. Nothing in them.
    Deployment,
    /// The tenant with its catalog, and so all in it.
    Tenant,
    /// A schema, and so all in it.
    Schema(&'a str),
    /// A table, view or asset, by schema and name.
    Table(&'a str, &'a str),
    /// A pipeline, by schema and name.
    Pipeline(&'a str, &'a str),
    /// A job of the node.
    Job(&'a str),
}

impl fmt::Display for Object<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deployment => f.write_str("the deployment"),
            Self::Tenant => f.write_str("the catalog"),
            Self::Schema(name) => write!(f, "schema {name}"),
            Self::Table(schema, name) => write!(f, "{schema}.{name}"),
            Self::Pipeline(schema, name) => write!(f, "pipeline {schema}.{name}"),
            Self::Job(name) => write!(f, "job {name}"),
        }
    }
}

/// Which names are meant.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fits<'a> {
    Exactly(&'a str),
    Pattern(&'a str),
}

impl Fits<'_> {
    fn fits(self, name: &str) -> bool {
        match self {
            Self::Exactly(text) => text == name,
            Self::Pattern(pattern) => pattern_matches(pattern, name),
        }
    }

    fn fits_all(self) -> bool {
        matches!(self, Self::Pattern("*"))
    }
}

/// Where a right holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place<'a> {
    /// What is above all tenants.
    Deployment,
    Tenant,
    /// All in the tenant, by the permissions of a token: but other people's pipelines they have never steered.
    Permissions,
    Schema(Fits<'a>),
    Table(Fits<'a>, Fits<'a>),
    Pipeline(Fits<'a>, Fits<'a>),
    Job(Fits<'a>),
}

/// Privileges, and where they hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Right<'a> {
    pub(crate) privileges: Privileges,
    pub(crate) place: Place<'a>,
}

impl<'a> Right<'a> {
    pub(crate) fn everywhere(privileges: Privileges) -> Self {
        Self { privileges, place: Place::Tenant }
    }

    /// Of whoever operates the deployment.
    pub(crate) fn of_operator() -> Self {
        Self { privileges: Privileges::default().with(Privilege::Manage), place: Place::Deployment }
    }

    /// Of a token's permissions.
    pub(crate) fn of_permissions(privileges: Privileges) -> Self {
        Self { privileges, place: Place::Permissions }
    }

    /// Of a token's grant by database and measurement.
    pub(crate) fn of_token(grant: &'a Grant) -> Self {
        Self {
            privileges: grant.permissions.iter().copied().collect::<Permissions>().into(),
            place: Place::Table(Fits::Pattern(&grant.database), Fits::Pattern(&grant.measurement)),
        }
    }

    /// True if it gives `privilege` on `object`: what holds on a parent holds on what is in it.
    pub(crate) fn gives(&self, privilege: Privilege, object: Object<'_>) -> bool {
        let steers = privilege == Privilege::Run && matches!(object, Object::Pipeline(..));
        let privilege = match self.place {
            Place::Permissions if steers => Privilege::Manage,
            _ => privilege,
        };
        self.privileges.allow(privilege) && self.covers(object)
    }

    fn covers(&self, object: Object<'_>) -> bool {
        match (self.place, object) {
            (Place::Deployment, object) => object == Object::Deployment,
            (_, Object::Deployment) => false,
            // Jobs look after the whole node's files: RUN on everything else is not RUN on them.
            (Place::Tenant | Place::Permissions, Object::Job(_)) => self.privileges.allow(Privilege::Manage),
            (Place::Tenant | Place::Permissions, _) => true,
            (Place::Schema(schema), Object::Schema(name))
            | (Place::Schema(schema), Object::Table(name, _) | Object::Pipeline(name, _)) => {
                schema.fits(name)
            }
            // Every table of a schema is the schema, for those whose rights are by pattern.
            (Place::Table(schema, table), Object::Schema(name)) => table.fits_all() && schema.fits(name),
            (Place::Table(schema, table), Object::Table(of, name)) => schema.fits(of) && table.fits(name),
            (Place::Pipeline(schema, pipeline), Object::Pipeline(of, name)) => {
                schema.fits(of) && pipeline.fits(name)
            }
            (Place::Job(job), Object::Job(name)) => job.fits(name),
            _ => false,
        }
    }

    /// True unless it is above all tenants.
    pub(crate) fn is_in_tenant(&self) -> bool {
        !matches!(self.place, Place::Deployment)
    }

    /// True if it gives `privilege` on the schema or on something that is or may be in it.
    pub(crate) fn reaches_into(&self, privilege: Privilege, schema: &str) -> bool {
        self.privileges.allow(privilege)
            && match self.place {
                Place::Tenant | Place::Permissions => true,
                Place::Schema(of) | Place::Table(of, _) | Place::Pipeline(of, _) => of.fits(schema),
                Place::Job(_) | Place::Deployment => false,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right(privilege: Privilege, place: Place<'_>) -> Right<'_> {
        Right { privileges: Privileges::default().with(privilege), place }
    }

    #[test]
    fn rights_of_parents_hold_below_and_never_above() {
        let of_schema = right(Privilege::Select, Place::Schema(Fits::Exactly("a")));
        assert!(of_schema.gives(Privilege::Select, Object::Table("a", "t")));
        assert!(of_schema.gives(Privilege::Use, Object::Pipeline("a", "p")));
        assert!(!of_schema.gives(Privilege::Select, Object::Table("b", "t")));
        assert!(!of_schema.gives(Privilege::Select, Object::Tenant));
        let of_table = right(Privilege::Select, Place::Table(Fits::Exactly("a"), Fits::Exactly("t")));
        assert!(!of_table.gives(Privilege::Select, Object::Schema("a")));
        assert!(!of_table.gives(Privilege::Insert, Object::Table("a", "t")));
        assert!(of_table.reaches_into(Privilege::Use, "a") && !of_table.reaches_into(Privilege::Use, "b"));
    }

    #[test]
    fn a_name_with_a_star_is_a_pattern_only_where_it_was_given_as_one() {
        let exact = right(Privilege::Select, Place::Schema(Fits::Exactly("a*")));
        assert!(!exact.gives(Privilege::Select, Object::Schema("ab")));
        let pattern = right(Privilege::Select, Place::Schema(Fits::Pattern("a*")));
        assert!(pattern.gives(Privilege::Select, Object::Schema("ab")));
    }

    #[test]
    fn a_token_that_may_write_steers_no_pipeline_of_others() {
        let write = right(Privilege::Run, Place::Permissions);
        assert!(write.gives(Privilege::Run, Object::Table("a", "t")));
        assert!(write.gives(Privilege::Use, Object::Pipeline("a", "p")));
        assert!(!write.gives(Privilege::Run, Object::Pipeline("a", "p")));
        let admin = right(Privilege::Manage, Place::Permissions);
        assert!(admin.gives(Privilege::Run, Object::Pipeline("a", "p")));
    }

    #[test]
    fn who_operates_the_deployment_has_no_right_in_its_tenants_and_nobody_else_operates_it() {
        let operator = Right::of_operator();
        assert!(operator.gives(Privilege::Manage, Object::Deployment));
        for object in [Object::Tenant, Object::Schema("a"), Object::Table("a", "t"), Object::Job("compact")] {
            assert!(!operator.gives(Privilege::Use, object), "{object}");
        }
        assert!(!operator.reaches_into(Privilege::Use, "a"));
        for place in [Place::Tenant, Place::Permissions, Place::Schema(Fits::Pattern("*"))] {
            assert!(!right(Privilege::Manage, place).gives(Privilege::Manage, Object::Deployment));
        }
    }

    #[test]
    fn run_everywhere_runs_no_job_of_the_node() {
        let everywhere = right(Privilege::Run, Place::Tenant);
        assert!(everywhere.gives(Privilege::Run, Object::Pipeline("a", "p")));
        assert!(!everywhere.gives(Privilege::Run, Object::Job("compact")));
        assert!(right(Privilege::Manage, Place::Tenant).gives(Privilege::Run, Object::Job("compact")));
        let job = right(Privilege::Run, Place::Job(Fits::Exactly("compact")));
        assert!(job.gives(Privilege::Run, Object::Job("compact")));
        assert!(!job.gives(Privilege::Run, Object::Job("expire")));
    }
}
