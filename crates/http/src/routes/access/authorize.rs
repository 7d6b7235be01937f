//! May the caller do this with that?

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use cenote_catalog::{Giving, Object, Principal, Privilege};
use cenote_query::Error;
use cenote_vocab::ErrorKind;
use serde::Deserialize;
use serde_json::{Value, json};

use super::sent;
use crate::app::App;
use crate::call::Call;
use crate::problem::Problem;
use crate::routes::flow::{failed, takes_nothing};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    privilege: String,
    object: Asked,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    kind: String,
    #[serde(default)]
    name: String,
}

impl Asked {
    fn object(&self) -> Result<Object<'_>, Problem> {
        let parts = || {
            let named =
                self.name.split_once('.').filter(|(schema, name)| !schema.is_empty() && !name.is_empty());
            named.ok_or_else(|| {
                Problem::bad_request(format!("an object is named schema.name, got {:?}", self.name))
            })
        };
        Ok(match self.kind.as_str() {
            "deployment" => Object::Deployment,
            "catalog" => Object::Tenant,
            "schema" => Object::Schema(&self.name),
            "table" | "asset" => parts().map(|(schema, name)| Object::Table(schema, name))?,
            "pipeline" => parts().map(|(schema, name)| Object::Pipeline(schema, name))?,
            "job" => Object::Job(&self.name),
            other => return Err(Problem::bad_request(format!("there is no kind of object {other:?}"))),
        })
    }
}

/// Whether the caller may do something with an object, and what gives it that. It is asked by name: an object that is not there is
/// answered like one that is.
#[utoipa::path(
    post, path = "/api/v1/authorize", tag = "tokens",
    request_body(content = Object, content_type = "application/json",
        example = json!({"privilege": "SELECT", "object": {"kind": "table", "name": "default.cpu"}})),
    responses((status = 200, description = "`allowed`, `reason` and `grants`", body = Object,
        example = json!({"allowed": true, "reason": "granted to role analysts", "grants": [{"source": "grant",
            "principal": {"kind": "role", "name": "analysts"}, "object": {"kind": "table", "schema": "default", "name": "cpu"}}]})))
)]
pub(in crate::routes) async fn ask(
    State(app): State<App>,
    call: Call,
    body: Body,
) -> Result<Json<Value>, Problem> {
    takes_nothing(&call)?;
    app.services()?;
    let question: Question = sent(body).await?;
    let word = question.privilege.to_ascii_uppercase();
    let privilege = Privilege::of_word(&word).ok_or_else(|| {
        failed(Error::new(ErrorKind::Invalid, format!("there is no privilege {:?}", question.privilege)))
    })?;
    let object = question.object.object()?;
    let giving = call.identity.giving(privilege, object);
    let reason = match giving.first() {
        None => format!("nobody has granted {privilege} on {object}"),
        Some(first) => reason(first),
    };
    let grants: Vec<Value> = giving.iter().map(|one| shown(one, &call.identity.token.name)).collect();
    Ok(Json(json!({"allowed": !giving.is_empty(), "reason": reason, "grants": grants})))
}

fn reason(giving: &Giving) -> String {
    match giving {
        Giving::Permissions => "by the permissions of the token".to_owned(),
        Giving::OfToken(_) => "by the grants of the token".to_owned(),
        Giving::Role(role) => format!("by role {role}"),
        Giving::Granted(granted) => match &granted.principal {
            Principal::Role(role) => format!("granted to role {role}"),
            Principal::Token(_) | Principal::Claims(_) => "granted to the token".to_owned(),
        },
    }
}

fn shown(giving: &Giving, token: &str) -> Value {
    let own = json!({"kind": "token", "name": token});
    match giving {
        Giving::Permissions => {
            json!({"source": "token permissions", "principal": own, "object": {"kind": "catalog"}})
        }
        Giving::OfToken(grant) => {
            let object = json!({"kind": "table", "schema": grant.database, "name": grant.measurement});
            json!({"source": "token grants", "principal": own, "object": object})
        }
        Giving::Role(role) => {
            let principal = json!({"kind": "role", "name": role});
            json!({"source": "role", "principal": principal, "object": {"kind": "catalog"}})
        }
        Giving::Granted(granted) => {
            let principal = match &granted.principal {
                Principal::Role(role) => json!({"kind": "role", "name": role}),
                Principal::Token(_) | Principal::Claims(_) => own,
            };
            let object = json!({"kind": granted.kind.word(), "schema": granted.schema, "name": granted.name});
            json!({"source": "grant", "principal": principal, "object": object})
        }
    }
}
