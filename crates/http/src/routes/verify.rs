//! Is this credential good? Public, so that a client can ask before it has a right to anything.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

use super::token_body::{shown, words};
use crate::app::App;
use crate::auth::identify;
use crate::call::address;
use crate::parameters::Parameters;
use crate::problem::Problem;

/// Checks the request's credential.
#[utoipa::path(
    get, path = "/api/v1/auth/verify", tag = "tokens",
    responses((status = 200, description = "valid, with its permissions"), (status = 401, description = "not valid"))
)]
pub(super) async fn verify(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    app.services()?;
    let parameters = Parameters::parse(request.uri().query().unwrap_or(""));
    match identify(&app, request.headers(), &parameters, address(&request)).await {
        Ok(identity) => {
            let permissions = words(identity.token.permissions);
            let body =
                json!({"valid": true, "token_info": shown(&identity.token), "permissions": permissions});
            Ok(Json(body).into_response())
        }
        Err(problem) if problem.status == StatusCode::UNAUTHORIZED => Err(problem.with("valid", false)),
        Err(problem) => Err(problem),
    }
}
