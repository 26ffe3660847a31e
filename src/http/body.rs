//! Reading a JSON body: its type, its size, its time, its grammar.

use std::error::Error as _;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Request, header};
use serde_json::Value;
use switchtower_contract::rounded;

use super::problem::{Kind, Problem};

/// The whole body as JSON: at most `most` bytes, within `patience`.
pub(super) async fn json(request: Request<Body>, most: usize, patience: Duration) -> Result<Value, Problem> {
    is_json(request.headers())?;
    let whole = axum::body::to_bytes(request.into_body(), most);
    let bytes = match tokio::time::timeout(patience, whole).await {
        Err(_) => {
            let detail = format!("the body did not arrive within {}", rounded(patience));
            return Err(Problem::new(Kind::SlowBody, detail));
        }
        Ok(Err(error)) if is_too_long(&error) => {
            let detail = format!("the body has more than {most} bytes");
            return Err(Problem::new(Kind::TooLarge, detail).with("allowed", most));
        }
        Ok(Err(error)) => return Err(Problem::new(Kind::Malformed, format!("the body broke off: {error}"))),
        Ok(Ok(bytes)) => bytes,
    };
    serde_json::from_slice(&bytes).map_err(|wrong| {
        Problem::new(Kind::Malformed, wrong.to_string()).with("line", wrong.line()).with("column", wrong.column())
    })
}

fn is_json(headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = given.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    if essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json")) {
        return Ok(());
    }
    let detail = if given.is_empty() { "there is no Content-Type".to_owned() } else { format!("this is {given:?}") };
    Err(Problem::new(Kind::UnsupportedMedia, detail).with("allowed", "application/json"))
}

fn is_too_long(error: &axum::Error) -> bool {
    error.source().is_some_and(<dyn std::error::Error>::is::<http_body_util::LengthLimitError>)
}
