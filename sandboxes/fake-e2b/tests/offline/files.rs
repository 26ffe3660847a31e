//! Files that are uploaded.

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::client::{Client, settings};

#[tokio::test(start_paused = true)]
async fn metadata_of_an_upload_is_shown_with_the_file_and_limited_as_at_e2b() {
    let client = Client::new(settings());
    let sandbox = client.open().await;
    let upload = async |name: &str, value: &str| {
        let request = Request::post("/files?path=/tmp/a").header("content-type", "application/octet-stream");
        let request = request.header("e2b-sandbox-id", &sandbox.id).header("e2b-sandbox-port", "49983");
        let request = request.header("x-access-token", &sandbox.token).header(name, value).body(Body::from("1"));
        let response = client.fake.app().oneshot(request.unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice::<Value>(&body).unwrap())
    };
    let stat = async || {
        let path = "/filesystem.Filesystem/Stat";
        client.call_sandbox(&sandbox, "POST", path, &json!({ "path": "/tmp/a" })).await.json()["entry"].clone()
    };
    let (status, written) = upload("X-Metadata-Author", "ada").await;
    assert_eq!((status, &written[0]["metadata"]), (200, &json!({ "author": "ada" })));
    assert_eq!(stat().await["metadata"], json!({ "author": "ada" }));
    let long = format!("x-metadata-{}", "a".repeat(247));
    for (name, value) in [
        ("x-metadata-", "x".to_owned()),
        ("x-metadata-a", "ä".to_owned()),
        ("x-metadata-a", "x".repeat(4087)),
        (&long, "x".to_owned()),
    ] {
        assert_eq!(upload(name, &value).await.0, 400, "{name}");
    }
    let (status, written) = upload("x-other", "1").await;
    assert_eq!((status, &written[0]["metadata"], &stat().await["metadata"]), (200, &Value::Null, &Value::Null));
}
