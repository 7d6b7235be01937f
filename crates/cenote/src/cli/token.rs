//! `cenote token`.

use std::time::Duration;

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};

use super::Global;
use super::client::Client;
use super::failure::Failure;

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token; its secret is shown once.
    Create {
        /// Its name, unique in the tenant.
        name: String,
        /// read, write, delete, admin; comma-separated.
        #[arg(long, value_delimiter = ',', default_value = "read,write")]
        permissions: Vec<String>,
        /// Only for databases of this pattern (prefix*, *suffix); may be repeated.
        #[arg(long = "only", value_name = "PATTERN")]
        databases: Vec<String>,
        /// When it ends: 12h, 90d.
        #[arg(long, value_name = "AGE")]
        expires: Option<String>,
    },
    /// All tokens.
    List,
    /// One token.
    Show {
        /// Its number or name.
        token: String,
    },
    /// A new secret; the old one ends.
    Rotate {
        /// Its number or name.
        token: String,
    },
    /// Switch a token off.
    Revoke {
        /// Its number or name.
        token: String,
    },
    /// Delete a token.
    Delete {
        /// Its number or name.
        token: String,
    },
}

const PATH: &str = "/api/v1/auth/tokens";

#[expect(clippy::print_stdout, reason = "the command's result")]
pub(super) async fn run(global: &Global, command: TokenCommand) -> Result<(), Failure> {
    let Client::Remote(remote) = Client::find(global, false).await? else {
        return Err(Failure::usage(
            "no node is running here; start one with `cenote serve`, or name one with --url",
        ));
    };
    let call = async |method: Method, path: String, body: Option<Value>| -> Result<Value, Failure> {
        let mut request = remote.request(method, &path);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = remote.send(request).await?;
        response.json().await.map_err(|_| Failure::other("cannot read the answer"))
    };
    let list = call(Method::GET, PATH.to_owned(), None);
    match command {
        TokenCommand::Create { name, permissions, databases, expires } => {
            let mut body = json!({ "name": name });
            if databases.is_empty() {
                body["permissions"] = json!(permissions);
            } else {
                body["permissions"] = json!([]);
                body["grants"] = databases
                    .iter()
                    .map(|database| json!({ "database": database, "measurement": "*", "permissions": permissions }))
                    .collect();
            }
            if let Some(expires) = expires {
                check_age(&expires)?;
                body["expires_in"] = json!(expires);
            }
            let made = call(Method::POST, PATH.to_owned(), Some(body)).await?;
            println!("{}", made.get("token").and_then(Value::as_str).unwrap_or_default());
        }
        TokenCommand::List => {
            let all = list.await?;
            for token in all.get("tokens").and_then(Value::as_array).into_iter().flatten() {
                println!("{}", line(token));
            }
        }
        TokenCommand::Show { token } => println!("{:#}", find(&list.await?, &token)?),
        TokenCommand::Rotate { token } => {
            let id = id_of(&list.await?, &token)?;
            let made = call(Method::POST, format!("{PATH}/{id}/rotate"), None).await?;
            println!("{}", made.get("new_token").and_then(Value::as_str).unwrap_or_default());
        }
        TokenCommand::Revoke { token } => {
            let id = id_of(&list.await?, &token)?;
            call(Method::POST, format!("{PATH}/{id}/revoke"), None).await?;
        }
        TokenCommand::Delete { token } => {
            let id = id_of(&list.await?, &token)?;
            call(Method::DELETE, format!("{PATH}/{id}"), None).await?;
        }
    }
    Ok(())
}

fn find<'a>(list: &'a Value, wanted: &str) -> Result<&'a Value, Failure> {
    list.get("tokens")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .find(|token| {
            token.get("name").and_then(Value::as_str) == Some(wanted)
                || token.get("id").and_then(Value::as_u64).is_some_and(|id| wanted.parse() == Ok(id))
        })
        .ok_or_else(|| Failure::other(format!("token {wanted:?} not found")))
}

fn id_of(list: &Value, wanted: &str) -> Result<u64, Failure> {
    find(list, wanted)?
        .get("id")
        .and_then(Value::as_u64)
        .ok_or_else(|| Failure::other("the server's answer has no token id"))
}

fn line(token: &Value) -> String {
    let text = |key: &str| match token.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
        Some(Value::Null) | None => "-".to_owned(),
        Some(other) => other.to_string(),
    };
    format!(
        "{}\t{}\t{}\tenabled={}\texpires={}",
        text("id"),
        text("name"),
        text("permissions"),
        text("enabled"),
        text("expires_at")
    )
}

fn check_age(text: &str) -> Result<Duration, Failure> {
    let (number, unit) = text.split_at(text.len().saturating_sub(1));
    let seconds = match unit {
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => 0,
    };
    match number.parse::<u64>() {
        Ok(number) if seconds > 0 => Ok(Duration::from_secs(number.saturating_mul(seconds))),
        _ => Err(Failure::usage(format!("--expires {text:?}: expected an age such as 12h or 90d"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_found_by_name_and_by_number() {
        let list = json!({ "tokens": [{ "id": 7, "name": "grafana" }] });
        assert_eq!(id_of(&list, "grafana").expect("by name"), 7);
        assert_eq!(id_of(&list, "7").expect("by number"), 7);
        assert!(id_of(&list, "x").expect_err("unknown").message.contains("\"x\" not found"));
    }

    #[test]
    fn an_age_needs_a_unit() {
        assert_eq!(check_age("90d").expect("an age").as_secs(), 90 * 86_400);
        assert!(check_age("90").is_err() && check_age("").is_err());
    }
}
