use http::HeaderValue;
use switchtower_contract::Remedy;

use super::*;

fn error(call: CallKind, status: u16, body: &str, after: Option<&'static str>) -> CallError {
    let mut headers = HeaderMap::new();
    if let Some(after) = after {
        headers.insert("retry-after", HeaderValue::from_static(after));
    }
    CallError::from_response(call, StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes())
}

/// Every status and body that E2B is known to answer with.
#[test]
fn every_response_has_one_cause() {
    use CallKind::{Control, Create, Execute, Sandbox};
    use Cause::{
        Authentication, Capacity, ConcurrencyCap, Gone, InvalidRequest, RateLimit, Server, Template, Transition,
        UnknownPath,
    };
    let cap = r#"{"code":429,"message":"you have reached the maximum number of concurrent E2B sandboxes (20)"}"#;
    let table: &[(CallKind, u16, &str, Option<&'static str>, Cause)] = &[
        (Create, 400, r#"{"code":400,"message":"Timeout cannot be greater than 1 hours"}"#, None, InvalidRequest),
        (Create, 400, r#"{"code":400,"message":"no matching operation was found"}"#, None, UnknownPath),
        (Create, 401, r#"{"code":401,"message":"Invalid API key format"}"#, None, Authentication),
        (Control, 401, "", None, Authentication),
        (Create, 403, r#"{"code":403,"message":"you don't have access to template 'x'"}"#, None, Template),
        (Control, 403, r#"{"code":403,"message":"forbidden"}"#, None, Authentication),
        (Create, 404, r#"{"code":404,"message":"template 'x' not found"}"#, None, Template),
        (Create, 404, r#"{"code":404,"message":"tag 't' does not exist for template 'x'"}"#, None, Template),
        (Create, 404, "404 page not found", None, UnknownPath),
        (Create, 405, "", None, UnknownPath),
        (
            Control,
            404,
            r#"{"code":404,"message":"Sandbox \"i1\" doesn't exist or you don't have access to it"}"#,
            None,
            Gone,
        ),
        (Control, 409, r#"{"code":409,"message":"sandbox is already paused"}"#, None, Transition),
        (Create, 422, r#"{"code":422,"message":"no"}"#, None, InvalidRequest),
        (Create, 429, r#"{"code":429,"message":"Rate limit exceeded"}"#, Some("2"), RateLimit),
        (Create, 429, r#"{"code":429,"message":"Rate limit exceeded, please try again later."}"#, None, RateLimit),
        (Create, 429, cap, None, ConcurrencyCap),
        (Create, 429, cap, Some("1"), RateLimit),
        (Create, 500, r#"{"code":500,"message":"Failed to place sandbox"}"#, None, Server),
        (Create, 500, r#"{"code":500,"message":"x","error_code":"sandbox_placement_timeout"}"#, None, Capacity),
        (Create, 503, r#"{"code":503,"message":"x","error_code":"sandbox_capacity_unavailable"}"#, None, Capacity),
        (Create, 502, "<html>", None, Server),
        (Control, 504, "upstream timeout", None, Server),
        (Execute, 400, "Only one of context_id or language can be provided", None, InvalidRequest),
        (Execute, 404, "Context abc not found", None, Gone),
        (Execute, 422, r#"{"detail":[]}"#, None, InvalidRequest),
        (Execute, 500, "Failed to create context: no", None, Server),
        (Execute, 502, r#"{"sandboxId":"i1","message":"The sandbox was not found","code":502}"#, None, Gone),
        (
            Execute,
            502,
            r#"{"sandboxId":"i1","message":"The sandbox is running but port is not open","port":49999,"code":502}"#,
            None,
            Gone,
        ),
        (
            Execute,
            429,
            r#"{"sandboxId":"i1","message":"The sandbox has too many concurrent incoming connections (limit: 9)","code":429}"#,
            None,
            RateLimit,
        ),
        (Execute, 401, r#"{"code":401,"message":"unauthorized access"}"#, None, Gone),
        (Execute, 403, "", None, Gone),
        (Execute, 409, "The sandbox is still transitioning. Try again in a moment.", None, Transition),
        (Sandbox, 400, "Invalid sandbox ID", None, InvalidRequest),
        (Sandbox, 404, r#"{"code":"not_found","message":"no such file"}"#, None, Gone),
        (Sandbox, 507, r#"{"code":507,"message":"no space left"}"#, None, Server),
    ];
    for (call, status, body, after, cause) in table {
        assert_eq!(error(*call, *status, body, *after).cause, *cause, "{call:?} {status} {body}");
    }
}

#[test]
fn a_wrong_key_is_not_retried_and_the_message_has_the_fix() {
    let fault = error(CallKind::Create, 401, r#"{"code":401,"message":"Invalid API key"}"#, None).fault();
    assert_eq!(fault.remedy(true), Remedy::TryNextTier);
    assert!(fault.to_string().contains("check that E2B_API_KEY"), "{fault}");
}

#[test]
fn a_rate_limit_is_retried_after_its_retry_time_or_half_a_minute() {
    let wait = |after| match error(CallKind::Execute, 429, "Rate limit exceeded", after).execution_fault() {
        Fault::Refused { retry_after, .. } => retry_after,
        other => panic!("{other:?}"),
    };
    assert_eq!(wait(Some("7")), Some(Duration::from_secs(7)));
    assert_eq!(wait(None), Some(Duration::from_secs(30)));
    assert_eq!(wait(Some("Wed, 21 Oct 2026 07:28:00 GMT")), Some(Duration::from_secs(30)));
    assert_eq!(wait(Some("-1")), Some(Duration::from_secs(30)));
}

#[test]
fn a_call_that_may_have_run_is_lost_and_one_that_cannot_have_run_is_not() {
    let gone = error(CallKind::Execute, 502, r#"{"message":"The sandbox was not found","code":502}"#, None);
    assert!(matches!(gone.execution_fault(), Fault::Unavailable { .. }));
    let gateway = error(CallKind::Execute, 502, "<html>bad gateway</html>", None);
    assert!(matches!(gateway.execution_fault(), Fault::Lost { .. }));
    let cut = CallError::from_transport(&TransportError {
        kind: TransportErrorKind::Other,
        reason: "reset".into(),
        delivery: Delivery::Unknown,
    });
    assert!(matches!(cut.execution_fault(), Fault::Lost { .. }));
    assert!(matches!(cut.fault(), Fault::Unavailable { .. }));
    let unreached = CallError::from_transport(&TransportError {
        kind: TransportErrorKind::ConnectionRefused,
        reason: "refused".into(),
        delivery: Delivery::NotSent,
    });
    assert!(matches!(unreached.execution_fault(), Fault::Unavailable { .. }));
}

#[test]
fn each_network_failure_has_a_code_and_a_remedy_of_its_own() {
    use TransportErrorKind::{Certificate, ConnectionRefused, HostNotFound, Other, TimedOut};
    let all = [ConnectionRefused, TimedOut, HostNotFound, Certificate, Other].map(Cause::Network);
    let all = [Cause::Authentication, Cause::Template, Cause::RateLimit].into_iter().chain(all);
    let mut seen = std::collections::BTreeSet::new();
    for cause in all {
        let error = CallError { cause, status: Some(1), message: "m".into(), retry_after: None, may_have_run: false };
        let (text, remedy) = (error.to_string(), cause.remedy().unwrap());
        assert!(text.ends_with(remedy) && !error.finding().contains(remedy), "{text}");
        assert!(seen.insert(cause.code()) && seen.insert(remedy), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_does_not_answer_is_timed_out() {
    struct Silent;

    #[async_trait::async_trait]
    impl crate::Transport for Silent {
        async fn send(
            &self,
            _: http::Request<bytes::Bytes>,
        ) -> Result<http::Response<crate::BodyStream>, TransportError> {
            std::future::pending().await
        }
    }

    let wait = Duration::from_secs(5);
    let request = crate::request::ApiRequest::new(CallKind::Control, http::Method::GET, "http://a".to_owned(), wait);
    let error = request.send(&Silent).await.err().unwrap();
    assert_eq!(error.cause, Cause::Network(TransportErrorKind::TimedOut));
}
