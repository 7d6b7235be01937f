//! Runs that are none of assets, and jobs, as objects for protocols. Rights are those of the statements.

use cenote_catalog::{
    Error as CatalogError, JobExplanation, Object, Privilege, RunFilter, RunRecord, authorize,
};
use uuid::Uuid;

use super::Session;
use super::inner::Inner;
use crate::Error;
use crate::statement::asset::run_id;

impl Inner {
    /// Why a job runs or does not, for who may read what there is, or may know the job.
    pub(crate) async fn explain_job(&self, name: &str) -> Result<JobExplanation, Error> {
        if !authorize(self.identity(), Privilege::ReadMetadata, Object::Tenant) {
            self.require(Privilege::Use, Object::Job(name))?;
        }
        self.engine().explain_job(&self.identity().scope, name).await
    }
}

impl Session {
    /// Why a job runs or does not.
    pub async fn explain_job(&self, name: &str) -> Result<JobExplanation, Error> {
        self.inner().explain_job(name).await
    }

    /// A run of any kind without its tasks. `NotFound`, as if it were not there, for who may not read what there is.
    pub async fn run_record(&self, id: &str) -> Result<RunRecord, Error> {
        let (session, run) = (self.inner(), run_id(id)?);
        if !authorize(session.identity(), Privilege::ReadMetadata, Object::Tenant) {
            return Err(CatalogError::RunNotFound(id.to_owned()).into());
        }
        Ok(session.engine().lake().catalog.run(&session.identity().scope, run).await?)
    }

    /// A page of runs of one kind, newest first; of one job or pipeline, if it is named.
    pub async fn run_records(
        &self,
        kind: &str,
        object: Option<Uuid>,
        wanted: &RunFilter,
    ) -> Result<Vec<RunRecord>, Error> {
        let session = self.inner();
        session.require(Privilege::ReadMetadata, Object::Tenant)?;
        Ok(session.engine().lake().catalog.runs(&session.identity().scope, (kind, object), wanted).await?)
    }
}
